/* SPDX-License-Identifier: Apache-2.0
 *
 * A model that was opened in few bits, held to a cosine. In: the model, what it was opened from. Out: the same model, of which the layers
 * that cost most have more bits, so that what its task gives for nib's own sentences is as near to those of the same source in f32 as is
 * asked for; or DIFFERENT.
 *
 * What a layer costs is measured where it alone is rounded, on a few of the sentences; steps from 4 to 8 bits and from there to f32 are
 * put in the order of what they gain for a byte (as quantize_mix.c has them for files), and the shortest beginning of that order that
 * keeps the cosine is looked for by halving. Attentions' products come last: they have no weights.
 */
#include "quantize.h"
#include "base/base_number.h"
#include "base/base_sort.h"
#include "quantize_texts.h"
#include <string.h>

#define GROUPS 32 /* at most, of neighbouring layers: each is measured by opening the model once more */
#define FEW 8     /* sentences that are enough for an order */

const char *const *quantize_own_texts(size_t *n) {
    *n = QUANTIZE_TEXTS;
    return quantize_texts;
}

typedef struct raise { /* of layers [lo, hi) that have fewer bits than `to` */
    int lo, hi;
    kernel_weight_format to;
    double worth;
} raise;

typedef struct holder {
    nib_model *m;
    quant_layers all; /* as the model's precision has them */
    const char *const *texts;
    size_t n;
    quantize_rows wanted;
    kernel_weight_format *now; /* [all.count] */
    raise *steps;
    int n_steps;
    quantize_quality q; /* as it was measured last */
} holder;

/* Of a number, without scales. */
static double bytes_of(kernel_weight_format f) {
    const base_quant *type = &kernel_weight_formats[f].type;
    return base_is_quantized(type) ? (double)nib_dtype_bits(type->element) / 8 : sizeof(float);
}

/* The model with the formats of h->now, and how near its vectors of the first n sentences are. */
static nib_status measure(holder *h, size_t n, const char *why, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &h->m->runtime->heap;
    quant_layers chosen = {0};
    quantize_rows got = {0};
    for (int i = 0; i < h->all.count; i++) NIB_TRY(quant_layers_add(heap, &chosen, h->all.items[i].name, h->now[i], 0, err));
    model_choose(h->m, &chosen, why);
    NIB_TRY(quantize_rows_of(h->m, h->texts, n, &got, err));
    NIB_TRY(quantize_rows_compare(heap, &h->wanted, &got, &h->q, err));
fail:
    quant_layers_free(heap, &chosen);
    quantize_rows_free(heap, &got);
    return status;
}

static nib_status measure_f32(holder *h, const model_source *source, const nib_model_options *asked, nib_error *err) {
    nib_model *reference = NULL;
    nib_model_options o = *asked;
    o.runtime = h->m->runtime, o.precision = NIB_PRECISION_F32, o.stop = NULL;
    nib_status status = model_open(source, &o, &reference, err);
    if (status == NIB_OK) status = quantize_rows_of(reference, h->texts, h->n, &h->wanted, err);
    model_release(reference);
    return status;
}

/* Of layers [lo, hi), which alone are rounded, what the cosine loses. */
static nib_status loss_of(holder *h, int lo, int hi, double *loss, nib_error *err) {
    for (int i = 0; i < h->all.count; i++) h->now[i] = i >= lo && i < hi ? h->all.items[i].format : KERNEL_WEIGHT_F32;
    const nib_status status = measure(h, h->n < FEW ? h->n : FEW, "", err);
    *loss = status == NIB_OK && h->q.mean < 1 ? 1 - h->q.mean : 0;
    return status;
}

static int by_worth(const void *a, const void *b) {
    const raise *x = a, *y = b;
    if (x->worth != y->worth) return (x->worth < y->worth) - (x->worth > y->worth);
    return x->lo != y->lo ? (x->lo > y->lo) - (x->lo < y->lo) : (x->to > y->to) - (x->to < y->to);
}

static bool is_attention(const holder *h, int i) { return strcmp(h->all.items[i].name, QUANT_ATTENTION) == 0; }

static void add_step(holder *h, int lo, int hi, kernel_weight_format from, kernel_weight_format to, double gain) {
    double bytes = 0;
    for (int i = lo; i < hi; i++) bytes += h->all.items[i].numbers * (bytes_of(to) - bytes_of(from));
    h->steps[h->n_steps++] = (raise){lo, hi, to, bytes > 0 ? gain / bytes : 0};
}

