/* SPDX-License-Identifier: Apache-2.0
 *
 * In: paths. Out: bytes (mapped, or read into the heap), and files that appear whole. Paths from hostile files go through
 * base_file_open_beneath only.
 */
#include "base_file.h"
#include "base_stop.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static nib_status open_error(const char *path, int e, nib_error *err) {
    return base_error_set(err, e == ENOENT || e == ENOTDIR ? NIB_NOT_FOUND : NIB_IO, "%s: %s", path, strerror(e));
}

/* Reads the whole of fd; a file that shrinks while it is read is an error, not a short result. */
static nib_status read_all(int fd, uint8_t *to, size_t size, const char *path, nib_error *err) {
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, to + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return open_error(path, errno, err);
        if (n == 0) return base_error_set(err, NIB_IO, "%s: the file became shorter while it was read", path);
        done += (size_t)n;
    }
    return NIB_OK;
}

nib_status base_file_open(base_heap *heap, const char *path, bool private_read, base_file *out, nib_error *err) {
    nib_status status = NIB_OK;
    memset(out, 0, sizeof *out);
    out->heap = heap;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* NONBLOCK: a FIFO must not hang us before we see what it is */
    if (fd < 0) return open_error(path, errno, err);
    if (fstat(fd, &st) != 0) NIB_FAIL(err, NIB_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) NIB_FAIL(err, NIB_IO, "%s: is a folder, not a file", path);
    if (!S_ISREG(st.st_mode)) NIB_FAIL(err, NIB_IO, "%s: is not a regular file", path);
    out->path = base_strndup(heap, path, strlen(path));
    if (!out->path) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "%s: out of memory", path);
    out->size = (size_t)st.st_size;
    if (out->size == 0) {
        close(fd);
        return NIB_OK;
    }
    if (private_read) {
        uint8_t *block = base_alloc(heap, out->size);
        if (!block) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "%s: out of memory for its %zu bytes", path, out->size);
        out->data = block;
        NIB_TRY(read_all(fd, block, out->size, path, err));
    } else {
        void *p = mmap(NULL, out->size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) NIB_FAIL(err, NIB_IO, "%s: cannot be mapped: %s", path, strerror(errno));
        out->data = p;
        out->mapped = true;
    }
    close(fd);
    return NIB_OK;
fail:
    close(fd);
    base_file_close(out);
    return status;
}

void base_file_close(base_file *f) {
    if (f->mapped) munmap((void *)(uintptr_t)f->data, f->size);
    else if (f->heap) base_free(f->heap, (void *)(uintptr_t)f->data);
    if (f->heap) base_free(f->heap, f->path);
    memset(f, 0, sizeof *f);
}

void base_file_release(const base_file *f, const void *begin, size_t bytes) {
    if (!f->mapped) return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)begin + page - 1) / page * page, to = ((uintptr_t)begin + bytes) / page * page;
    if (from < to) madvise((void *)from, to - from, MADV_DONTNEED);
}

/* True if `path` lies in the folder `dir`; both are real paths. */
static bool lies_in(const char *path, const char *dir) {
    size_t n = strlen(dir);
    if (strncmp(path, dir, n) != 0) return false;
    return path[n] == '/' || (n > 0 && dir[n - 1] == '/');
}

/* Hugging Face's cache keeps files in one folder and links to them from others: snapshots/COMMIT/file -> ../../blobs/HASH. True if
 * `dir` lies in such a snapshot and `path` is one of its blobs. */
static bool is_blob_of(const char *path, const char *dir) {
    static const char blobs[] = "/blobs/", snapshots[] = "/snapshots/";
    for (const char *at = strstr(dir, snapshots); at; at = strstr(at + 1, snapshots)) {
        size_t n = (size_t)(at - dir);
        if (strncmp(path, dir, n) == 0 && strncmp(path + n, blobs, sizeof blobs - 1) == 0) return !strchr(path + n + sizeof blobs - 1, '/');
    }
    return false;
}

/* A folder of links to another one's files: where `sibling` (a real path) lies, `path` lies under the name that it has here; or both
 * are blobs of one cache. */
static bool goes_along(const char *path, const char *sibling, const char *relative) {
    const char *slash = strrchr(sibling, '/');
    size_t n = (size_t)(slash - sibling);
    if (strncmp(path, sibling, n + 1) != 0) return false;
    bool blobs = n >= 6 && strncmp(slash - 6, "/blobs", 6) == 0 && !strchr(path + n + 1, '/');
    return blobs || strcmp(path + n + 1, relative) == 0;
}

