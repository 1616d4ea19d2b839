/* SPDX-License-Identifier: Apache-2.0
 *
 * In: rows behind the last layer, and a family's table of heads. Out: pooler_output and logits of the heads that the
 * model's architecture has and whose weights are there.
 */
#include "hf_stack.h"
#include <string.h>

static bool has_architecture(const hf_builder *b, const char *suffix) {
    size_t i, n;
    yyjson_val *v;
    if (!suffix[0]) return true;
    yyjson_arr_foreach(yyjson_obj_get(b->root, "architectures"), i, n, v) {
        const char *name = yyjson_get_str(v);
        if (name && strlen(name) >= strlen(suffix) && strcmp(name + strlen(name) - strlen(suffix), suffix) == 0)
            return true;
    }
    return false;
}

/* ---------------------------------------------------------------- rows: [batch, seq, C] -> [batch, C] */

static graph_value *row_of(hf_builder *b, const char *at, graph_value *x, int64_t column) {
    graph_value *v = hf_op2(b, "Gather", at, x, hf_int(b, hf_path(b, "%s.column", at), column));
    if (v && graph_set_int(v->producer, "axis", 1) != NIB_OK) hf_no_memory(b);
    return v;
}

static graph_value *mean_row(hf_builder *b, const char *at, graph_value *x, graph_value *mask) {
    graph_value *axis = hf_ints(b, hf_path(b, "%s.axis", at), (int64_t[]){1}, 1);
    graph_value *m =
        hf_unsqueeze(b, hf_path(b, "%s.mask", at), hf_cast(b, hf_path(b, "%s.mask.f32", at), mask, NIB_DTYPE_F32), 2);
    graph_value *sum =
        hf_op2(b, "ReduceSum", hf_path(b, "%s.sum", at), hf_op2(b, "Mul", hf_path(b, "%s.kept", at), x, m), axis);
    graph_value *count = hf_op2(b, "ReduceSum", hf_path(b, "%s.count", at), m, axis);
    if (sum && count &&
        (graph_set_int(sum->producer, "keepdims", 0) != NIB_OK ||
         graph_set_int(count->producer, "keepdims", 0) != NIB_OK))
        hf_no_memory(b);
    return hf_op2(b, "Div", at, sum, count);
}

/* What hides a column from ArgMax: far below every number of a column. */
#define OUT_OF_SIGHT (-(INT64_C(1) << 40))

graph_value *hf_last_row(hf_builder *b, const char *at, graph_value *x, graph_value *ids, graph_value *mask, int64_t id,
                         bool is) {
    graph_value *columns = hf_range(b, ids), *token = hf_cast(b, hf_path(b, "%s.token", at), mask, NIB_DTYPE_BOOL);
    if (id >= 0) {
        graph_value *flag = hf_op2(b, "Equal", hf_path(b, "%s.equal", at), ids, hf_int(b, hf_path(b, "%s.id", at), id));
        if (!is) flag = hf_op1(b, "Not", hf_path(b, "%s.other", at), flag);
        flag = hf_cast(b, hf_path(b, "%s.flag", at), flag, NIB_DTYPE_I64);
        columns = hf_op2(b, "Mul", hf_path(b, "%s.columns", at), columns, flag);
    }
    graph_value *low = hf_int(b, hf_path(b, "%s.low", at), OUT_OF_SIGHT);
    columns = hf_op(b, "Where", hf_path(b, "%s.seen", at), (graph_value *[]){token, columns, low}, 3);
    graph_value *column = hf_op1(b, "ArgMax", hf_path(b, "%s.column", at), columns);
    if (column && graph_set_int(column->producer, "axis", 1) != NIB_OK) hf_no_memory(b);
    graph_value *v = hf_op2(b, "GatherND", at, x, column);
    if (v && graph_set_int(v->producer, "batch_dims", 1) != NIB_OK) hf_no_memory(b);
    return v;
}

static hf_take take_of(hf_builder *b, const hf_head *h) {
    static const struct {
        const char *name;
        hf_take take;
    } said[] = {{"cls", HF_TAKE_FIRST}, {"bos", HF_TAKE_FIRST}, {"mean", HF_TAKE_MEAN}, {"late", HF_TAKE_LATE}};
    if (h->take != HF_TAKE_KEY_CLS && h->take != HF_TAKE_KEY_LATE) return h->take;
    const char *name = hf_config_word(b, "classifier_pooling", h->take == HF_TAKE_KEY_CLS ? "cls" : "late");
    for (size_t i = 0; i < BASE_COUNT(said); i++)
        if (strcmp(said[i].name, name) == 0) return said[i].take;
    hf_refuse(b, NIB_UNSUPPORTED, "config.json: classifier_pooling '%.60s'", name);
    return HF_TAKE_FIRST;
}

/* ---------------------------------------------------------------- dense, norm, out */

