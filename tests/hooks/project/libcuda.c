/* A stand-in for libcuda.so.1: RESULT says whose it is (34 stub, 11 compat, 12 driver). */
int cuInit(unsigned flags) {
    (void)flags;
    return RESULT;
}