nib_status base_file_open_beneath(base_heap *heap, const char *root, const char *relative, const char *sibling, bool private_read,
                                  base_file *out, nib_error *err) {
    nib_status status = NIB_OK;
    char *path = NULL, *real = NULL, *real_root = NULL, *real_sibling = NULL;
    memset(out, 0, sizeof *out);
    if (!relative[0] || relative[0] == '/')
        NIB_FAIL(err, NIB_BAD_MODEL, "the path \"%s\" must be relative to the model's folder", relative);
    for (const char *p = relative; *p;) { /* refuse ".." as a component, even where it would lead back inside */
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') NIB_FAIL(err, NIB_BAD_MODEL, "the path \"%s\" leaves the model's folder", relative);
        p += n;
        while (*p == '/') p++;
    }
    path = base_path_join(heap, root, relative);
    if (!path) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    real = realpath(path, NULL);
    if (!real) NIB_TRY(open_error(path, errno, err));
    real_root = realpath(root, NULL);
    if (!real_root) NIB_TRY(open_error(root, errno, err));
    bool inside = lies_in(real, real_root);
    if (!inside && sibling) real_sibling = realpath(sibling, NULL);
    if (!inside)
        inside =
            is_blob_of(real, real_root) || (real_sibling && !lies_in(real_sibling, real_root) && goes_along(real, real_sibling, relative));
    if (!inside) NIB_FAIL(err, NIB_BAD_MODEL, "the path \"%s\" leads out of the model's folder", relative);
    NIB_TRY(base_file_open(heap, real, private_read, out, err));
fail:
    base_free(heap, path);
    free(real);
    free(real_root);
    free(real_sibling);
    return status;
}

/* A name lasts once its folder is on the disk. One that may not be read (-1) cannot be asked for that, and some systems sync no folders.
 * Closes it; 0 or errno. */
static int sync_folder(int folder) {
    int e = folder >= 0 && fsync(folder) != 0 && errno != EINVAL ? errno : 0;
    if (folder >= 0) close(folder);
    return e;
}

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

nib_status base_dir_create(const char *path, nib_error *err) {
    if (mkdir(path, 0777) == 0) {
        int made = open(path, FOLDER_FLAGS);
        int e = sync_folder(made >= 0 ? openat(made, "..", FOLDER_FLAGS) : -1);
        if (made >= 0) close(made);
        return e ? base_error_set(err, NIB_IO, "%s: cannot be made: %s", path, strerror(e)) : NIB_OK;
    }
    if (base_path_is_dir(path)) return NIB_OK;
    return base_error_set(err, NIB_IO, "%s: cannot be made: %s", path, strerror(errno == EEXIST ? ENOTDIR : errno));
}

bool base_file_peek(const char *path, void *out, size_t room, size_t *n) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t got = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? pread(fd, out, room, 0) : -1;
    if (fd >= 0) close(fd);
    *n = got > 0 ? (size_t)got : 0;
    return got >= 0;
}

bool base_file_begins(const char *path, const void *bytes, size_t n) {
    uint8_t begin[64];
    size_t got;
    return n <= sizeof begin && base_file_peek(path, begin, n, &got) && got == n && memcmp(begin, bytes, n) == 0;
}

