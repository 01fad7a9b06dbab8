/* The program of most cases: needs libowned.so beside it and libcuda.so.1; its exit status says which libcuda it got. */
int cuInit(unsigned flags);
int owned(void);
int main(void) { return owned() + cuInit(0); }
