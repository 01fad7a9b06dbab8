/* A library or module that asks for libcuda.so.1. */
int cuInit(unsigned flags);
int probe(void) { return cuInit(0); }