bool base_path_same(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool base_path_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool base_path_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

char *base_path_join(base_heap *heap, const char *dir, const char *name) {
    size_t a = strlen(dir), b = strlen(name);
    bool slash = a > 0 && dir[a - 1] == '/';
    char *p = base_alloc(heap, a + b + 2);
    if (!p) return NULL;
    memcpy(p, dir, a);
    if (!slash) p[a++] = '/';
    memcpy(p + a, name, b + 1);
    return p;
}

char *base_path_dir(base_heap *heap, const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return base_strndup(heap, ".", 1);
    return base_strndup(heap, path, slash == path ? 1 : (size_t)(slash - path));
}

struct base_writer {
    base_heap *heap;
    char *folder, *path, *temp; /* temp: the name before the rename; "" while there is none in the folder */
    int fd;
    bool nameless; /* the file gets temp's name when it is committed */
    bool failed;   /* something was not written: commit must not show what was */
};

/* Calls make with names beside w->path in w->temp until one is free; its result. */
static int with_free_name(base_writer *w, int (*make)(const base_writer *)) {
    static _Atomic unsigned counter;
    int got = -1;
    for (int i = 0; i < 100; i++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        unsigned name = ((unsigned)now.tv_nsec ^ (unsigned)getpid() << 12) + counter++ * 7919u;
        sprintf(w->temp, "%s.%06x", w->path, name & 0xffffffu);
        if ((got = make(w)) >= 0 || errno != EEXIST) break;
    }
    if (got < 0) w->temp[0] = 0; /* nothing to remove */
    return got;
}

static int make_named(const base_writer *w) { return open(w->temp, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666); }

static void proc_name(const base_writer *w, char name[32]) { snprintf(name, 32, "/proc/self/fd/%d", w->fd); }

static int link_nameless(const base_writer *w) {
    char name[32];
    proc_name(w, name);
    return linkat(AT_FDCWD, name, AT_FDCWD, w->temp, AT_SYMLINK_FOLLOW);
}

/* A file without a name, where the system has them: whatever ends this process, nothing is left in the folder. */
static nib_status open_temp(base_writer *w, nib_error *err) {
    char name[32];
    struct stat st;
#ifdef O_TMPFILE
    w->fd = open(w->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
#endif
    proc_name(w, name);
    w->nameless = w->fd >= 0 && stat(name, &st) == 0;
    if (w->nameless) return NIB_OK;
    if (w->fd >= 0) close(w->fd);
    w->fd = with_free_name(w, make_named);
    return w->fd >= 0 ? NIB_OK : base_error_set(err, NIB_IO, "%s: cannot be written: %s", w->path, strerror(errno));
}

nib_status base_writer_open(base_heap *heap, const char *path, base_writer **out, nib_error *err) {
    nib_status status = NIB_OK;
    *out = NULL;
    base_writer *w = base_calloc(heap, 1, sizeof *w);
    if (!w) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    w->heap = heap;
    w->fd = -1;
    w->path = base_strndup(heap, path, strlen(path));
    w->folder = base_path_dir(heap, path);
    w->temp = base_calloc(heap, strlen(path) + 16, 1);
    if (!w->folder || !w->path || !w->temp) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode)) NIB_FAIL(err, NIB_IO, "%s: is a folder", path);
    if (exists && !S_ISREG(st.st_mode)) NIB_FAIL(err, NIB_IO, "%s: is no regular file, and would be replaced by one", path);
    NIB_TRY(open_temp(w, err));
    /* keep an existing file's permissions; else the umask has decided */
    if (exists && fchmod(w->fd, st.st_mode & 0777) != 0) NIB_FAIL(err, NIB_IO, "%s: %s", path, strerror(errno));
    *out = w;
    return NIB_OK;
fail:
    base_writer_abort(w);
    return status;
}

#define WRITE_MOST ((size_t)8 << 20) /* at a time: a call that is stopped waits for no more */

nib_status base_writer_write(base_writer *w, const void *bytes, size_t n, nib_error *err) {
    const char *p = bytes;
    while (n) {
        nib_status stopped = base_stop_check(err);
        if (stopped != NIB_OK) return stopped;
        ssize_t k = write(w->fd, p, n < WRITE_MOST ? n : WRITE_MOST);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) {
            w->failed = true;
            return base_error_set(err, NIB_IO, "%s: cannot be written: %s", w->path, strerror(errno));
        }
        p += k;
        n -= (size_t)k;
    }
    return NIB_OK;
}

nib_status base_writer_rewind(base_writer *w, nib_error *err) {
    if (lseek(w->fd, 0, SEEK_SET) == 0) return NIB_OK;
    return base_error_set(err, NIB_IO, "%s: %s", w->path, strerror(errno));
}

nib_status base_writer_sync(base_writer *w, nib_error *err) {
    if (!w->failed && (fsync(w->fd) == 0 || errno == EINVAL)) return NIB_OK;
    w->failed = true;
    return base_error_set(err, NIB_IO, "%s: cannot be written: %s", w->path, strerror(errno));
}

nib_status base_writer_commit(base_writer *w, nib_error *err) {
    nib_status status = NIB_OK;
    int e = w->failed ? EIO : 0, folder = -1;
    if (!e && (folder = open(w->folder, FOLDER_FLAGS)) < 0 && errno != EACCES) e = errno;
    if (!e && fsync(w->fd) != 0 && errno != EINVAL) e = errno;
    if (!e && w->nameless && with_free_name(w, link_nameless) < 0) e = errno;
    if (close(w->fd) != 0 && !e) e = errno;
    w->fd = -1;
    if (!e && rename(w->temp, w->path) != 0) e = errno;
    int synced = sync_folder(folder);
    if (!e) e = synced;
    if (e) status = base_error_set(err, NIB_IO, "%s: cannot be written: %s", w->path, strerror(e));
    else w->temp[0] = 0;
    base_writer_abort(w);
    return status;
}

void base_writer_abort(base_writer *w) {
    if (!w) return;
    if (w->fd >= 0) close(w->fd);
    if (w->temp && w->temp[0]) unlink(w->temp);
    base_free(w->heap, w->temp);
    base_free(w->heap, w->path);
    base_free(w->heap, w->folder);
    base_free(w->heap, w);
}
