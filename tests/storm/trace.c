// Records what a process does to the files below STORM_ROOT, into the file STORM_TRACE, in order.
//
// Preloaded before the C library. A record is a head and then its two texts and its data; trace.py reads it. Only calls that
// succeeded are recorded. Nothing happens until the environment has both variables: a forked child sets them.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST_FILES = 4096 };

struct head {
    char what;
    char padding[7];
    int64_t file, at, flags;
    uint32_t first, second, data, unused;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char traced[MOST_FILES];
static int trace = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const char *root(void) {
    const char *text = getenv("STORM_ROOT");
    return text && getenv("STORM_TRACE") ? text : NULL;
}

// The absolute path of a name relative to a folder's handle, if it lies below the root.
static int below(int folder, const char *name, char *path) {
    const char *top = root();
    if (!top) return 0;
    if (name[0] == '/') {
        snprintf(path, 4096, "%s", name);
    } else if (folder == AT_FDCWD) {
        if (!getcwd(path, 2048)) return 0;
        strcat(path, "/");
        strncat(path, name, 2000);
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, path, 2048);
        if (length < 0) return 0;
        snprintf(path + length, 2000, "/%s", name);
    }
    return strncmp(path, top, strlen(top)) == 0;
}

static void record(char what, int64_t file, int64_t at, int64_t flags, const char *first, const char *second,
                   const struct iovec *data, int pieces, size_t size) {
    struct head head = {what, {0}, file, at, flags, first ? strlen(first) : 0, second ? strlen(second) : 0, size, 0};
    if (trace < 0) trace = REAL(open)(getenv("STORM_TRACE"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    ssize_t (*put)(int, const void *, size_t) = REAL(write);
    put(trace, &head, sizeof head);
    if (first) put(trace, first, head.first);
    if (second) put(trace, second, head.second);
    for (int i = 0; i < pieces && size; i++) {
        size_t part = data[i].iov_len < size ? data[i].iov_len : size;
        put(trace, data[i].iov_base, part);
        size -= part;
    }
}

static int is_traced(int file) { return file >= 0 && file < MOST_FILES && traced[file]; }

static int opened(int file, int folder, const char *name, int flags) {
    char path[4200];
    int before = errno;
    if (file >= 0 && file < MOST_FILES) {
        traced[file] = below(folder, name, path);
        if (traced[file]) record('o', file, 0, flags, path, NULL, NULL, 0, 0);
    }
    errno = before;
    return file;
}

#define OPEN(name)                                                            \
    int name(const char *path, int flags, ...) {                              \
        va_list rest;                                                         \
        va_start(rest, flags);                                                \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                         \
        pthread_mutex_lock(&lock);                                            \
        int file = opened(REAL(name)(path, flags, mode), AT_FDCWD, path, flags); \
        pthread_mutex_unlock(&lock);                                          \
        return file;                                                          \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                          \
    int name(int folder, const char *path, int flags, ...) {                  \
        va_list rest;                                                         \
        va_start(rest, flags);                                                \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                         \
        pthread_mutex_lock(&lock);                                            \
        int file = opened(REAL(name)(folder, path, flags, mode), folder, path, flags); \
        pthread_mutex_unlock(&lock);                                          \
        return file;                                                          \
    }
OPENAT(openat)
OPENAT(openat64)

#define CREAT(name)                                                           \
    int name(const char *path, mode_t mode) {                                 \
        pthread_mutex_lock(&lock);                                            \
        int file = opened(REAL(name)(path, mode), AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC); \
        pthread_mutex_unlock(&lock);                                          \
        return file;                                                          \
    }
CREAT(creat)
CREAT(creat64)

static ssize_t written(int file, ssize_t size, int64_t at, const struct iovec *data, int pieces) {
    int before = errno;
    if (size > 0 && is_traced(file)) {
        if (at < 0) at = lseek(file, 0, SEEK_CUR) - size;
        record('w', file, at, 0, NULL, NULL, data, pieces, size);
    }
    errno = before;
    return size;
}

ssize_t write(int file, const void *data, size_t size) {
    struct iovec piece = {(void *)data, size};
    pthread_mutex_lock(&lock);
    ssize_t done = written(file, REAL(write)(file, data, size), -1, &piece, 1);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t writev(int file, const struct iovec *data, int pieces) {
    pthread_mutex_lock(&lock);
    ssize_t done = written(file, REAL(writev)(file, data, pieces), -1, data, pieces);
    pthread_mutex_unlock(&lock);
    return done;
}

#define PWRITE(name, offset)                                                  \
    ssize_t name(int file, const void *data, size_t size, offset at) {        \
        struct iovec piece = {(void *)data, size};                            \
        pthread_mutex_lock(&lock);                                            \
        ssize_t done = written(file, REAL(name)(file, data, size, at), at, &piece, 1); \
        pthread_mutex_unlock(&lock);                                          \
        return done;                                                          \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

// Calls on one open file: `flags` is 0, or the new length.
#define ON_FILE(name, what, signature, call, flags)                           \
    int name signature {                                                      \
        pthread_mutex_lock(&lock);                                            \
        int known = is_traced(file), done = REAL(name) call;                  \
        if (done == 0 && known) record(what, file, 0, flags, NULL, NULL, NULL, 0, 0); \
        pthread_mutex_unlock(&lock);                                          \
        return done;                                                          \
    }
ON_FILE(fsync, 's', (int file), (file), 0)
ON_FILE(fdatasync, 's', (int file), (file), 0)
ON_FILE(ftruncate, 't', (int file, off_t size), (file, size), size)
ON_FILE(ftruncate64, 't', (int file, off64_t size), (file, size), size)

int close(int file) {
    pthread_mutex_lock(&lock);
    if (is_traced(file)) {
        record('c', file, 0, 0, NULL, NULL, NULL, 0, 0);
        traced[file] = 0;
    }
    int done = REAL(close)(file);
    pthread_mutex_unlock(&lock);
    return done;
}

// Calls on names: from `first` below one folder, and perhaps to `second` below another.
static int named(int done, char what, int folder, const char *first, int other, const char *second) {
    char from[4200], to[4200] = "";
    int before = errno;
    if (done == 0 && below(folder, first, from)) {
        if (second) below(other, second, to);
        record(what, 0, 0, 0, from, second ? to : NULL, NULL, 0, 0);
    }
    errno = before;
    return done;
}

#define ON_NAME(name, what, signature, call, folder, first, other, second)    \
    int name signature {                                                      \
        pthread_mutex_lock(&lock);                                            \
        int done = named(REAL(name) call, what, folder, first, other, second); \
        pthread_mutex_unlock(&lock);                                          \
        return done;                                                          \
    }
ON_NAME(rename, 'r', (const char *from, const char *to), (from, to), AT_FDCWD, from, AT_FDCWD, to)
ON_NAME(renameat, 'r', (int a, const char *from, int b, const char *to), (a, from, b, to), a, from, b, to)
ON_NAME(renameat2, 'r', (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags), a, from,
        b, to)
ON_NAME(link, 'l', (const char *from, const char *to), (from, to), AT_FDCWD, from, AT_FDCWD, to)
ON_NAME(linkat, 'l', (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), a, from, b, to)
ON_NAME(unlink, 'u', (const char *path), (path), AT_FDCWD, path, 0, NULL)
ON_NAME(rmdir, 'u', (const char *path), (path), AT_FDCWD, path, 0, NULL)
ON_NAME(unlinkat, 'u', (int folder, const char *path, int flags), (folder, path, flags), folder, path, 0, NULL)
ON_NAME(mkdir, 'm', (const char *path, mode_t mode), (path, mode), AT_FDCWD, path, 0, NULL)
ON_NAME(mkdirat, 'm', (int folder, const char *path, mode_t mode), (folder, path, mode), folder, path, 0, NULL)
