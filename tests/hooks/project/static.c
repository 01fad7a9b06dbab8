/* A program without a dynamic loader: linked with -static or -static-pie. */
#include <stdio.h>
int main(void) {
    puts("still runs");
    return 0;
}
