/* SPDX-License-Identifier: Apache-2.0
 * Bytes -> a compiled model, with checksums made to agree, and vectors of a few texts and ids from whatever opens.
 */
#include "fuzz.h"
#include "nib_sign.h"

static void embed(nib_model *m) {
    static const char *const texts[] = {"nibs of the pen", "", "a b c ab \xc3\xa9t\xc3\xa9 zz [MASK]"};
    static const int32_t row[] = {2, 5, 6, 7, 3};
    const int32_t *ids[] = {row, row};
    const int64_t lengths[] = {5, 2};
    nib_error err;
    size_t dim = (size_t)nib_model_dim(m);
    float *out = dim && dim < 1 << 16 ? calloc(3 * dim, sizeof *out) : NULL;
    if (out) nib_embed(m, texts, 3, NULL, out, &err);
    if (out && nib_model_max_tokens(m) >= 5) nib_embed_ids(m, ids, lengths, 2, NULL, out, &err);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current);
    nib_error err;
    nib_model *m;
    nib_session *s;
    nib_model_options o;
    uint8_t *copy = malloc(size + 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    nib_sign(copy, size);
    nib_model_defaults(&o);
    o.runtime = rt;
    rt->private_reads = true; /* so that a sanitizer sees what is read beyond the file */
    if (nib_model_open(fuzz_file("model.nib", copy, size), &o, &m, &err) == NIB_OK) {
        embed(m);
        nib_model_describe(m, NULL, 0, &size);
        if (nib_session_create(m, &s, &err) == NIB_OK) nib_session_free(s);
        nib_model_free(m);
    }
    free(copy);
    fuzz_no_leak(before);
    return 0;
}
