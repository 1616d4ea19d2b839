/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the description of a stack of layers, and weights. Out: its graph. Attention is in hf_attention.c, what stands
 * behind the last layer in hf_heads.c.
 */
#include "hf_stack.h"
#include <string.h>

graph_value *hf_stack_norm(hf_builder *b, const hf_stack *s, const char *path, graph_value *x, int64_t width,
                           bool bias) {
    if (s->norm == HF_NORM_LAYER) return hf_layer_norm(b, path, x, width, (float)s->epsilon, bias);
    return hf_rms_norm(b, path, x, width, (float)s->epsilon, s->norm == HF_NORM_RMS_ONE);
}

graph_value *hf_stack_project(hf_builder *b, const hf_stack *s, const char *path, graph_value *x, int64_t in,
                              int64_t out, bool with_bias) {
    if (!s->in_out) return hf_project(b, path, x, in, out, with_bias);
    graph_value *w = hf_weight(b, hf_path(b, "%s.weight", path), in, out);
    x = hf_op2(b, "MatMul", with_bias ? hf_path(b, "%s.matmul", path) : path, x, w);
    return with_bias ? hf_op2(b, "Add", path, x, hf_weight(b, hf_path(b, "%s.bias", path), out, 0)) : x;
}

/* ---------------------------------------------------------------- embeddings */

const char *hf_stack_words(hf_builder *b, const hf_stack *s) {
    const char *first = NULL;
    for (const char *at = s->names->words; *at; at += strcspn(at, "|"), at += *at == '|') {
        const char *one = hf_path(b, "%.*s", (int)strcspn(at, "|"), at);
        if (hf_has_weight(b, hf_path(b, "%s.weight", one))) return one;
        if (!first) first = one;
    }
    return first;
}

/* Rows counted from ids: how many so far are no padding, + pad; that of padding is pad. */
static graph_value *counted_positions(hf_builder *b, const hf_stack *s, graph_value *ids) {
    graph_value *padded = hf_op2(b, "Equal", "positions.padded", ids, hf_int(b, "positions.pad", s->pad));
    graph_value *token = hf_cast(b, "positions.token", hf_op1(b, "Not", "positions.kept", padded), NIB_DTYPE_I64);
    graph_value *count = hf_op2(b, "CumSum", "positions.count", token, hf_int(b, "positions.axis", 1));
    count = hf_op2(b, "Mul", "positions.counted", count, token);
    return hf_op2(b, "Add", "positions", count, hf_int(b, "positions.pad", s->pad));
}

static graph_value *learned_positions(hf_builder *b, const hf_stack *s, graph_value *ids) {
    const char *path = s->names->positions;
    const int64_t rows = s->positions + s->position_offset;
    hf_weight(b, hf_path(b, "%s.weight", path), rows, s->embedding); /* before a range of that many is made */
    graph_value *at = s->learned == HF_LEARNED_IDS
                          ? counted_positions(b, s, ids)
                          : hf_positions(b, "positions", ids, s->positions, s->position_offset);
    /* Where a scale stands between both tables, passes do not sum them in one step: rows for each text then, which can
     * be packed. */
    if (s->learned == HF_LEARNED_COLUMNS && s->embedding_scale != 1)
        at = hf_op2(b, "Expand", "positions.texts", at, hf_op1(b, "Shape", "positions.shape", ids));
    return hf_embedding(b, path, at, rows, s->embedding);
}

/* Rows of the table of segments; the first one for all, where transformers would be told nothing else. */
static graph_value *type_rows(hf_builder *b, const hf_stack *s, graph_value *ids) {
    graph_value *types = s->types_unread ? hf_op2(b, "Expand", "types", hf_ints(b, "types.first", (int64_t[]){0}, 1),
                                                  hf_op1(b, "Shape", "types.shape", ids))
                                         : hf_input(b, "token_type_ids");
    return hf_embedding(b, s->names->types, types, s->types, s->embedding);
}