/* `width` columns -> as many as the weight has rows, which *width becomes. */
static graph_value *widen(hf_builder *b, const char *path, graph_value *x, int64_t *width) {
    const int64_t rows = hf_weight_rows(b, hf_path(b, "%s.weight", path));
    x = hf_project(b, path, x, *width, rows > 0 ? rows : 1, hf_has_weight(b, hf_path(b, "%s.bias", path)));
    *width = rows;
    return x;
}

static graph_value *tied(hf_builder *b, const hf_stack *s, const hf_head *h, graph_value *x) {
    const char *dot = strrchr(h->tied, '.'), *own = hf_path(b, "%s.weight", h->tied);
    const char *table = hf_has_weight(b, own) ? own : hf_path(b, "%s.weight", hf_stack_words(b, s));
    const char *bias = hf_path(b, "%s.bias", h->tied);
    if (dot && !hf_has_weight(b, bias)) bias = hf_path(b, "%.*s.bias", (int)(dot - h->tied), h->tied);
    graph_value *w = hf_weight(b, table, s->vocabulary, s->embedding);
    return hf_product(b, hf_path(b, "%s.words", h->output), x, w,
                      hf_has_weight(b, bias) ? hf_weight(b, bias, s->vocabulary, 0) : NULL);
}

/* The columns of [batch, seq, 2], each an output. */
static void put_spans(hf_builder *b, graph_value *x, int64_t width) {
    static const char *const names[] = {"start_logits", "end_logits"};
    if (width != 2) hf_refuse(b, NIB_BAD_MODEL, "a head for answers has %lld rows, not 2", (long long)width);
    for (int i = 0; i < 2; i++) {
        graph_value *v = hf_op2(b, "Gather", hf_path(b, "%s.column", names[i]), x, hf_int(b, hf_path(b, "%s.at", names[i]), i));
        if (v && graph_set_int(v->producer, "axis", 2) != NIB_OK) hf_no_memory(b);
        hf_output(b, names[i], v, 2, 0);
    }
}

static void build(hf_builder *b, const hf_family *f, const hf_stack *s, const hf_head *h, graph_value *x,
                  graph_value *ids, graph_value *mask) {
    const hf_take take = take_of(b, h);
    const char *rows = hf_path(b, "%s.rows", h->output);
    int64_t width = s->hidden;
    if (take == HF_TAKE_FIRST) x = row_of(b, rows, x, 0);
    if (take == HF_TAKE_MEAN) x = mean_row(b, rows, x, mask);
    if (take == HF_TAKE_LAST) x = hf_last_row(b, rows, x, ids, mask, s->pad, false);
    if (take == HF_TAKE_DECODED) {
        hf_stack d;
        x = hf_decoder_rows(b, f, ids, mask, x, &d);
        x = hf_last_row(b, rows, x, ids, mask, d.eos, true);
    }
    if (h->dense) {
        const char *usual = h->activation ? h->activation : s->activation;
        const char *act = h->activation_key ? hf_config_word(b, h->activation_key, usual) : usual;
        x = hf_activation(b, hf_path(b, "%s.act", h->output), act, widen(b, h->dense, x, &width));
    }
    if (h->norm) x = hf_stack_norm(b, s, h->norm, x, width, hf_has_weight(b, hf_path(b, "%s.bias", h->norm)));
    if (h->out) x = widen(b, h->out, x, &width);
    else if (h->tied) x = tied(b, s, h, x), width = s->vocabulary;
    if (take == HF_TAKE_LATE) x = mean_row(b, rows, x, mask);
    if (take == HF_TAKE_SPANS) put_spans(b, x, width);
    else hf_output(b, h->output, x, take == HF_TAKE_TOKENS ? 3 : 2, width);
}

static bool is_there(hf_builder *b, const char *path) {
    return !path || hf_has_weight(b, hf_path(b, "%s.weight", path));
}

bool hf_decodes(const hf_builder *b, const hf_family *f) {
    for (const hf_head *h = f->heads; f->decoder && h && h->output; h++)
        if (h->take == HF_TAKE_DECODED && has_architecture(b, h->suffix)) return true;
    return false;
}

const char *hf_heads_missing(const hf_builder *b, const hf_family *f) {
    for (const hf_head *h = f->heads; h && h->output; h++)
        if (h->suffix[0] && has_architecture(b, h->suffix) && !graph_find_value(b->g, h->output)) return h->suffix;
    return NULL;
}

void hf_heads_build(hf_builder *b, const hf_family *f, const hf_stack *s, graph_value *x, graph_value *ids,
                    graph_value *mask) {
    for (const hf_head *h = f->heads; h && h->output && b->status == NIB_OK; h++) {
        if (!has_architecture(b, h->suffix) || graph_find_value(b->g, h->output)) continue;
        if (is_there(b, h->dense) && is_there(b, h->out)) build(b, f, s, h, x, ids, mask);
    }
}
