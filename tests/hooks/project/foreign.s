/* A library of another machine (AArch64): needs nothing, does nothing. */
.text
.globl probe
probe:
    ret