static graph_value *embeddings(hf_builder *b, const hf_stack *s, graph_value *ids) {
    const hf_names *n = s->names;
    graph_value *types = s->types ? type_rows(b, s, ids) : NULL;
    graph_value *x = hf_embedding(b, hf_stack_words(b, s), ids, s->vocabulary, s->embedding);
    if (s->embedding_scale != 1) x = hf_op2(b, "Mul", "embeddings.scaled", x, hf_scalar(b, (float)s->embedding_scale));
    if (types) x = hf_op2(b, "Add", "embeddings.words_and_types", x, types);
    if (s->learned) x = hf_op2(b, "Add", "embeddings.sum", x, learned_positions(b, s, ids));
    if (n->embedding_norm) x = hf_stack_norm(b, s, n->embedding_norm, x, s->embedding, s->norm_bias);
    const bool projects = n->project && (s->embedding != s->hidden || s->always_project);
    return projects ? hf_project(b, n->project, x, s->embedding, s->hidden, true) : x;
}

/* ---------------------------------------------------------------- layers */

static graph_value *feed_forward(hf_builder *b, const hf_stack *s, const char *at, graph_value *x) {
    const hf_names *n = s->names;
    const char *up = hf_path(b, "%s%s", at, n->up), *act = hf_path(b, "%sact", at), *gated = hf_path(b, "%sgated", at);
    if (s->gate == HF_GATE_NONE) {
        x = hf_activation(b, act, s->activation, hf_stack_project(b, s, up, x, s->hidden, s->ffn, s->up_bias));
    } else if (s->gate == HF_GATE_SEPARATE) {
        graph_value *gate = hf_stack_project(b, s, hf_path(b, "%s%s", at, n->gate), x, s->hidden, s->ffn, s->up_bias);
        x = hf_stack_project(b, s, up, x, s->hidden, s->ffn, s->up_bias);
        x = hf_op2(b, "Mul", gated, hf_activation(b, act, s->activation, gate), x);
    } else {
        graph_value *wide = hf_stack_project(b, s, up, x, s->hidden, 2 * s->ffn, s->up_bias), *halves[2];
        if (!hf_split(b, hf_path(b, "%shalf", at), wide, (int64_t[]){s->ffn, s->ffn}, 2, halves)) return NULL;
        const int gate = s->gate == HF_GATE_SECOND;
        x = hf_op2(b, "Mul", gated, hf_activation(b, act, s->activation, halves[gate]), halves[!gate]);
    }
    return hf_stack_project(b, s, hf_path(b, "%s%s", at, n->down), x, s->ffn, s->hidden, s->down_bias);
}

static graph_value *norm_at(hf_builder *b, const hf_stack *s, const char *at, const char *name, graph_value *x) {
    return name ? hf_stack_norm(b, s, hf_path(b, "%s%s", at, name), x, s->hidden, s->norm_bias) : x;
}

static graph_value *layer(hf_builder *b, const hf_stack *s, int64_t i, graph_value *x, const hf_shared *shared) {
    const hf_places *a = &s->names->attention, *f = &s->names->feed_forward;
    const char *at = hf_path(b, "%s.%lld.", s->names->layer, (long long)(i * s->groups / s->layers));
    graph_value *y = i == 0 && s->first_without_before ? x : norm_at(b, s, at, a->before, x);
    y = norm_at(b, s, at, a->inside, hf_stack_attention(b, s, at, y, shared));
    if (a->joined) y = norm_at(b, s, at, a->joined, hf_op2(b, "Add", hf_path(b, "%sattention.joined", at), x, y));
    x = norm_at(b, s, at, a->after, hf_op2(b, "Add", hf_path(b, "%sattention.residual", at), x, y));
    if (shared->memory) {
        y = hf_stack_cross(b, s, at, norm_at(b, s, at, s->names->cross.around.before, x), shared);
        x = hf_op2(b, "Add", hf_path(b, "%scross.residual", at), x, y);
        x = norm_at(b, s, at, s->names->cross.around.after, x);
    }
    y = feed_forward(b, s, at, norm_at(b, s, at, f->before, x));
    y = hf_op2(b, "Add", hf_path(b, "%sfeed_forward.residual", at), x, norm_at(b, s, at, f->inside, y));
    return norm_at(b, s, at, f->after, y);
}

