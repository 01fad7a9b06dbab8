/* A binary wrapper: TARGET is the program it stands for. */
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **arguments) {
    (void)count;
    setenv("WRAPPED", "1", 1);
    execv(TARGET, arguments);
    return 126;
}
