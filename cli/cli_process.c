/* SPDX-License-Identifier: Apache-2.0
 *
 * What every verb needs of the process: its three descriptors, signals, the clock, the terminal, and how it says what went wrong.
 */
#include "cli.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

volatile sig_atomic_t cli_signal;
bool cli_quiet;

static void on_signal(int number) { cli_signal = number; }

int cli_stop(void *user, uint64_t done, uint64_t total) { return cli_signal != 0; }

/* Models are mapped: a file that somebody truncates while we read it raises SIGBUS. Say so instead of a bare crash. */
static void on_bus_error(int number) {
    static const char message[] = "nib: a mapped file became shorter while it was in use\n";
    if (write(STDERR_FILENO, message, sizeof message - 1) < 0) _exit(2);
    _exit(1);
}

void cli_start(void) {
    /* A descriptor that the caller has closed is opened the wrong way round: its use fails, as it must, and no file that is opened later
     * gets its number and what is printed. */
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY) != fd) _exit(1);
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves, or a file limit, is seen as a failed write: nothing half-written stays */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGBUS, on_bus_error);
}

void cli_catch(bool once) {
    /* no SA_RESTART: a blocked read returns, the loop ends, files are removed */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = once ? (int)SA_RESETHAND : 0};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* The other end of the pipe or socket is gone. */
static bool reader_left(void) {
    struct pollfd p = {STDOUT_FILENO, 0, 0};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

int cli_done(int code) {
    errno = 0;
    bool flushed = fflush(stdout) == 0;
    int why = flushed ? 0 : errno; /* where an earlier write failed, stdio has dropped what it held, and its reason is gone */
    if (flushed && !ferror(stdout)) return code;
    if (why != EPIPE && !reader_left())
        fprintf(stderr, "nib: standard output could not be written%s%s\n", why ? ": " : "", why ? strerror(why) : "");
    return code ? code : 1;
}

bool cli_stdin_waits(void) {
    struct stat st;
    return fstat(STDIN_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode));
}

double cli_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int cli_terminal_width(void) {
    struct winsize size;
    if (!isatty(STDERR_FILENO)) return 0;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

int cli_no_memory(void) { return fputs("nib: out of memory\n", stderr), 1; }

/* How far the ceiling was, in megabytes; the last request that was refused is the one that failed. */
static void say_memory(void) {
    nib_memory m = {0};
    nib_runtime *runtime = cli_runtime(NULL, &(int){0});
    if (runtime) nib_runtime_memory(runtime, &m, sizeof m);
    if (m.limit && m.refused)
        fprintf(stderr, " (the ceiling is %.1f MB; %.1f MB were held when %.3f MB more were asked for; --memory sets it)",
                1e-6 * (double)m.limit, 1e-6 * (double)m.refused_at, 1e-6 * (double)m.refused);
}

int cli_fail(const nib_error *error) {
    if (error->status == NIB_CANCELLED && cli_signal) return fputs("nib: interrupted\n", stderr), 128 + cli_signal;
    fprintf(stderr, "nib: %s", error->message);
    if (error->node[0]) fprintf(stderr, " (node %s)", error->node);
    if (error->offset >= 0 && !strstr(error->message, "at byte ")) fprintf(stderr, " (at byte %lld)", (long long)error->offset);
    if (error->status == NIB_OUT_OF_MEMORY) say_memory();
    fputc('\n', stderr);
    switch (error->status) {
    case NIB_INVALID_ARGUMENT:
    case NIB_NOT_FOUND:
    case NIB_BAD_MODEL:
    case NIB_BAD_TOKENIZER:
    case NIB_UNSUPPORTED: return 2;
    default: return 1;
    }
}

int cli_usage(const cli_verb *verb, const char *format, ...) {
    va_list args;
    fprintf(stderr, "nib %s: ", verb->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; nib %s --help shows how\n", verb->name);
    return 2;
}

void cli_plain(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)text[i];
        putchar(c < 0x20 || c == 0x7f ? '?' : c);
    }
}

int cli_choose_input(cli_args *a, const char **input) {
    cli_list *texts = &a->plain;
    *input = a->input;
    if (texts->count == 1 && strcmp(texts->items[0], "-") == 0 && !a->input) *input = "-", texts->count = 0;
    if (*input && texts->count) return cli_usage(a->verb, "give texts or --input, not both");
    if (!*input && !texts->count && cli_stdin_waits()) *input = "-";
    if (*input || texts->count) return 0;
    return cli_usage(a->verb, "there are no texts: name some, give --input, or a pipe or file on standard input");
}
