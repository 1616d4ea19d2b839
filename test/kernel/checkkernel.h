/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of checkkernel share: random numbers that are the same on every machine, memory between guard pages,
 * calls whose crash is caught and named, comparisons within a bound and bit by bit.
 */
#ifndef CHECKKERNEL_H
#define CHECKKERNEL_H

#include "kernel/kernel_list.h"
#include <setjmp.h>
#include <stdio.h>

/* Random numbers: xorshift; integers and multiples of 2^-24 only, so that no machine's rounding enters. */
uint64_t check_random(void);
void check_seed(uint64_t seed);
/* Begins case n of a part: what is drawn first, its inputs, does not depend on how many kernels the cases before it had. */
void check_case(const char *part, uint64_t n);
/* How many cases of `n` are tried: all; with sanitizers and in an emulator, which take ten times as long, a part of them. */
#ifdef CHECK_PART
#define CHECK_CASES(n) ((n) / CHECK_PART)
#else
#define CHECK_CASES(n) (n)
#endif
int64_t check_pick(int64_t lo, int64_t hi); /* both ends included */
bool check_chance(int percent);
float check_uniform(void); /* in [-1, 1) */

/* Memory of one case, between two inaccessible pages: it touches one of them (which, is random), and the rest of its pages
 * is a canary. `skew` in bytes moves it away from its alignment. Freed by check_release, which looks at the canaries. */
void *check_bytes(size_t bytes, size_t skew);
float *check_floats(size_t n);        /* uninitialised: filled with a NaN pattern that counts as a gap */
float *check_random_floats(size_t n); /* in [-1, 1) */
void check_release(void);

/* A kernel at work. `what` describes the case for messages. */
void check_begin(const char *kernel, const char *what, ...) __attribute__((format(printf, 2, 3)));
void check_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern sigjmp_buf check_jump;
extern volatile int check_armed;
void check_crashed(void);
/* Runs a statement; a crash in it is a failure of the kernel that check_begin named. */
#define CHECK_CALL(statement)                                                                                                              \
    do {                                                                                                                                   \
        if (sigsetjmp(check_jump, 1) == 0) {                                                                                               \
            check_armed = 1;                                                                                                               \
            statement;                                                                                                                     \
            check_armed = 0;                                                                                                               \
        } else {                                                                                                                           \
            check_crashed();                                                                                                               \
        }                                                                                                                                  \
    } while (0)

/* got[r][c] against want[r][c] within bound[r * columns + c], or `flat` where bound is NULL. NaN must meet NaN, infinity
 * itself; the gaps between the rows of `got` must be untouched. */
void check_near(const float *got, int64_t got_stride, const float *want, int64_t want_stride, int64_t rows, int64_t columns,
                const double *bound, double flat);
/* The same bits, except that any NaN equals any other. */
void check_same(const float *got, int64_t got_stride, const float *want, int64_t want_stride, int64_t rows, int64_t columns,
                const char *as_what);
/* Adds outputs to the digest of a task, printed with --digest: machines of different kinds can be compared. */
void check_digest(const char *task, const float *y, int64_t stride, int64_t rows, int64_t columns);

#define CHECK_EPSILON 5.9604644775390625e-8 /* half an ulp of 1 */

/* The candidates of one task that this machine can run, reference first. */
#define CHECK_MOST 8
typedef struct check_task {
    const kernel_entry *entry[CHECK_MOST];
    int count;
} check_task;
check_task check_find(const char *task);
extern size_t (*check_scratch)(int head_dim), (*check_q8_scratch)(int head_dim); /* of attention_f32, attention_q8 */

void check_linear(void);
void check_rows(void);
void check_convert(void);
void check_vectors(void);
void check_functions(void);
void check_maps(void);
void check_convolutions(void);
void check_attention(void);
int check_bench(const char *filter, const char *shapes, double seconds);

#endif
