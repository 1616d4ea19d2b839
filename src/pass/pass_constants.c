/* SPDX-License-Identifier: Apache-2.0
 *
 * Constants that are written twice. In: any graph. Out: one of each, so that nodes which read equal constants are seen to be
 * equal, and a weight that an exporter copied lies in the file once.
 *
 * A hash of a few bytes finds candidates; only those are compared in full, so that weights are not read from the disk for it.
 */
#include "pass.h"
#include <string.h>

#define SAMPLES 16

static uint64_t mix(uint64_t h, uint64_t x) { return (h ^ x) * 0x9e3779b97f4a7c15ull ^ (h >> 29); }

static uint64_t hash_of(const graph_tensor *t) {
    uint64_t h = mix((uint64_t)t->dtype, (uint64_t)t->rank);
    for (int i = 0; i < t->rank; i++) h = mix(h, (uint64_t)t->dims[i]);
    for (size_t i = 0; i < SAMPLES && t->bytes >= 8; i++) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)t->data + (t->bytes - 8) / SAMPLES * i, sizeof word);
        h = mix(h, word);
    }
    for (size_t i = t->bytes < 8 ? 0 : t->bytes - 8; i < t->bytes; i++) h = mix(h, ((const uint8_t *)t->data)[i]);
    return h;
}

static bool equal(const graph_tensor *a, const graph_tensor *b) {
    return a->dtype == b->dtype && a->rank == b->rank && a->bytes == b->bytes &&
           (!a->rank || !memcmp(a->dims, b->dims, sizeof *a->dims * (size_t)a->rank)) &&
           (a->data == b->data || !a->bytes || !memcmp(a->data, b->data, a->bytes));
}

nib_status pass_constants(pass_context *ctx) {
    nib_status status = NIB_OK;
    graph *g = ctx->g;
    size_t capacity = 64;
    while (capacity < 2 * (size_t)g->n_constants) capacity *= 2;
    graph_value **slots = base_calloc(g->heap, capacity, sizeof *slots);
    uint64_t *hashes = base_calloc(g->heap, capacity, sizeof *hashes);
    if (!slots || !hashes) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    for (int i = 0; i < g->n_constants; i++) {
        graph_value *v = g->constants[i];
        const graph_tensor *t = v->constant;
        if (!v->uses || t->dtype == NIB_DTYPE_STRING || t->dtype >= NIB_DTYPE_SEQUENCE) continue;
        uint64_t h = hash_of(t);
        size_t at = h & (capacity - 1);
        while (slots[at] && !(hashes[at] == h && equal(slots[at]->constant, t))) at = (at + 1) & (capacity - 1);
        if (!slots[at]) {
            slots[at] = v;
            hashes[at] = h;
        } else if (!v->is_output) {
            graph_replace_uses(g, v, slots[at]);
            ctx->changes++;
        }
    }
fail:
    base_free(g->heap, slots);
    base_free(g->heap, hashes);
    return status;
}
