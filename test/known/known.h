/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of known faults share: an allocator of the test's, a tiny model in a runtime that uses it, and the way they end.
 */
#ifndef KNOWN_H
#define KNOWN_H

#include <nib/nib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define FAULT_IS_THERE 1
#define FAULT_IS_GONE 0 /* or something else is wrong */
#define DIM 32

/* For what must be true before the fault can be looked for. */
#define NEEDS(condition)                                                                                                                   \
    do {                                                                                                                                   \
        if (!(condition)) return printf("%s:%d: not the known fault: %s\n", __FILE__, __LINE__, #condition), FAULT_IS_GONE;                \
    } while (0)

static inline void known_release(void *user, void *pointer, size_t bytes) { free(pointer); }

static inline nib_status known_open(void *(*allocate)(void *, size_t), nib_runtime **runtime, nib_model **model) {
    nib_runtime_options r;
    nib_model_options o;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 1;
    r.allocate = allocate;
    r.release = known_release;
    nib_status status = nib_runtime_create(&r, runtime, NULL);
    nib_model_defaults(&o, sizeof o);
    o.runtime = *runtime;
    return status == NIB_OK ? nib_model_open(NIB_TEST_DATA "/nib/tiny", &o, model, NULL) : status;
}

static inline nib_status known_embed(nib_model *model) {
    static const int32_t ids[3] = {2, 5, 3};
    const int32_t *row = ids;
    const int64_t length = 3;
    float out[DIM];
    return nib_embed_ids(model, &row, &length, 1, NULL, out, NULL);
}

#endif
