/* SPDX-License-Identifier: Apache-2.0
 *
 * What lies otherwise inside an eval than outside. In: inputs and outputs whose elements are below a byte, or point somewhere
 * (strings, sequences, optionals). Out: the same unpacked to bytes before an eval, and after it packed, or moved with all
 * that they point to into memory that lives as long as the output. Evals need not know of any of it.
 */
#include "op_wrap.h"

/* ---- below a byte */

static bool is_signed(nib_dtype d) { return d == NIB_DTYPE_I4 || d == NIB_DTYPE_I2; }

static void unpack(uint8_t *to, const uint8_t *from, int64_t n, int bits, bool extend) {
    uint8_t mask = (uint8_t)((1u << bits) - 1), half = (uint8_t)(1u << (bits - 1));
    int per = 8 / bits;
    for (int64_t i = 0; i < n; i++) {
        uint8_t v = (uint8_t)(from[i / per] >> (i % per * bits)) & mask;
        to[i] = extend ? (uint8_t)((v ^ half) - half) : v;
    }
}

static void pack(uint8_t *to, const uint8_t *from, int64_t n, int bits) {
    uint8_t mask = (uint8_t)((1u << bits) - 1);
    int per = 8 / bits;
    for (int64_t i = 0; i < n; i++) {
        uint8_t v = (uint8_t)((from[i] & mask) << (i % per * bits));
        to[i / per] = i % per == 0 ? v : (uint8_t)(to[i / per] | v);
    }
}

static bool below_byte(nib_dtype d) {
    int bits = nib_dtype_bits(d);
    return bits > 0 && bits < 8;
}

nib_status op_unpack(op_eval *c, const graph_tensor *t, graph_tensor *out) {
    *out = *t;
    if (!below_byte(t->dtype)) return NIB_OK;
    int64_t n = op_count(t->rank, t->dims);
    OP_TRY(op_scratch(c, n, 1, &out->data));
    out->bytes = (size_t)n;
    unpack(out->data, t->data, n, nib_dtype_bits(t->dtype), is_signed(t->dtype));
    return NIB_OK;
}

nib_status op_attr_tensor(op_eval *c, const char *name, const graph_tensor **out) {
    const graph_attr *a = graph_find_attr(c->node, name);
    graph_tensor *wide;
    *out = NULL;
    if (!a || a->kind != GRAPH_ATTR_TENSOR) return NIB_OK;
    int64_t n = graph_tensor_elements(a->u.tensor);
    size_t bytes = n < 0 ? SIZE_MAX : graph_type_bytes(a->u.tensor->dtype, (size_t)n);
    if (bytes == SIZE_MAX || bytes > a->u.tensor->bytes) return op_bad(c, NIB_BAD_MODEL, "%s has fewer bytes than its shape says", name);
    OP_TRY(op_scratch(c, 1, sizeof *wide, &wide));
    *out = wide;
    return op_unpack(c, a->u.tensor, wide);
}

nib_status op_unpack_inputs(op_eval *c) {
    const graph_tensor **in = NULL;
    for (int i = 0; i < c->n_in; i++) {
        graph_tensor *wide;
        if (!c->in[i] || !below_byte(c->in[i]->dtype)) continue;
        if (!in) {
            OP_TRY(op_scratch(c, c->n_in, sizeof *in, &in));
            memcpy((void *)in, (const void *)c->in, sizeof *in * (size_t)c->n_in);
        }
        OP_TRY(op_scratch(c, 1, sizeof *wide, &wide));
        OP_TRY(op_unpack(c, c->in[i], wide));
        in[i] = wide;
    }
    if (in) c->in = in;
    return NIB_OK;
}

/* ---- deep copies */

static size_t rounded(size_t bytes) { return bytes > SIZE_MAX - 63 ? SIZE_MAX : (bytes + 63) / 64 * 64; }

static bool add(size_t *sum, size_t bytes) { return bytes != SIZE_MAX && base_add_size(*sum, bytes, sum); }

/* Of what the n elements at `data` point to. */
static size_t pointed_bytes(nib_dtype dtype, const void *data, int64_t n) {
    size_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        size_t more = dtype == NIB_DTYPE_STRING ? ((const graph_string *)data)[i].length : op_deep_bytes((const graph_tensor *)data + i);
        if (!add(&total, more)) return SIZE_MAX;
    }
    return rounded(total);
}

static void move_pointed(nib_dtype dtype, void *data, int64_t n, char **room) {
    char *begin = *room;
    size_t used = 0;
    for (int64_t i = 0; i < n; i++) {
        if (dtype != NIB_DTYPE_STRING) {
            graph_tensor *t = (graph_tensor *)data + i, from = *t;
            op_deep_copy(t, &from, room);
            continue;
        }
        graph_string *s = (graph_string *)data + i;
        if (s->length > 0) memcpy(begin + used, s->data, s->length);
        s->data = begin + used;
        used += s->length;
    }
    if (dtype == NIB_DTYPE_STRING) *room = begin + rounded(used);
}

