/* SPDX-License-Identifier: Apache-2.0
 *
 *     y = Map(x0, x1, ...)       f32, broadcast as Add does; attributes `code` [3 n]: function (kernel_map_function) and
 *                                registers read by instruction i, which writes register (inputs + i); `numbers` [2 n]: p, q
 *
 * nib.Conv's row is in op_conv.c. Expanding gives back the operators that the functions are named after.
 */
#include "op_map.h"
#include "op_local.h"
#include <string.h>

static const struct {
    const char *op;
    int inputs;
} functions[] = {
#define FUNCTION(name, inputs, op) {op, inputs},
    KERNEL_MAP_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

int op_map_function(const graph_node *n) {
    if (n->domain[0]) return -1;
    for (int i = 0; i < KERNEL_MAP_COUNT; i++)
        if (strcmp(functions[i].op, n->op) == 0) return i;
    return -1;
}

static bool is_conv(const graph_node *n) { return graph_is_op(n, "nib", "Conv"); }

bool op_map_get(const graph_node *n, kernel_map *out) {
    const int64_t *code = NULL;
    const graph_attr *numbers = graph_find_attr(n, "numbers");
    int64_t count = graph_attr_ints(n, "code", &code);
    int inputs = is_conv(n) ? 1 + (n->n_inputs > OP_CONV_OPERANDS ? n->n_inputs - OP_CONV_OPERANDS : 0) : n->n_inputs;
    if (is_conv(n) && count < 0) return *out = (kernel_map){.inputs = 1}, n->n_inputs <= OP_CONV_OPERANDS;
    if (count < 3 || count % 3 || count / 3 > KERNEL_MAP_STEPS || inputs < 1 || inputs > KERNEL_MAP_INPUTS) return false;
    *out = (kernel_map){.inputs = inputs, .steps = (int)(count / 3)};
    if (!numbers || numbers->kind != GRAPH_ATTR_FLOATS || numbers->count != 2 * (size_t)out->steps) return false;
    for (int i = 0; i < out->steps; i++) {
        const int64_t *c = code + (ptrdiff_t)3 * i;
        if (c[0] < 0 || c[0] >= KERNEL_MAP_COUNT || c[1] < 0 || c[1] >= inputs + i || c[2] < 0 || c[2] >= inputs + i) return false;
        out->step[i] =
            (kernel_map_step){(uint8_t)c[0], (uint8_t)c[1], (uint8_t)c[2], numbers->u.floats[2 * i], numbers->u.floats[2 * i + 1]};
    }
    return true;
}

nib_status op_map_set(graph_node *n, const kernel_map *map) {
    int64_t code[3 * KERNEL_MAP_STEPS];
    float *numbers = base_arena_alloc(n->owner->arena, 2 * KERNEL_MAP_STEPS * sizeof *numbers);
    if (!numbers) return NIB_OUT_OF_MEMORY;
    for (int i = 0; i < map->steps; i++) {
        const kernel_map_step *s = &map->step[i];
        code[3 * i] = s->function, code[3 * i + 1] = s->a, code[3 * i + 2] = s->b;
        numbers[2 * i] = s->p, numbers[2 * i + 1] = s->q;
    }
    graph_attr a = {.name = "numbers", .kind = GRAPH_ATTR_FLOATS, .count = 2 * (size_t)map->steps, .u.floats = numbers};
    nib_status status = graph_set_ints(n, "code", code, 3 * (size_t)map->steps);
    return status == NIB_OK ? graph_set_attr(n, &a) : status;
}

/* ---- walking */

/* Elements from one place of an axis of the output to the next; 0 where the input has one place for all. False: it has
 * neither as many nor one. */
static bool steps_of(const graph_tensor *t, int rank, const int64_t *dims, int64_t *step) {
    int64_t size = 1;
    if (t->dtype != NIB_DTYPE_F32 || t->rank > rank) return false;
    for (int k = rank - 1; k >= 0; k--) {
        const int own = k - (rank - t->rank);
        const int64_t d = own < 0 ? 1 : t->dims[own];
        if (d != dims[k] && d != 1) return false;
        step[k] = d == 1 ? 0 : size;
        size *= d;
    }
    return true;
}

bool op_map_walk_of(int inputs, const graph_tensor *const *in, int rank, const int64_t *dims, op_map_walk *w) {
    int64_t steps[KERNEL_MAP_INPUTS][GRAPH_MAX_RANK];
    int axis = rank, inner = -1; /* the last axis of more than one place */
    *w = (op_map_walk){.inputs = inputs, .total = op_count(rank, dims), .inner = 1};
    if (w->total < 0) return false;
    for (int i = 0; i < inputs; i++) {
        if (!steps_of(in[i], rank, dims, steps[i])) return false;
        w->in[i].at = in[i]->data;
        w->in[i].one = w->in[i].dense = true;
    }
    while (axis > 0) { /* axes that all inputs are read along as they are along the last one */
        const int k = axis - 1;
        bool same = true;
        if (dims[k] == 1) {
            axis--;
            continue;
        }
        if (inner < 0) inner = k;
        for (int i = 0; i < inputs; i++) same &= (steps[i][k] != 0) == (steps[i][inner] != 0);
        if (!same) break;
        w->inner *= dims[k];
        axis--;
    }
    for (int i = 0; i < inputs; i++) {
        if (inner >= 0) w->in[i].one = steps[i][inner] == 0;
        for (int k = 0; k < rank; k++)
            if (dims[k] != 1 && steps[i][k] == 0) w->in[i].dense = false;
    }
    for (int k = 0; k < axis; k++) {
        if (dims[k] == 1) continue;
        w->dims[w->axes] = dims[k];
        for (int i = 0; i < inputs; i++) w->in[i].step[w->axes] = steps[i][k];
        w->axes++;
    }
    return true;
}

/* Where input i is read for the outer place `row`. */
static const float *at_row(const op_map_walk *w, int i, int64_t row) {
    const float *at = w->in[i].at;
    for (int k = w->axes - 1; k >= 0; k--) {
        at += row % w->dims[k] * w->in[i].step[k];
        row /= w->dims[k];
    }
    return at;
}

#define FEW 128 /* numbers side by side that are worth a call */
#define GATHERED 512

/* Few numbers lie side by side: what does not lie as the output does is laid out so first. */
static void run_gathered(const op_map_walk *w, const kernel_map *map, const kernels *k, int64_t lo, int64_t hi, float *y) {
    float laid[KERNEL_MAP_INPUTS][GATHERED];
    for (int64_t at = lo, n; at < hi; at += n) {
        kernel_map_input in[KERNEL_MAP_INPUTS];
        n = hi - at < GATHERED ? hi - at : GATHERED;
        for (int i = 0; i < w->inputs; i++) {
            in[i] = (kernel_map_input){w->in[i].dense ? w->in[i].at + at : laid[i], false};
            for (int64_t done = 0, part; !w->in[i].dense && done < n; done += part) {
                const int64_t from = (at + done) % w->inner;
                const float *p = at_row(w, i, (at + done) / w->inner);
                part = w->inner - from < n - done ? w->inner - from : n - done;
                if (w->in[i].one)
                    for (int64_t e = 0; e < part; e++) laid[i][done + e] = *p;
                else memcpy(laid[i] + done, p + from, (size_t)part * sizeof(float));
            }
        }
        k->map_f32(map, in, n, y + at);
    }
}

void op_map_run(const op_map_walk *w, const kernel_map *map, const kernels *k, int64_t lo, int64_t hi, float *y) {
    if (w->inner < FEW && w->axes > 0) return run_gathered(w, map, k, lo, hi, y);
    for (int64_t at = lo, n; at < hi; at += n) {
        kernel_map_input in[KERNEL_MAP_INPUTS];
        const int64_t row = at / w->inner, from = at % w->inner;
        n = w->inner - from < hi - at ? w->inner - from : hi - at;
        for (int i = 0; i < w->inputs; i++) in[i] = (kernel_map_input){at_row(w, i, row) + (w->in[i].one ? 0 : from), w->in[i].one};
        k->map_f32(map, in, n, y + at);
    }
}

/* ---- the operator */

static nib_status infer_map(op_infer *c) {
    kernel_map map;
    if (!op_map_get(c->node, &map))
        return op_fail(c, NIB_BAD_MODEL, "attributes code and numbers are no program of %d inputs", c->node->n_inputs);
    for (int i = 0; i < c->node->n_inputs; i++) {
        const nib_dtype d = op_in_type(c, i)->dtype;
        if (d != NIB_DTYPE_UNDEFINED && d != NIB_DTYPE_F32) return op_fail(c, NIB_TYPE, "input %d is %s, not f32", i, nib_dtype_name(d));
    }
    return op_infer_broadcast_as(c, 0, c->node->n_inputs, NIB_DTYPE_F32);
}

static nib_status eval_map(op_eval *c) {
    kernel_map map;
    op_map_walk w;
    op_dims dims;
    float *y;
    for (int i = 0; i < c->n_in; i++)
        if (!op_arg(c, i) || op_arg(c, i)->dtype != NIB_DTYPE_F32) return op_bad(c, NIB_TYPE, "input %d is not f32", i);
    if (!op_map_get(c->node, &map)) return op_bad(c, NIB_BAD_MODEL, "attributes code and numbers are no program");
    OP_TRY(op_broadcast_dims(c, c->n_in, c->in, &dims));
    OP_TRY(op_out(c, 0, NIB_DTYPE_F32, &dims, &y));
    if (!y || op_count(dims.rank, dims.d) == 0) return NIB_OK;
    if (!op_map_walk_of(c->n_in, c->in, dims.rank, dims.d, &w)) return op_bad(c, NIB_SHAPE, "inputs do not broadcast");
    OP_TRY(op_spend(c, w.total, map.steps));
    op_map_run(&w, &map, c->kernels, 0, w.total, y);
    return NIB_OK;
}

/* ---- expanding */

static nib_status say_numbers(graph_node *n, const kernel_map_step *s) {
    nib_status status = NIB_OK;
    switch (s->function) {
    case KERNEL_MAP_HARD_SIGMOID:
        status = graph_set_float(n, "alpha", s->p);
        return status == NIB_OK ? graph_set_float(n, "beta", s->q) : status;
    case KERNEL_MAP_LEAKY_RELU:
    case KERNEL_MAP_ELU: return graph_set_float(n, "alpha", s->p);
    default: return NIB_OK;
    }
}

/* One instruction as the operator that it is named after; NULL: memory ran out, or the opset does not have it. */
static graph_value *emit(graph *g, graph_node *before, const kernel_map_step *s, graph_value *const *registers) {
    const char *name = functions[s->function].op;
    const struct op *meaning = op_find("", name, graph_opset_version(g, ""));
    graph_value *in[3] = {registers[s->a], registers[s->b], NULL};
    int n = functions[s->function].inputs;
    if (s->function == KERNEL_MAP_CLIP) {
        in[1] = graph_const_f32(g, "least", s->p), in[2] = graph_const_f32(g, "most", s->q);
        n = 3;
        if (!in[1] || !in[2] || graph_opset_version(g, "") < 11) return NULL;
    }
    graph_value *v = meaning ? graph_emit(g, before, "", name, in, n, before->outputs[0] ? before->outputs[0]->name : name) : NULL;
    if (!v || say_numbers(v->producer, s) != NIB_OK) return NULL;
    v->producer->meaning = meaning;
    return v;
}

static nib_status expand(graph *g, graph_node *n, graph_value *first, int more, nib_error *err) {
    nib_status status = NIB_OK;
    kernel_map map;
    graph_value *registers[KERNEL_MAP_INPUTS + KERNEL_MAP_STEPS];
    if (!op_map_get(n, &map)) NIB_FAIL(err, NIB_BAD_MODEL, "%s: attributes code and numbers are no program", n->name);
    for (int i = 0; i < map.inputs; i++) registers[i] = first && i == 0 ? first : n->inputs[more + i].value;
    for (int i = 0; i < map.steps; i++) {
        graph_value *v = emit(g, n, &map.step[i], registers);
        if (!v)
            NIB_FAIL(err, NIB_UNSUPPORTED, "%s cannot be written in opset %d", functions[map.step[i].function].op,
                     graph_opset_version(g, ""));
        NIB_TRY(op_infer_node(g, v->producer, err));
        registers[map.inputs + i] = v;
    }
    graph_take_over(g, n->outputs[0], registers[map.inputs + map.steps - 1]);
    graph_remove_node(g, n);
fail:
    return status;
}

nib_status op_expand_map(graph *g, graph_node *n, nib_error *err) {
    if (!is_conv(n)) return expand(g, n, NULL, 0, err);
    static const char *const windows[] = {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"};
    graph_value *in[OP_CONV_OPERANDS];
    int count = n->n_inputs < OP_CONV_OPERANDS ? n->n_inputs : OP_CONV_OPERANDS;
    for (int i = 0; i < count; i++) in[i] = n->inputs[i].value;
    while (count > 2 && !in[count - 1]) count--;
    graph_value *v = graph_emit(g, n, "", "Conv", in, count, n->name[0] ? n->name : "conv");
    if (!v) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    for (size_t i = 0; i < BASE_COUNT(windows); i++) {
        const graph_attr *a = graph_find_attr(n, windows[i]);
        if (a && graph_set_attr(v->producer, a) != NIB_OK) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    }
    v->producer->meaning = op_find("", "Conv", graph_opset_version(g, ""));
    nib_status status = op_infer_node(g, v->producer, err);
    return status == NIB_OK ? expand(g, n, v, OP_CONV_OPERANDS - 1, err) : status;
}

const op op_family_map[] = {
    {"Map", "nib", 1, 1, KERNEL_MAP_INPUTS, 1, OP_ROWS_MIXED, infer_map, eval_map, op_expand_map},
    {0},
};
