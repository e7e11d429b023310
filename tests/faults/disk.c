/* A disk that fills up, or a machine that dies, at a chosen step: preloaded into a real process.

A step is a call that changes what is below the folder BIER_FAULTS_UNDER: a file or folder that is made, bytes that are
written, a sync, a rename, a removal. At step number BIER_FAULTS_AT one of two things happens:

    BIER_FAULTS_DO=full   from here on whatever needs space fails with ENOSPC
    BIER_FAULTS_DO=kill   the process gets SIGKILL, before the step is made
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long steps;

/* How many steps this process has made. */
long faults_steps(void) { return atomic_load(&steps); }

static int below(const char *path) {
    const char *under = getenv("BIER_FAULTS_UNDER");
    return under && *under && path && !strncmp(path, under, strlen(under));
}

static int path_below(int folder, const char *path) {
    char link[64], whole[PATH_MAX * 2];
    if (!path) return 0;
    if (*path == '/') return below(path);
    if (folder == AT_FDCWD) {
        if (!getcwd(whole, PATH_MAX)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, whole, PATH_MAX - 1);
        if (length < 0) return 0;
        whole[length] = 0;
    }
    strcat(whole, "/");
    strncat(whole, path, PATH_MAX - 1);
    return below(whole);
}

static int file_below(int file) { return path_below(file, ""); }

/* Counts a step; gives whether it is to fail. */
static int fails(int needs_space) {
    const char *at = getenv("BIER_FAULTS_AT"), *what = getenv("BIER_FAULTS_DO");
    long step = atomic_fetch_add(&steps, 1) + 1, number = at ? atol(at) : 0;
    if (!number || step < number || !what) return 0;
    if (!strcmp(what, "kill")) kill(getpid(), SIGKILL);
    if (!needs_space) return 0;
    errno = ENOSPC;
    return 1;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define STEP(type, name, parameters, arguments, where, needs_space) \
    type name parameters { \
        REAL(name); \
        int saved = errno; \
        if ((where) && fails(needs_space)) return -1; \
        errno = saved; \
        return real arguments; \
    }

STEP(ssize_t, write, (int f, const void *b, size_t n), (f, b, n), file_below(f), 1)
STEP(ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), (f, b, n, o), file_below(f), 1)
STEP(ssize_t, pwrite64, (int f, const void *b, size_t n, off64_t o), (f, b, n, o), file_below(f), 1)
STEP(ssize_t, writev, (int f, const struct iovec *v, int n), (f, v, n), file_below(f), 1)
STEP(ssize_t, copy_file_range, (int i, off64_t *x, int f, off64_t *y, size_t n, unsigned m), (i, x, f, y, n, m),
     file_below(f), 1)
STEP(int, fsync, (int f), (f), file_below(f), 1)
STEP(int, fdatasync, (int f), (f), file_below(f), 1)
STEP(int, mkdir, (const char *p, mode_t m), (p, m), path_below(AT_FDCWD, p), 1)
STEP(int, link, (const char *p, const char *q), (p, q), path_below(AT_FDCWD, q), 1)
STEP(int, rename, (const char *p, const char *q), (p, q), path_below(AT_FDCWD, q), 0)
STEP(int, unlink, (const char *p), (p), path_below(AT_FDCWD, p), 0)

/* Files that are opened are a step only if that makes them. */
#define OPEN(name, parameters, folder, ...) \
    int name parameters { \
        REAL(name); \
        mode_t mode = 0; \
        int saved = errno; \
        if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, int); \
            va_end(rest); \
        } \
        if ((flags & O_CREAT) && path_below(folder, path) && fails(1)) return -1; \
        errno = saved; \
        return real(__VA_ARGS__, flags, mode); \
    }

OPEN(open, (const char *path, int flags, ...), AT_FDCWD, path)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, path)
OPEN(openat, (int where, const char *path, int flags, ...), where, where, path)
OPEN(openat64, (int where, const char *path, int flags, ...), where, where, path)
