/* Loads the library in its argument and returns what its probe() says: the library's own RUNPATH decides. */
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **arguments) {
    void *library = count == 2 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    int (*probe)(void) = NULL;
    if (library) *(void **)&probe = dlsym(library, "probe");
    if (!probe) {
        fprintf(stderr, "%s\n", dlerror());
        return 127;
    }
    return probe();
}