static bool points(nib_dtype d) { return d == NIB_DTYPE_STRING || op_is_container(d); }

size_t op_deep_bytes(const graph_tensor *t) {
    int64_t n = op_count(t->rank, t->dims);
    size_t total = n < 0 ? SIZE_MAX : rounded(graph_type_bytes(t->dtype, (size_t)n));
    if (total == SIZE_MAX) return SIZE_MAX;
    if (points(t->dtype) && !add(&total, pointed_bytes(t->dtype, t->data, n))) return SIZE_MAX;
    return total;
}

void op_deep_copy(graph_tensor *to, const graph_tensor *from, char **room) {
    int64_t n = op_count(from->rank, from->dims);
    size_t bytes = graph_type_bytes(from->dtype, (size_t)n);
    graph_tensor t = *from;
    t.data = *room;
    t.bytes = bytes;
    *room += rounded(bytes);
    if (bytes > 0) memmove(t.data, from->data, bytes);
    if (points(t.dtype)) move_pointed(t.dtype, t.data, n, room);
    *to = t;
}

/* ---- outputs */

nib_status op_out_late(op_eval *c, int i, nib_dtype dtype, const op_dims *dims, size_t bytes, void **out) {
    bool small = below_byte(dtype);
    if (op_is_container(dtype) && (!(c->node->meaning->rows & OP_GIVES_LISTS) || dims->rank != 1))
        return op_bad(c, NIB_TYPE, "output %d is of type %s and rank %d", i, nib_dtype_name(dtype), dims->rank);
    if (small || points(dtype)) {
        if (!c->pending) OP_TRY(op_scratch(c, c->node->n_outputs, sizeof *c->pending, &c->pending));
        if (c->n_pending == c->node->n_outputs) return op_bad(c, NIB_INTERNAL, "output %d is asked for twice", i);
    }
    if (small) {
        OP_TRY(op_scratch(c, (int64_t)bytes, 1, out));
    } else {
        c->status = NIB_OK;
        OP_TRY(op_spend(c, (int64_t)(bytes / 16), 1));
        *out = c->output(c, i, dtype, dims->rank, dims->d);
        if (!*out) return c->status;
        if (points(dtype) && bytes > 0) memset(*out, 0, bytes); /* an eval that stops half-way leaves nothing wild behind */
    }
    if (small || points(dtype)) c->pending[c->n_pending++] = (op_pending){i, dtype, *dims, *out};
    return NIB_OK;
}

nib_status op_give(op_eval *c, int i, const graph_tensor *t) {
    op_dims dims = op_dims_of(t);
    void *y;
    if (i >= c->node->n_outputs || !c->node->outputs[i]) return NIB_OK;
    if (below_byte(t->dtype)) {
        c->status = NIB_OK;
        y = c->output(c, i, t->dtype, t->rank, t->dims);
        if (!y) return c->status;
    } else {
        OP_TRY(op_out(c, i, t->dtype, &dims, &y));
    }
    size_t bytes = graph_type_bytes(t->dtype, (size_t)op_count(t->rank, t->dims));
    if (y && bytes > 0) memcpy(y, t->data, bytes);
    return NIB_OK;
}

/* A sequence holds tensors of one type, an optional one tensor or sequence or nothing: what goes through a container goes no deeper. */
static nib_status check_list(op_eval *c, const op_pending *l, int64_t n) {
    const graph_tensor *items = l->data;
    bool optional = l->dtype == NIB_DTYPE_OPTIONAL, fits = !optional || n <= 1;
    for (int64_t i = 0; i < n && fits; i++)
        fits = optional ? items[i].dtype != NIB_DTYPE_OPTIONAL : !op_is_container(items[i].dtype) && items[i].dtype == items[0].dtype;
    return fits ? NIB_OK : op_bad(c, NIB_TYPE, "output %d holds what no %s may", l->output, nib_dtype_name(l->dtype));
}

static nib_status finish(op_eval *c, const op_pending *l) {
    int64_t n = op_count(l->dims.rank, l->dims.d);
    if (op_is_container(l->dtype)) OP_TRY(check_list(c, l, n));
    c->status = NIB_OK;
    if (below_byte(l->dtype)) {
        uint8_t *y = c->output(c, l->output, l->dtype, l->dims.rank, l->dims.d);
        if (!y) return c->status;
        pack(y, l->data, n, nib_dtype_bits(l->dtype));
        return NIB_OK;
    }
    size_t bytes = pointed_bytes(l->dtype, l->data, n);
    if (bytes == SIZE_MAX) return op_bad(c, NIB_LIMIT, "output %d is too large", l->output);
    OP_TRY(op_spend(c, (int64_t)(bytes / 16), 1));
    char *room = c->hold(c, l->output, bytes > 0 ? bytes : 1);
    if (!room) return c->status;
    move_pointed(l->dtype, l->data, n, &room);
    return NIB_OK;
}

nib_status op_finish_outputs(op_eval *c) {
    for (int i = 0; i < c->n_pending; i++) OP_TRY(finish(c, &c->pending[i]));
    return NIB_OK;
}
