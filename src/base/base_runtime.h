/* SPDX-License-Identifier: Apache-2.0
 *
 * The runtime: what every open is given. Heap with its ceiling, log callback, thread pool. Reference counted; models keep
 * it alive. Devices hang on the plans of each model, not here: opening one is cheap and a model says which it wants.
 */
#ifndef BASE_RUNTIME_H
#define BASE_RUNTIME_H

#include "base_cpu.h"
#include "base_mem.h"
#include "base_pool.h"
#include "base_stop.h"

struct nib_runtime {
    base_heap heap;
    base_pool *pool;
    nib_log_fn log;
    void *log_user;
    bool private_reads;
    uint32_t isas; /* base_cpu_isas() */
    _Atomic int references;
};

nib_status base_runtime_create(const nib_runtime_options *options, nib_runtime **out, nib_error *err);
nib_runtime *base_runtime_retain(nib_runtime *runtime);
void base_runtime_release(nib_runtime *runtime); /* NULL is accepted */
void base_log(const nib_runtime *runtime, nib_log_level level, const char *format, ...) BASE_PRINTF(3, 4);

#endif
