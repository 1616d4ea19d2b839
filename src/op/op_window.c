/* SPDX-License-Identifier: Apache-2.0 */
#include "op_window.h"

/* Attribute `name` of n numbers in [least, OP_WINDOW_MOST), or `otherwise` everywhere. */
static bool read_list(const graph_node *node, const char *name, int n, int64_t least, int64_t otherwise, int64_t *out) {
    const int64_t *list;
    int64_t count = graph_attr_ints(node, name, &list);
    if (count > 0 && count != n) return false;
    for (int i = 0; i < n; i++) {
        out[i] = count > 0 ? list[i] : otherwise;
        if (out[i] < least || out[i] >= OP_WINDOW_MOST) return false;
    }
    return true;
}

const char *op_window_read(const graph_node *node, int n, const int64_t *kernel, op_window *w) {
    int64_t pads[2 * OP_WINDOW_AXES];
    memset(w, 0, sizeof *w);
    w->n = n;
    if (n < 0 || n > OP_WINDOW_AXES) return "the rank of the input";
    if (!kernel && n > 0 && !graph_find_attr(node, "kernel_shape")) return "kernel_shape is missing";
    if (!read_list(node, "kernel_shape", n, 1, 1, w->kernel)) return "kernel_shape";
    for (int i = 0; kernel && i < n; i++) {
        if (graph_find_attr(node, "kernel_shape") && w->kernel[i] != kernel[i]) return "kernel_shape is not the weight's";
        w->kernel[i] = kernel[i];
        if (kernel[i] < 1 || kernel[i] >= OP_WINDOW_MOST) return "the weight's kernel";
    }
    if (!read_list(node, "strides", n, 1, 1, w->stride)) return "strides";
    if (!read_list(node, "dilations", n, 1, 1, w->dilation)) return "dilations";
    if (!read_list(node, "pads", 2 * n, 0, 0, pads)) return "pads";
    for (int i = 0; i < n; i++) {
        w->before[i] = pads[i];
        w->after[i] = pads[n + i];
    }
    return NULL;
}

int64_t op_window_extent(const op_window *w, int a) { return (w->kernel[a] - 1) * w->dilation[a] + 1; }

typedef enum padding { PAD_GIVEN, PAD_UPPER, PAD_LOWER, PAD_VALID, PAD_BAD } padding;

static padding padding_of(const graph_node *n) {
    static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    const char *name = graph_attr_string(n, "auto_pad", "NOTSET");
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) return (padding)i;
    return name[0] ? PAD_BAD : PAD_GIVEN;
}

/* Fills out, and before and after where auto_pad decides; false: the kernel is larger than the padded input. */
static bool slide(op_window *w, int a, padding pad, bool ceiling) {
    int64_t extent = op_window_extent(w, a), in = w->in[a], s = w->stride[a];
    if (in > INT64_MAX / 4) return false;
    if (pad == PAD_VALID) w->before[a] = w->after[a] = 0;
    if (pad == PAD_UPPER || pad == PAD_LOWER) {
        w->out[a] = in / s + (in % s != 0);
        int64_t total = (w->out[a] - 1) * s + extent - in;
        if (total < 0 || in == 0) total = 0;
        w->before[a] = pad == PAD_UPPER ? total / 2 : total - total / 2;
        w->after[a] = total - w->before[a];
        return true;
    }
    int64_t room = in + w->before[a] + w->after[a] - extent;
    if (room < 0) return false;
    w->out[a] = room / s + 1 + (ceiling && pad == PAD_GIVEN && room % s != 0);
    if (ceiling && (w->out[a] - 1) * s >= in + w->before[a]) w->out[a]--; /* a window that begins behind the input is none */
    return true;
}

nib_status op_window_of(op_eval *c, int n, const int64_t *in, const int64_t *kernel, op_window *w) {
    padding pad = padding_of(c->node);
    bool ceiling = graph_attr_int(c->node, "ceil_mode", 0) != 0;
    const char *wrong = op_window_read(c->node, n, kernel, w);
    if (!wrong && pad == PAD_BAD) wrong = "auto_pad";
    if (wrong) return op_bad(c, NIB_BAD_MODEL, "window of %d axes: %s", n, wrong);
    for (int i = 0; i < n; i++) {
        w->in[i] = in[i];
        if (!slide(w, i, pad, ceiling))
            return op_bad(c, NIB_SHAPE, "a kernel over %lld cells does not fit %lld", (long long)op_window_extent(w, i), (long long)in[i]);
    }
    return NIB_OK;
}

