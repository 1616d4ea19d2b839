/* SPDX-License-Identifier: Apache-2.0
 *
 * See base_disk.h. In: paths. Out: folders, links and files on them, or the system's reason why not.
 */
#include "base_disk.h"
#include "base_pool.h"
#include "base_sort.h"
#include "base_stop.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define FOLDER (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define TURN 0.02 /* seconds between two looks, at a lock or at whether the call is to end */

static nib_status failed(const char *path, const char *what, int e, nib_error *err) {
    return base_error_set(err, NIB_IO, "%s: %s: %s", path, what, strerror(e));
}

/* ---------------------------------------------------------------- folders */

/* The root and what is above it: links are followed there. */
static nib_status make_root(const char *root, nib_error *err) {
    char path[4096];
    const size_t n = strlen(root);
    if (n >= sizeof path) return failed(root, "cannot be made", ENAMETOOLONG, err);
    memcpy(path, root, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i]) continue;
        const char end = path[i];
        path[i] = 0;
        const int made = mkdir(path, 0777), e = errno;
        struct stat st;
        if (made != 0 && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
            return failed(path, "cannot be made", e == EEXIST ? ENOTDIR : e, err);
        path[i] = end;
    }
    return NIB_OK;
}

nib_status base_dirs_create(const char *root, const char *relative, nib_error *err) {
    char name[256];
    nib_status status = make_root(root, err);
    if (status != NIB_OK) return status;
    int at = open(root, FOLDER);
    if (at < 0) return failed(root, "cannot be opened", errno, err);
    for (const char *p = relative; *p && at >= 0;) {
        const size_t n = strcspn(p, "/");
        if (n >= sizeof name) errno = ENAMETOOLONG;
        else {
            memcpy(name, p, n);
            name[n] = 0;
            mkdirat(at, name, 0777);
        }
        const int next = n < sizeof name ? openat(at, name, FOLDER | O_NOFOLLOW) : -1, e = errno;
        close(at);
        at = next;
        if (at < 0)
            return base_error_set(err, NIB_IO, "%s/%s: cannot be made: %s", root, relative,
                                  e == ELOOP || e == ENOTDIR ? "a link or a file stands in the place of a folder"
                                                             : strerror(e));
        p += n;
        while (*p == '/') p++;
    }
    close(at);
    return NIB_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

nib_status base_dir_each(base_heap *heap, const char *path, size_t most,
                         nib_status (*each)(void *user, const char *name, nib_error *err), void *user, nib_error *err) {
    nib_status status = NIB_OK;
    base_arena names;
    char **list = NULL;
    size_t count = 0, capacity = 0;
    DIR *dir = opendir(path);
    if (!dir) return errno == ENOENT || errno == ENOTDIR ? NIB_OK : failed(path, "cannot be read", errno, err);
    base_arena_init(&names, heap);
    for (struct dirent *d; (d = readdir(dir));) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) continue;
        if (count == most) NIB_FAIL(err, NIB_LIMIT, "%s: more than %zu names", path, most);
        if (!base_grow(heap, (void **)&list, &capacity, count + 1, sizeof *list))
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
        if (!(list[count] = base_arena_strndup(&names, d->d_name, strlen(d->d_name))))
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
        count++;
    }
    base_sort(list, count, sizeof *list, by_name);
    for (size_t i = 0; i < count; i++) NIB_TRY(each(user, list[i], err));
fail:
    closedir(dir);
    base_free(heap, list);
    base_arena_free(&names);
    return status;
}

uint64_t base_disk_room(const char *path) {
    struct statvfs v;
    if (statvfs(path, &v) != 0 || v.f_blocks == 0) return UINT64_MAX;
    return (uint64_t)v.f_bavail * (v.f_frsize ? v.f_frsize : v.f_bsize);
}

int64_t base_path_size(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (int64_t)st.st_size : -1;
}

