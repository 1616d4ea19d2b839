/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the caller's options, environment (NIB_NUM_THREADS, OMP_NUM_THREADS). Out: a runtime. Its own struct comes from libc,
 * because the heap lives in it.
 */
#include "base_runtime.h"
#include "base_number.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 1024

/* A positive number from the environment; OMP_NUM_THREADS may be a list: its first entry counts. 0: nothing usable, which is said: a
 * value that is there was meant to have an effect. */
static int env_threads(const nib_runtime *rt, const char *name, bool list) {
    const char *text = getenv(name);
    if (!text || !*text) return 0;
    char *end;
    long n = strtol(text, &end, 10);
    if (end != text && (*end == 0 || (list && *end == ',')) && n > 0 && n <= MAX_THREADS) return (int)n;
    base_log(rt, NIB_LOG_WARN, "%s=%s is no whole number from 1 to %d and has no effect", name, text, MAX_THREADS);
    return 0;
}

static int choose_threads(const nib_runtime *rt, int wanted) {
    if (wanted > 0) return wanted;
    int n = env_threads(rt, "NIB_NUM_THREADS", false);
    if (!n) n = env_threads(rt, "OMP_NUM_THREADS", true);
    return n ? n : base_cpu_count();
}

nib_status base_runtime_create(const nib_runtime_options *options, nib_runtime **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_runtime *rt = NULL;
    *out = NULL;
    if (options && options->threads > MAX_THREADS) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "more than %d threads were asked for", MAX_THREADS);
    if (options && !options->allocate != !options->release)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "allocate and release must be given together");
    rt = calloc(1, sizeof *rt);
    if (!rt) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    base_heap_init(&rt->heap, options);
    if (options) {
        rt->log = options->log;
        rt->log_user = options->log_user;
        rt->private_reads = options->private_reads != 0;
    }
    rt->isas = base_cpu_isas();
    atomic_store(&rt->references, 1);
    NIB_TRY(base_pool_create(&rt->heap, choose_threads(rt, options ? options->threads : 0), &rt->pool, err));
    const char *cap = getenv("NIB_CPU");
    int known = 1;
    base_cpu_cap(rt->isas, cap, &known);
    if (!known) base_log(rt, NIB_LOG_WARN, "NIB_CPU=%s is not known here and has no effect", cap);
    *out = rt;
    return NIB_OK;
fail:
    free(rt);
    return status;
}

nib_runtime *base_runtime_retain(nib_runtime *rt) {
    atomic_fetch_add(&rt->references, 1);
    return rt;
}

void base_runtime_release(nib_runtime *rt) {
    if (!rt || atomic_fetch_sub(&rt->references, 1) != 1) return;
    base_pool_free(rt->pool);
    free(rt);
}

void base_log(const nib_runtime *rt, nib_log_level level, const char *format, ...) {
    if (!rt || !rt->log) return;
    char text[512], clean[512];
    va_list args;
    va_start(args, format);
    base_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    base_clean_copy(clean, sizeof clean, text);
    rt->log(rt->log_user, level, clean);
}
