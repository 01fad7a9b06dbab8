/* The least that any tool for this job must do: N threads list every directory below the argument, open each regular file,
 * read its first 64 bytes, and close it. Symbolic links are not followed. With WRITES, that many positional writes to each
 * ELF object, of bytes that it has already. Prints how many files and how many ELF objects there were, so that two walks
 * can be compared.
 *
 * Build and run: cc -O2 -pthread -o walk walk.c && ./walk DIRECTORY THREADS [WRITES]
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct job {
    struct job *next;
    char path[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct job *waiting; /* directories nobody has listed yet */
static unsigned busy;       /* threads that may still add some */
static unsigned long files, objects;
static int writes;

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static void add(const char *parent, const char *name) {
    size_t length = strlen(parent) + strlen(name) + 2;
    struct job *job = malloc(sizeof *job + length);
    if (!job)
        fail("malloc");
    snprintf(job->path, length, "%s/%s", parent, name);
    pthread_mutex_lock(&lock);
    job->next = waiting;
    waiting = job;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void write_to(int directory, const char *name) {
    char bytes[64];
    int fd = openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        fail(name);
    for (int index = 0; index < writes; ++index) {
        ssize_t got = pread(fd, bytes, sizeof bytes, 1024L * index);
        if (got > 0 && pwrite(fd, bytes, got, 1024L * index) != got)
            fail(name);
    }
    close(fd);
}

static void list(const char *path, unsigned long *seen, unsigned long *elf) {
    DIR *directory = opendir(path);
    struct dirent *entry;
    if (!directory)
        fail(path);
    while ((entry = readdir(directory))) {
        unsigned char type = entry->d_type;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (type == DT_UNKNOWN) { /* a file system that does not tell */
            struct stat info;
            if (fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW))
                fail(entry->d_name);
            type = IFTODT(info.st_mode);
        }
        if (type == DT_DIR) {
            add(path, entry->d_name);
        } else if (type == DT_REG) {
            char head[64];
            int fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
            if (fd < 0)
                fail(entry->d_name);
            ssize_t got = pread(fd, head, sizeof head, 0);
            close(fd);
            ++*seen;
            if (got >= 4 && !memcmp(head, "\177ELF", 4)) {
                ++*elf;
                if (writes)
                    write_to(dirfd(directory), entry->d_name);
            }
        }
    }
    closedir(directory);
}

static void *work(void *unused) {
    unsigned long seen = 0, elf = 0;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!waiting && busy)
            pthread_cond_wait(&changed, &lock);
        if (!waiting)
            break;
        struct job *job = waiting;
        waiting = job->next;
        ++busy;
        pthread_mutex_unlock(&lock);
        list(job->path, &seen, &elf);
        free(job);
        pthread_mutex_lock(&lock);
        if (!--busy)
            pthread_cond_broadcast(&changed);
    }
    files += seen;
    objects += elf;
    pthread_mutex_unlock(&lock);
    return unused;
}

int main(int count, char **arguments) {
    pthread_t threads[64];
    int wanted = count == 3 || count == 4 ? atoi(arguments[2]) : 0;
    writes = count == 4 ? atoi(arguments[3]) : 0;
    if (wanted < 1 || wanted > 64) {
        fprintf(stderr, "usage: walk DIRECTORY THREADS [WRITES] (1 to 64 threads)\n");
        return 2;
    }
    add(arguments[1], ".");
    for (int index = 0; index < wanted; ++index)
        if (pthread_create(&threads[index], NULL, work, NULL))
            fail("pthread_create");
    for (int index = 0; index < wanted; ++index)
        pthread_join(threads[index], NULL);
    printf("%lu files, %lu ELF\n", files, objects);
    return 0;
}
