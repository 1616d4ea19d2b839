/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.Embed on the cpu. In: ids, one for each row, and tables. Out: the sum of one row of each.
 *
 * A table's rows lie one after the other, in f32 or half precision, which is widened; or packed, where its type is quantized, a compiled
 * file has it so, or a Linear of the same graph multiplies with the same value (a head that is tied to the table): then a column of the
 * packed weight is the row, and nothing is held twice.
 */
#include "cpu.h"
#include "base/base_half.h"

typedef struct table {
    int ids;   /* value id */
    bool wide; /* i64 ids, else i32 */
    const void *data;
    nib_dtype type;              /* of rows one after the other */
    const kernel_linear *kernel; /* NULL: they are; else it has packed them as columns */
    int64_t rows;
    const graph_value *value;
} table;

typedef struct embed {
    const kernels *k;
    int n, y;
    int64_t C;
    table tables[OP_EMBED_MAX];
} embed;

/* Row `at` as f32: where it lies, or made in `wide` [C]. */
static const void *row_of(const table *t, int64_t C, int64_t at, float *wide) {
    if (t->kernel) {
        t->kernel->column(t->data, C, at, wide);
        return wide;
    }
    const void *row = (const char *)t->data + graph_type_bytes(t->type, (size_t)at * (size_t)C);
    if (t->type == NIB_DTYPE_F32) return row;
    base_widen(t->type, row, (size_t)C, wide);
    return wide;
}

static nib_status run_embed(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const embed *s = step->state;
    const void *ids[OP_EMBED_MAX], *rows[OP_EMBED_MAX];
    for (int t = 0; t < s->n; t++) ids[t] = lane->group->slots[s->tables[t].ids].t.data;
    for (int64_t r = lo; r < hi; r++) {
        for (int t = 0; t < s->n; t++) {
            int64_t id = s->tables[t].wide ? ((const int64_t *)ids[t])[r] : ((const int32_t *)ids[t])[r];
            int64_t at = id < 0 ? id + s->tables[t].rows : id;
            if (at < 0 || at >= s->tables[t].rows)
                return base_error_set(lane->err, NIB_INVALID_ARGUMENT, "id %lld is outside the table of %lld rows", (long long)id,
                                      (long long)s->tables[t].rows);
            rows[t] = row_of(&s->tables[t], s->C, at, (float *)(void *)lane->scratch + (size_t)t * (size_t)s->C);
        }
        s->k->gather_sum_f32(rows, s->n, s->C, (float *)plan_row(lane, s->y, r));
    }
    return NIB_OK;
}

/* The kernel of a Linear that multiplies with the table, whole, as rows to columns; NULL: there is none. One value has one type, so it
 * multiplies with the very numbers that are looked up. */
static const kernel_linear *kernel_of_tied(const kernels *k, const graph_value *v) {
    for (const graph_use *u = v->uses; u; u = u->next) {
        op_linear l;
        if (!op_linear_get(u->node, &l) || !op_is_linear_weight(u->node, u->index) || u->node->owner != v->owner) continue;
        const int rows = l.x ? op_rows_input(&l.x->type) : -1;
        if (l.trans && l.gate == OP_GATE_NONE && !l.factor && l.weight_format >= 0 && rows >= 0)
            return kernel_linear_find(k, (kernel_input)rows, (kernel_weight_format)l.weight_format, NULL);
    }
    return NULL;
}

/* Fills in data and kernel. */
static nib_status place_table(cpu_compile *c, table *t, int64_t C, const char **why) {
    const graph_value *v = t->value;
    const kernels *k = &c->d->kernels;
    const int format = op_weight_format(&v->type);
    if (format < 0) return *why = "a table is of a type that no kernel reads", NIB_OK;
    if (v->packed) {
        t->kernel = kernel_linear_find(k, KERNEL_INPUTS, (kernel_weight_format)format, v->packed->layout);
        if (!t->kernel) return *why = "no kernel of this processor packs it so: compile the model again", NIB_OK;
        return cpu_weight_mapped(c->d, v, 0, t->rows, C, t->kernel, &t->data, c->err);
    }
    t->data = v->constant->data;
    t->kernel = kernel_of_tied(k, v);
    if (!t->kernel && base_is_quantized(&v->type.quant)) t->kernel = kernel_linear_reference(k, (kernel_weight_format)format);
    if (!t->kernel) return NIB_OK;
    return cpu_weight_get(c->d, c->p, v->constant, true, 0, t->rows, NULL, t->kernel, &t->data, c->err);
}

nib_status cpu_compile_embed(cpu_compile *c) {
    nib_status status = NIB_OK;
    const graph_node *n = c->node;
    graph_symtab *symbols = c->p->g->symbols;
    const char *why = NULL;
    embed *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    c->step->extent = cpu_rows(n->outputs[0], symbols);
    if (!c->step->extent) return c->why = "the number of rows is unknown", NIB_OK;
    for (int i = 0; i + 1 < n->n_inputs && s->n < OP_EMBED_MAX; i += 2) {
        const graph_value *ids = n->inputs[i].value, *v = n->inputs[i + 1].value;
        graph_dim count = graph_dim_const(symbols, 1);
        for (int k = 0; k < ids->type.rank; k++) count = graph_dim_mul(symbols, count, ids->type.dims[k]);
        if (count != c->step->extent) return c->why = "the ids are broadcast", NIB_OK;
        if (ids->constant || (ids->type.dtype != NIB_DTYPE_I64 && ids->type.dtype != NIB_DTYPE_I32))
            return c->why = "the ids are not i64 or i32", NIB_OK;
        if (!v->constant || !op_is_weight_type(v->constant->dtype) || v->constant->rank != 2 || v->constant->dims[1] > INT32_MAX ||
            v->constant->dims[0] > INT32_MAX || (i && v->constant->dims[1] != s->C))
            return c->why = "a table is not a constant of floats", NIB_OK;
        s->C = v->constant->dims[1];
        table *t = &s->tables[s->n++];
        *t = (table){ids->id, ids->type.dtype == NIB_DTYPE_I64, NULL, v->constant->dtype, NULL, v->constant->dims[0], v};
        NIB_TRY(place_table(c, t, s->C, &why));
        if (why) return c->why = why, NIB_OK;
        if (t->kernel || t->type != NIB_DTYPE_F32) c->step->scratch = OP_EMBED_MAX * (size_t)s->C * sizeof(float);
    }
    s->k = &c->d->kernels;
    s->y = n->outputs[0]->id;
    c->step->whole = ~0u;
    c->step->state = s;
    c->step->range = PLAN_RANGE_ROWS;
    c->step->kernel = "gather_sum_f32";
    c->step->run = run_embed;
fail:
    return status;
}

void cpu_embed_parts(const plan_step *step, cpu_packed parts[CPU_PACKED_MOST], int *n) {
    const embed *s = step->state;
    for (int i = 0; step->run == run_embed && i < s->n; i++) {
        const table *t = &s->tables[i];
        if (t->kernel) parts[(*n)++] = (cpu_packed){t->data, t->kernel->packed_bytes(t->rows, s->C), t->value, 0, t->kernel};
    }
}