bool base_path_is_own_dir(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool base_path_taken(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

/* ---------------------------------------------------------------- links and names */

nib_status base_path_move(const char *from, const char *to, nib_error *err) {
    return rename(from, to) == 0 ? NIB_OK : failed(to, "cannot be given its name", errno, err);
}

void base_path_remove(const char *path) { unlink(path); }

nib_status base_link_put(const char *target, const char *path, nib_error *err) {
    static _Atomic unsigned counter;
    char temp[4096 + 32];
    if (strlen(path) >= 4096) return failed(path, "cannot be linked", ENAMETOOLONG, err);
    for (int i = 0; i < 100; i++) {
        snprintf(temp, sizeof temp, "%s.%x.%x", path, (unsigned)getpid(), counter++);
        if (symlink(target, temp) == 0) {
            if (rename(temp, path) == 0) return NIB_OK;
            const int e = errno;
            unlink(temp);
            return failed(path, "cannot be linked", e, err);
        }
        if (errno != EEXIST) break;
    }
    if (errno == EPERM || errno == ENOSYS || errno == EOPNOTSUPP)
        return base_error_set(err, NIB_UNSUPPORTED, "%s: the file system has no links", path);
    return failed(path, "cannot be linked", errno, err);
}

/* ---------------------------------------------------------------- locks */

nib_status base_wait(double seconds, nib_error *err) {
    nib_status status;
    const double end = base_clock() + seconds;
    while ((status = base_stop_check(err)) == NIB_OK) {
        const double left = end - base_clock(), turn = left < TURN ? left : TURN;
        if (left <= 0) break;
        const struct timespec t = {0, (long)(1e9 * turn)};
        nanosleep(&t, NULL);
    }
    return status;
}

/* Whether the file that was opened still has the name: who unlocks may take it away. */
static bool still_named(int fd, const char *path) {
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

nib_status base_lock_take(const char *path, int *lock, nib_error *err) {
    *lock = -1;
    for (;;) {
        nib_status status;
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0664);
        if (fd < 0) return failed(path, "cannot be locked", errno, err);
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EINTR)) {
            *lock = fd;
            if (still_named(fd, path)) return NIB_OK;
        }
        close(fd);
        *lock = -1;
        if ((status = base_wait(TURN, err)) != NIB_OK) return status;
    }
}

void base_lock_release(int lock) {
    if (lock >= 0) close(lock);
}

/* ---------------------------------------------------------------- parts */

struct base_part {
    base_heap *heap;
    char *path;
    int fd;
};

nib_status base_part_open(base_heap *heap, const char *path, base_part **out, uint64_t *size, nib_error *err) {
    nib_status status = NIB_OK;
    struct stat st;
    *out = NULL;
    base_part *p = base_calloc(heap, 1, sizeof *p);
    if (!p) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    p->heap = heap;
    p->fd = -1;
    if (!(p->path = base_strndup(heap, path, strlen(path)))) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    p->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (p->fd < 0)
        NIB_TRY(failed(path, errno == ELOOP ? "a link stands in the place of a file" : "cannot be opened", errno, err));
    if (fstat(p->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
        NIB_FAIL(err, NIB_IO, "%s: is no file that has this name alone", path);
    *size = (uint64_t)st.st_size;
    *out = p;
    return NIB_OK;
fail:
    base_part_close(p);
    return status;
}

nib_status base_part_read(base_part *p, uint64_t at, void *out, size_t n, nib_error *err) {
    for (char *to = out; n;) {
        const ssize_t k = pread(p->fd, to, n, (off_t)at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return failed(p->path, "cannot be read", k < 0 ? errno : EIO, err);
        to += k;
        at += (uint64_t)k;
        n -= (size_t)k;
    }
    return NIB_OK;
}

nib_status base_part_write(base_part *p, uint64_t at, const void *bytes, size_t n, nib_error *err) {
    for (const char *from = bytes; n;) {
        const ssize_t k = pwrite(p->fd, from, n, (off_t)at);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return failed(p->path, "cannot be written", errno, err);
        from += k;
        at += (uint64_t)k;
        n -= (size_t)k;
    }
    return NIB_OK;
}

/* A name lasts once its folder is on the disk; some systems sync no folders. */
static int sync_folder_of(const char *path) {
    char folder[4096];
    const char *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof folder) return ENAMETOOLONG;
    memcpy(folder, path, n);
    memcpy(folder + n, n ? "" : ".", n ? 1 : 2);
    const int fd = open(folder, FOLDER), e = fd >= 0 && fsync(fd) != 0 && errno != EINVAL ? errno : 0;
    if (fd >= 0) close(fd);
    return e;
}

nib_status base_part_commit(base_part *p, uint64_t size, const char *path, nib_error *err) {
    int e = ftruncate(p->fd, (off_t)size) != 0 || (fsync(p->fd) != 0 && errno != EINVAL) || rename(p->path, path) != 0
                ? errno
                : 0;
    if (!e) e = sync_folder_of(path);
    return e ? failed(path, "cannot be written", e, err) : NIB_OK;
}

void base_part_close(base_part *p) {
    if (!p) return;
    if (p->fd >= 0) close(p->fd);
    base_free(p->heap, p->path);
    base_free(p->heap, p);
}