graph_value *hf_stack_rows(hf_builder *b, const hf_stack *s, graph_value *ids, graph_value *mask, graph_value *memory) {
    hf_shared shared[HF_KINDS] = {{.bias = NULL}};
    graph_value *x = embeddings(b, s, ids);
    for (int64_t i = 0; i < s->layers && b->status == NIB_OK; i++) {
        hf_shared *own = &shared[s->kinds[i]];
        if (!own->bias) *own = hf_shared_make(b, s, (hf_kind)s->kinds[i], ids, mask);
        own->memory = memory;
        x = layer(b, s, i, x, own);
    }
    return s->names->final_norm ? hf_stack_norm(b, s, s->names->final_norm, x, s->hidden, s->norm_bias) : x;
}

void hf_stack_build(hf_builder *b, const hf_family *f, const hf_stack *s) {
    graph_value *ids = hf_input(b, "input_ids"), *mask = hf_input(b, "attention_mask");
    graph_value *x = hf_stack_rows(b, s, ids, mask, NULL);
    hf_output(b, "last_hidden_state", x, 3, s->hidden);
    hf_heads_build(b, f, s, x, ids, mask);
}

/* ---------------------------------------------------------------- a decoder behind it */

/* ids[b, n - 1], where n of the text's ids are not `pad`: its last, but with a `pad` among its words one in front of
 * that (shift_tokens_right in transformers' modeling_mbart.py). It is the sum of a row of which all else is 0, and of
 * which it is known so that padding changes nothing. [batch, 1] */
static graph_value *counted_id(hf_builder *b, const hf_stack *d, graph_value *ids, graph_value *mask, graph_value *columns) {
    graph_value *one = hf_ints(b, "decoder.columns", &(int64_t){1}, 1);
    graph_value *pad = hf_op2(b, "Equal", "decoder.pad", ids, hf_int(b, "decoder.pad_id", d->pad));
    graph_value *word = hf_cast(b, "decoder.word", hf_op1(b, "Not", "decoder.other", pad), NIB_DTYPE_I64);
    graph_value *n = hf_op2(b, "ReduceSum", "decoder.count", hf_op2(b, "Mul", "decoder.counted", mask, word), one);
    graph_value *here = hf_op2(b, "Equal", "decoder.here", columns, hf_op2(b, "Sub", "decoder.place", n, one));
    graph_value *token = hf_op2(b, "Mul", "decoder.token", mask, hf_cast(b, "decoder.flag", here, NIB_DTYPE_I64));
    return hf_op2(b, "ReduceSum", "decoder.start", hf_op2(b, "Mul", "decoder.id", token, ids), one);
}

/* The ids moved on by one, [batch, seq]. Each column is read of one that is not behind it, so that what a text is
 * padded to changes nothing. */
static graph_value *moved_ids(hf_builder *b, const hf_stack *d, graph_value *ids, graph_value *mask) {
    graph_value *columns = hf_range(b, ids), *zero = hf_int(b, "decoder.zero", 0), *one = hf_int(b, "decoder.one", 1);
    graph_value *from = hf_op2(b, "Max", "decoder.from", hf_op2(b, "Sub", "decoder.before", columns, one), zero);
    graph_value *moved = hf_op2(b, "Gather", "decoder.moved", ids, from), *first;
    if (moved && graph_set_int(moved->producer, "axis", 1) != NIB_OK) hf_no_memory(b);
    if (d->start != HF_START_COUNTED) first = hf_int(b, "decoder.start", d->start);
    else first = counted_id(b, d, ids, mask, columns);
    graph_value *begins = hf_op2(b, "Equal", "decoder.begins", columns, zero);
    return hf_op(b, "Where", "decoder.ids", (graph_value *[]){begins, first, moved}, 3);
}

graph_value *hf_decoder_rows(hf_builder *b, const hf_family *f, graph_value *ids, graph_value *mask,
                             graph_value *memory, hf_stack *d) {
    hf_stack_read(b, f->decoder, d);
    return b->status == NIB_OK ? hf_stack_rows(b, d, moved_ids(b, d, ids, mask), mask, memory) : NULL;
}
