/* SPDX-License-Identifier: Apache-2.0
 *
 * BGE-M3's heads (Chen et al., 2024). In: the folder's sparse_linear.pt and colbert_linear.pt, state dicts of one
 * Linear each. Out: modules of tokens. Either may be missing.
 *
 *     relu(weight [1, hidden] x + bias [1])         a weight of each token
 *     weight [width, hidden] x + bias [width]       a row of each token
 */
#include "hf_modules.h"
#include "hf_torch.h"

static nib_status open_head(nib_runtime *runtime, const char *dir, const char *file, const char *activation,
                            int64_t hidden, graph *g, bool *there, hf_module *out, nib_error *err) {
    static const char *const names[] = {"weight", "bias"};
    nib_status status = NIB_OK;
    graph_tensor found[2];
    char *path = base_path_join(&runtime->heap, dir, file);
    if (!path) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a path");
    *there = base_path_is_file(path);
    base_free(&runtime->heap, path);
    if (!*there) return NIB_OK;
    NIB_TRY(hf_torch_open(runtime, dir, file, names, BASE_COUNT(names), found, g, err));
    const graph_tensor *w = &found[0], *b = &found[1];
    if (!w->data || !b->data || w->rank != 2 || b->rank != 1 || w->dims[0] < 1 || w->dims[1] < 1 ||
        b->dims[0] != w->dims[0])
        NIB_FAIL(err, NIB_BAD_MODEL, "%s: no weight [out, in] with a bias [out]", file);
    if (hidden > 0 && w->dims[1] != hidden)
        NIB_FAIL(err, NIB_BAD_MODEL, "%s: the weight takes rows of %lld numbers, and config.json has %lld", file,
                 (long long)w->dims[1], (long long)hidden);
    *out = hf_module_dense(file, w->dims[1], w->dims[0], activation);
    out->bias = true;
    out->weight = *w;
    out->offset = *b;
fail:
    return status;
}

nib_status hf_m3_open(nib_runtime *runtime, const char *dir, hf_settings *s, graph *g, nib_error *err) {
    nib_status status = NIB_OK;
    hf_m3 *m = &s->m3;
    NIB_TRY(open_head(runtime, dir, "sparse_linear.pt", "relu", s->hidden, g, &m->lexical, &m->lexical_head, err));
    NIB_TRY(open_head(runtime, dir, "colbert_linear.pt", "linear", s->hidden, g, &m->rows, &m->rows_head, err));
    if (m->lexical && m->lexical_head.out != 1)
        NIB_FAIL(err, NIB_BAD_MODEL, "sparse_linear.pt: %lld weights of each token, not one",
                 (long long)m->lexical_head.out);
fail:
    return status;
}