/* The steps, the best first. Neighbours of one format are a group; attentions' products are none of any, and come last. */
static nib_status plan_steps(holder *h, nib_error *err) {
    const int each = (h->all.count + GROUPS - 1) / GROUPS;
    for (int lo = 0, hi; lo < h->all.count; lo = hi) {
        const kernel_weight_format from = h->all.items[lo].format;
        double loss;
        hi = lo + 1;
        if (is_attention(h, lo)) {
            h->steps[h->n_steps++] = (raise){lo, hi, KERNEL_WEIGHT_F32, -1};
            continue;
        }
        while (hi < h->all.count && hi - lo < each && h->all.items[hi].format == from && !is_attention(h, hi)) hi++;
        nib_status status = loss_of(h, lo, hi, &loss, err);
        if (status != NIB_OK) return status;
        const bool four = from == KERNEL_WEIGHT_Q4;
        const double rest = four ? loss / QUANTIZE_LESS : loss;
        if (four) add_step(h, lo, hi, from, KERNEL_WEIGHT_Q8, loss - rest);
        add_step(h, lo, hi, four ? KERNEL_WEIGHT_Q8 : from, KERNEL_WEIGHT_F32, rest);
    }
    base_sort(h->steps, (size_t)h->n_steps, sizeof *h->steps, by_worth);
    return NIB_OK;
}

/* The first n steps are taken. */
static void take(holder *h, int n) {
    for (int i = 0; i < h->all.count; i++) h->now[i] = h->all.items[i].format;
    for (int k = 0; k < n; k++)
        for (int i = h->steps[k].lo; i < h->steps[k].hi; i++)
            if (bytes_of(h->now[i]) < bytes_of(h->steps[k].to)) h->now[i] = h->steps[k].to;
}

/* What was done, in a line. */
static void say(const holder *h, double least, char *out, size_t size) {
    int bits8 = 0, f32 = 0;
    for (int i = 0; i < h->all.count; i++) {
        bits8 += h->now[i] == KERNEL_WEIGHT_Q8 && h->all.items[i].format == KERNEL_WEIGHT_Q4;
        f32 += h->now[i] == KERNEL_WEIGHT_F32;
    }
    base_snprintf(out, size, "held to %.6g: of %d layers %d raised to 8 bits, %d to f32", least, h->all.count, bits8, f32);
}

static nib_status repair(holder *h, double least, nib_error *err) {
    nib_status status = NIB_OK;
    char why[120];
    const model_program *p;
    base_heap *heap = &h->m->runtime->heap;
    NIB_TRY(model_get_program(h->m, (int)h->m->task, &p, err));
    for (int i = 0; i < p->rounded.count; i++) {
        const quant_layer *l = &p->rounded.items[i];
        NIB_TRY(quant_layers_add(heap, &h->all, l->name, l->format, l->numbers, err));
    }
    h->now = base_calloc(heap, (size_t)h->all.count + 1, sizeof *h->now);
    h->steps = base_calloc(heap, 2 * (size_t)h->all.count + 1, sizeof *h->steps);
    if (!h->now || !h->steps) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a choice of layers");
    NIB_TRY(plan_steps(h, err));
    int lo = 0, hi = h->n_steps; /* lo steps are too few, hi are enough, if any number is */
    while (hi - lo > 1) {
        const int mid = lo + (hi - lo) / 2;
        take(h, mid);
        NIB_TRY(measure(h, h->n, "", err));
        *(h->q.mean >= least ? &hi : &lo) = mid;
    }
    take(h, hi);
    say(h, least, why, sizeof why);
    NIB_TRY(measure(h, h->n, why, err));
    base_log(h->m->runtime, NIB_LOG_INFO, "%s; mean cosine %.5f", why, h->q.mean);
fail:
    return status;
}

nib_status quantize_hold_to(nib_model *m, const model_source *source, const nib_model_options *asked, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    const double least = asked->min_cosine > 0 ? asked->min_cosine : QUANTIZE_MIXED_COSINE;
    holder h = {.m = m};
    quantize_rows got = {0};
    h.texts = quantize_own_texts(&h.n);
    if (m->compiled) NIB_FAIL(err, NIB_UNSUPPORTED, "min_cosine: a compiled file has no f32 to compare with; hold it to one when it is compiled");
    if (!m->tokenizer) NIB_FAIL(err, NIB_UNSUPPORTED, "min_cosine: the model has no tokenizer, and reads no texts");
    NIB_TRY(quantize_rows_of(m, h.texts, h.n, &got, err));
    NIB_TRY(measure_f32(&h, source, asked, err));
    NIB_TRY(quantize_rows_compare(heap, &h.wanted, &got, &h.q, err));
    if (!(h.q.mean >= least) && m->precision != NIB_PRECISION_FILE) NIB_TRY(repair(&h, least, err));
    if (!(h.q.mean >= least))
        NIB_FAIL(err, NIB_DIFFERENT, "in %s the mean cosine to f32 of %zu sentences is %.5f, below %.5f",
                 nib_precision_name(model_arithmetic(m->computes)), h.n, h.q.mean, least);
fail:
    quant_layers_free(heap, &h.all);
    quantize_rows_free(heap, &got);
    quantize_rows_free(heap, &h.wanted);
    base_free(heap, h.now);
    base_free(heap, h.steps);
    return status;
}
