/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model costs to run on this machine, before and after. In: the paths of both, texts. Out: time, and resident memory.
 *
 * Both are opened from their files, as anybody would. Memory is what the heap holds more once the texts have been embedded, and the pages
 * of mapped files that are resident then and were not before: tables are read where they lie. Rounds alternate, so that both meet the same
 * machine; the quickest counts.
 */
#include "quantize.h"
#include "base/base_cpu.h"
#include "base/base_thread.h"
#include <stdatomic.h>

#define ROUNDS 5      /* at most */
#define SECONDS 2     /* that all rounds together may go on, but for the first */

static nib_status embed(nib_model *m, const char *const *texts, size_t n, double *seconds, nib_error *err) {
    nib_status status = NIB_OK;
    int64_t width;
    float *out = NULL;
    const double begun = base_clock();
    NIB_TRY(quantize_vectors(m, texts, n, &out, &width, err));
    *seconds = base_clock() - begun;
fail:
    base_free(&m->runtime->heap, out);
    return status;
}

nib_status quantize_cost_of(nib_runtime *runtime, const char *const paths[2], const char *const *texts, size_t n, quantize_cost out[2],
                            nib_error *err) {
    static const nib_precision precisions[2] = {NIB_PRECISION_F32, NIB_PRECISION_FILE};
    nib_status status = NIB_OK;
    nib_model *m[2] = {NULL, NULL};
    const double begun = base_clock();
    for (int i = 0; i < 2; i++) {
        const size_t heap = atomic_load(&runtime->heap.current), mapped = base_cpu_mapped();
        NIB_TRY(quantize_open_model(runtime, &(model_source){.path = paths[i]}, precisions[i], -1, &m[i], err));
        NIB_TRY(embed(m[i], texts, n, &out[i].seconds, err));
        const size_t more = base_cpu_mapped();
        out[i].bytes = atomic_load(&runtime->heap.current) - heap + (more > mapped ? more - mapped : 0);
    }
    for (int round = 1; round < ROUNDS && base_clock() - begun < SECONDS; round++)
        for (int i = 0; i < 2; i++) {
            double seconds;
            NIB_TRY(embed(m[i], texts, n, &seconds, err));
            if (seconds < out[i].seconds) out[i].seconds = seconds;
        }
fail:
    model_release(m[0]);
    model_release(m[1]);
    return status;
}