nib_status op_window_infer(op_infer *c, const graph_type *x, const graph_type *kernel, graph_dim *dims) {
    graph_symtab *t = OP_SYMS(c);
    padding pad = padding_of(c->node);
    bool ceiling = graph_attr_int(c->node, "ceil_mode", 0) != 0, known = !kernel || kernel->rank == x->rank;
    int64_t sizes[OP_WINDOW_AXES];
    op_window w;
    int n = x->rank - 2;
    for (int i = 0; i < n; i++) dims[2 + i] = NULL;
    if (n < 0 || n > OP_WINDOW_AXES) return op_fail(c, NIB_SHAPE, "input of rank %d", x->rank);
    for (int i = 0; kernel && known && i < n; i++) known = graph_dim_is_const(kernel->dims[2 + i], &sizes[i]);
    if (!known) return NIB_OK;
    const char *wrong = op_window_read(c->node, n, kernel ? sizes : NULL, &w);
    if (!wrong && pad == PAD_BAD) wrong = "auto_pad";
    if (wrong) return op_fail(c, NIB_BAD_MODEL, "window of %d axes: %s", n, wrong);
    for (int i = 0; i < n; i++) {
        graph_dim d = x->dims[2 + i];
        if (!d) continue;
        if (graph_dim_is_const(d, &w.in[i])) {
            if (w.in[i] < 0 || !slide(&w, i, pad, ceiling))
                return op_fail(c, NIB_SHAPE, "a kernel over %lld cells does not fit axis %d", (long long)op_window_extent(&w, i), 2 + i);
            dims[2 + i] = op_const(c, w.out[i]);
        } else if (pad == PAD_UPPER || pad == PAD_LOWER) {
            d = graph_dim_add(t, d, op_const(c, w.stride[i] - 1));
            dims[2 + i] = w.stride[i] == 1 ? x->dims[2 + i] : graph_dim_div(t, d, op_const(c, w.stride[i]));
        } else if (!ceiling) {
            int64_t more = (pad == PAD_VALID ? 0 : w.before[i] + w.after[i]) - op_window_extent(&w, i);
            if (w.stride[i] == 1) dims[2 + i] = graph_dim_add(t, d, op_const(c, more + 1));
            else
                dims[2 + i] =
                    graph_dim_add(t, graph_dim_div(t, graph_dim_add(t, d, op_const(c, more)), op_const(c, w.stride[i])), op_const(c, 1));
        }
    }
    return NIB_OK;
}

/* ---- cells */

static void place(const op_window *w, op_cells *c) {
    c->at = c->tap = 0;
    for (int a = 0; a < w->n; a++) {
        c->at = c->at * w->in[a] + c->base[a] + c->k[a] * w->dilation[a];
        c->tap = c->tap * w->kernel[a] + c->k[a];
    }
}

bool op_cells_first(const op_window *w, const int64_t *position, op_cells *c) {
    for (int a = 0; a < w->n; a++) {
        int64_t base = position[a] * w->stride[a] - w->before[a], d = w->dilation[a], left = w->in[a] - base;
        c->base[a] = base;
        c->lo[a] = base < 0 ? (-base + d - 1) / d : 0;
        c->hi[a] = left <= 0 ? 0 : (left + d - 1) / d;
        if (c->hi[a] > w->kernel[a]) c->hi[a] = w->kernel[a];
        if (c->lo[a] >= c->hi[a]) return false;
        c->k[a] = c->lo[a];
    }
    place(w, c);
    return true;
}

bool op_cells_next(const op_window *w, op_cells *c) {
    int a = w->n - 1;
    if (a < 0) return false;
    if (++c->k[a] < c->hi[a]) { /* the usual step */
        c->at += w->dilation[a];
        c->tap++;
        return true;
    }
    for (;;) {
        c->k[a] = c->lo[a];
        if (--a < 0) return false;
        if (++c->k[a] < c->hi[a]) break;
    }
    place(w, c);
    return true;
}

void op_window_step(const op_window *w, int64_t *position) {
    for (int a = w->n - 1; a >= 0; a--) {
        if (++position[a] < w->out[a]) return;
        position[a] = 0;
    }
}

double op_window_covered(const op_window *w, const int64_t *position) {
    double n = 1;
    for (int a = 0; a < w->n; a++) {
        int64_t base = position[a] * w->stride[a], room = w->before[a] + w->in[a] + w->after[a] - base;
        int64_t fit = room <= 0 ? 0 : (room - 1) / w->dilation[a] + 1;
        n *= (double)(fit < w->kernel[a] ? fit : w->kernel[a]);
    }
    return n;
}
