/* SPDX-License-Identifier: Apache-2.0
 *
 * A model that was opened in few bits, held to a cosine. In: the model, what it was opened from. Out: DIFFERENT, where nib's own sentences
 * say that its vectors are further from those of the same source in f32.
 */
#include "quantize.h"
#include "quantize_texts.h"

const char *const *quantize_own_texts(size_t *n) {
    *n = QUANTIZE_TEXTS;
    return quantize_texts;
}

nib_status quantize_hold_to(nib_model *m, const model_source *source, const nib_model_options *asked, nib_error *err) {
    nib_status status = NIB_OK;
    nib_model *reference = NULL;
    nib_model_options o = *asked;
    nib_error why = {.message = ""};
    float *wanted = NULL, *got = NULL;
    int64_t width, same;
    size_t n;
    quantize_quality q;
    const char *const *texts = quantize_own_texts(&n);
    o.runtime = m->runtime, o.precision = NIB_PRECISION_F32, o.stop = NULL;
    if (m->compiled) NIB_FAIL(err, NIB_UNSUPPORTED, "min_cosine: a compiled file has no f32 to compare with; hold it to one when it is compiled");
    if (!m->tokenizer) NIB_FAIL(err, NIB_UNSUPPORTED, "min_cosine: the model has no tokenizer, and gives no vectors of texts");
    status = quantize_vectors(m, texts, n, &got, &same, &why);
    if (status == NIB_UNSUPPORTED) NIB_FAIL(err, status, "min_cosine: there are no vectors of texts to compare with f32's: %s", why.message);
    if (status != NIB_OK) NIB_FAIL(err, status, "%s", why.message);
    NIB_TRY(model_open(source, &o, &reference, err));
    NIB_TRY(quantize_vectors(reference, texts, n, &wanted, &width, err));
    if (same != width) NIB_FAIL(err, NIB_UNSUPPORTED, "min_cosine: vectors of %lld and of %lld numbers", (long long)same, (long long)width);
    quantize_compare(wanted, got, n, width, &q);
    if (!(q.mean >= asked->min_cosine))
        NIB_FAIL(err, NIB_DIFFERENT, "in %s the mean cosine to f32 of %zu sentences is %.5f, below %.5f",
                 nib_precision_name(model_arithmetic(m->computes)), n, q.mean, asked->min_cosine);
fail:
    base_free(&m->runtime->heap, wanted);
    base_free(&m->runtime->heap, got);
    model_release(reference);
    return status;
}
