/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_lines.h. In: a file descriptor. Out: batches of lines. The buffer holds what was read and not yet given:
 *
 *     | given lines | lines of this batch | begun line ... | free |
 *       0            begin                                 end
 */
#include "cli_lines.h"
#include "cli.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAUSE_MS 5 /* an input that is silent for so long pauses */
#define READ_SIZE 65536
#define BATCH_BYTES (4u << 20)

struct cli_lines {
    int fd;
    bool regular, end, begun; /* begun: its first line was found */
    char *data;
    size_t begin, stop, capacity;
    const char **texts;
    size_t *lengths, room;
    unsigned long long done, total;
};

cli_lines *cli_lines_open(const char *path, const char **reason) {
    struct stat st;
    cli_lines *l = calloc(1, sizeof *l);
    if (!l) return *reason = "out of memory", NULL;
    l->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (l->fd < 0 || fstat(l->fd, &st) != 0 || (S_ISDIR(st.st_mode) && (errno = EISDIR))) {
        *reason = strerror(errno);
        cli_lines_close(l);
        return NULL;
    }
    l->regular = S_ISREG(st.st_mode);
    l->total = l->regular ? (unsigned long long)st.st_size : 0;
    return l;
}

void cli_lines_close(cli_lines *l) {
    if (!l) return;
    if (l->fd > STDIN_FILENO) close(l->fd);
    free(l->data);
    free(l->texts);
    free(l->lengths);
    free(l);
}

/* Reads once. 1: something came, 0: the end, -1: an error, 2: nothing yet and `wait` is false. */
static int fill(cli_lines *l, bool wait, const char **reason) {
    if (l->capacity - l->stop < READ_SIZE) {
        size_t want = l->capacity ? l->capacity * 2 : 4 * READ_SIZE;
        char *grown = realloc(l->data, want);
        if (!grown) return *reason = "out of memory for a line", -1;
        l->data = grown;
        l->capacity = want;
    }
    for (;;) {
        struct pollfd p = {l->fd, POLLIN, 0};
        if (!wait && !l->regular && poll(&p, 1, PAUSE_MS) == 0) return 2;
        ssize_t n = read(l->fd, l->data + l->stop, l->capacity - l->stop);
        if (n < 0 && errno == EINTR && cli_signal) return 0; /* asked to end: so does the input */
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return *reason = strerror(errno), -1;
        const bool first = l->done == 0;
        l->stop += (size_t)n;
        l->done += (unsigned long long)n;
        if (first && n >= 6 && memcmp(l->data, "\x93NUMPY", 6) == 0) return *reason = "an array of numbers (.npy), not lines of text", -1;
        return n > 0;
    }
}

static bool room_for(cli_lines *l, size_t n) {
    if (n <= l->room) return true;
    size_t want = l->room ? l->room * 2 : 256;
    const char **texts = realloc(l->texts, want * sizeof *texts);
    if (texts) l->texts = texts;
    size_t *lengths = realloc(l->lengths, want * sizeof *lengths);
    if (lengths) l->lengths = lengths;
    if (texts && lengths) l->room = want;
    return texts && lengths;
}

size_t cli_lines_mark(const char *text, size_t length) {
    return length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

long cli_lines_next(cli_lines *l, size_t most, const char *const **texts, const size_t **lengths, const char **reason) {
    size_t n = 0, at, scanned;
    memmove(l->data ? l->data : (char *)"", l->data ? l->data + l->begin : "", l->stop - l->begin);
    l->stop -= l->begin;
    l->begin = at = scanned = 0;
    /* Offsets first: the buffer may move while it grows. */
    while (n < most && at < BATCH_BYTES) {
        char *newline = scanned < l->stop ? memchr(l->data + scanned, '\n', l->stop - scanned) : NULL;
        if (!newline && !l->end) {
            scanned = l->stop;
            int got = fill(l, n == 0, reason);
            if (got < 0) return -1;
            if (got == 2) break; /* lines are here and the input pauses: answer them */
            if (got == 0) l->end = true;
            continue;
        }
        size_t stop = newline ? (size_t)(newline - l->data) : l->stop;
        if (!l->begun && stop > at) at += cli_lines_mark(l->data + at, stop - at);
        l->begun = true;
        if (!newline && at == l->stop) break;
        if (!room_for(l, n + 1)) return *reason = "out of memory for lines", -1;
        l->lengths[n] = stop - at - (stop > at && l->data[stop - 1] == '\r');
        l->texts[n++] = (const char *)(at + 1); /* offset + 1, made an address below */
        at = scanned = newline ? stop + 1 : stop;
    }
    for (size_t i = 0; i < n; i++) l->texts[i] = l->data + ((size_t)l->texts[i] - 1);
    l->begin = at;
    *texts = l->texts;
    *lengths = l->lengths;
    return (long)n;
}

void cli_lines_progress(const cli_lines *l, unsigned long long *done, unsigned long long *total) {
    *done = l->done - (l->stop - l->begin);
    *total = l->total;
}

int cli_lines_each(const char *path, size_t most,
                   int (*each)(void *user, const char *const *texts, const size_t *lengths, size_t n), void *user) {
    const char *reason = NULL, *const *texts;
    const size_t *lengths;
    int code = 0;
    cli_lines *lines = cli_lines_open(path, &reason);
    if (!lines) return fprintf(stderr, "nib: %s: %s\n", path, reason), 2;
    for (size_t now = most < 64 ? most : 64; code == 0 && !cli_signal; now = most) {
        const long n = cli_lines_next(lines, now, &texts, &lengths, &reason);
        if (n < 0) code = (fprintf(stderr, "nib: %s: %s\n", path, reason), 1);
        if (n <= 0) break;
        code = each(user, texts, lengths, (size_t)n);
    }
    cli_lines_close(lines);
    if (cli_signal && code == 0) code = (fputs("nib: interrupted\n", stderr), 128 + cli_signal);
    return code;
}
