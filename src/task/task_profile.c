/* SPDX-License-Identifier: Apache-2.0
 *
 * A profile's life; what counts in it is run/'s and task_texts.c's affair.
 */
#include "task.h"

nib_status task_profile_create(nib_model *m, const plan *p, nib_profile **out, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    nib_profile *f = base_calloc(heap, 1, sizeof *f);
    *out = NULL;
    if (!f) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a profile");
    NIB_TRY(run_profile_create(p, base_pool_threads(m->runtime->pool), &f->steps, err));
    f->p = p;
    f->model = model_retain(m);
    *out = f;
    return NIB_OK;
fail:
    base_free(heap, f);
    return status;
}

void task_profile_free(nib_profile *f) {
    if (!f) return;
    nib_model *m = f->model;
    run_profile_free(f->steps);
    base_free(&m->runtime->heap, f);
    model_release(m);
}
