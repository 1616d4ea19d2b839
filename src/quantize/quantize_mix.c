/* SPDX-License-Identifier: Apache-2.0
 *
 * How many bits each layer gets. In: layers in few bits, and what each of them costs the vectors where it alone is rounded, as it was
 * measured. Out: steps that give layers more, the best first.
 *
 * What layers lose adds up, nearly, while it is small (1 - cosine is a squared length), so a step is worth what its layer no longer
 * loses, by the bytes that it takes. With 8 bits and a scale a column a layer loses about one part in QUANTIZE_LESS of what it does with
 * 4 bits in blocks.
 */
#include "quantize.h"
#include "base/base_sort.h"

/* Bytes of a layer's weight with such codes: integers, and scales of f32. */
static double bytes_of(const quantize_layer *l, quantize_bits bits, int64_t block) {
    const double size = (double)l->K * (double)l->N;
    return size * (int)bits / 8 + (bits == QUANTIZE_NONE ? 0 : 4 * size / (double)(bits == QUANTIZE_8 ? l->K : block));
}

static quantize_step step_of(quantize_layer *l, quantize_bits from, quantize_bits to, double gain) {
    const int64_t block = l->codes.block;
    return (quantize_step){.layer = l, .bits = to, .worth = gain / (bytes_of(l, to, block) - bytes_of(l, from, block))};
}

static int by_worth(const void *a, const void *b) {
    const double x = ((const quantize_step *)a)->worth, y = ((const quantize_step *)b)->worth;
    return (x < y) - (x > y);
}

nib_status quantize_plan(base_heap *heap, const quantize_layers *layers, quantize_step **steps, int *n, nib_error *err) {
    quantize_step *out = base_calloc(heap, 2 * (size_t)layers->count + 1, sizeof *out);
    *steps = out, *n = 0;
    if (!out) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a plan of bits");
    for (int i = 0; i < layers->count; i++) {
        quantize_layer *l = &layers->items[i];
        const double all = l->effect > 0 ? l->effect : 0, little = l->codes.bits == QUANTIZE_4 ? all / QUANTIZE_LESS : all;
        if (!l->codes.q) continue;
        if (l->codes.bits == QUANTIZE_4) out[(*n)++] = step_of(l, QUANTIZE_4, QUANTIZE_8, all - little);
        out[(*n)++] = step_of(l, QUANTIZE_8, QUANTIZE_NONE, little);
    }
    base_sort(out, (size_t)*n, sizeof *out, by_worth);
    return NIB_OK;
}

static quantize_codes *place_of(quantize_layer *l, quantize_bits bits) { return bits == QUANTIZE_4 ? &l->low : &l->high; }

/* Other codes, or none; those that it had are kept for the way back. */
static nib_status use(nib_runtime *runtime, quantize_layer *l, quantize_bits bits, nib_error *err) {
    if (l->codes.bits == bits) return NIB_OK;
    if (l->codes.q) *place_of(l, l->codes.bits) = l->codes;
    l->codes = (quantize_codes){.bits = QUANTIZE_NONE};
    if (bits == QUANTIZE_NONE) return NIB_OK;
    quantize_codes *made = place_of(l, bits);
    if (!made->q) return quantize_round(runtime, l, bits, l->K, NULL, err);
    l->codes = *made;
    *made = (quantize_codes){0};
    return NIB_OK;
}

/* The fewest that it has codes of. */
static quantize_bits first_bits(const quantize_layer *l) {
    const bool has = l->codes.q != NULL;
    if (l->low.q || (has && l->codes.bits == QUANTIZE_4)) return QUANTIZE_4;
    return l->high.q || (has && l->codes.bits == QUANTIZE_8) ? QUANTIZE_8 : l->codes.bits;
}

nib_status quantize_take(nib_runtime *runtime, quantize_layers *layers, const quantize_step *steps, int n, nib_error *err) {
    nib_status status = NIB_OK;
    for (int i = 0; i < layers->count; i++) {
        quantize_layer *l = &layers->items[i];
        quantize_bits bits = first_bits(l);
        for (int k = 0; k < n; k++)
            if (steps[k].layer == l) bits = steps[k].bits;
        NIB_TRY(use(runtime, l, bits, err));
    }
fail:
    return status;
}

void quantize_fit(quantize_step *steps, int *n, uint64_t bytes, uint64_t most) {
    double left = (double)most - (double)bytes;
    int kept = 0;
    for (int k = 0; k < *n; k++) {
        const quantize_layer *l = steps[k].layer;
        quantize_bits from = l->codes.bits;
        for (int j = 0; j < kept; j++)
            if (steps[j].layer == l) from = steps[j].bits;
        const double more = bytes_of(l, steps[k].bits, l->codes.block) - bytes_of(l, from, l->codes.block);
        if (more > left || !(steps[k].worth > 0)) continue;
        left -= more;
        steps[kept++] = steps[k];
    }
    *n = kept;
}
