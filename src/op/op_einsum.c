/* SPDX-License-Identifier: Apache-2.0
 *
 * Einsum, https://onnx.ai/onnx/operators/onnx__Einsum.html: every letter of the equation is a loop, the ellipsis stands for
 * broadcast axes. In double (integers: modulo 2^64), in the order of the letters.
 */
#include "op_local.h"

#define LETTERS 52
#define LOOPS (LETTERS + GRAPH_MAX_RANK) /* letters, then the ellipsis' axes, last one first */
#define TERMS 16

/* A term's axes as loops, in order. */
typedef struct term {
    int n, loops[GRAPH_MAX_RANK];
} term;

typedef struct equation {
    int n_terms;
    int dots[TERMS]; /* where the ellipsis stands in a term: after so many letters; -1: it has none */
    int n[TERMS], letters[TERMS][GRAPH_MAX_RANK];
    bool explicit_out;
    int out_dots, n_out, out[LETTERS];
} equation;

static int letter_of(char ch) { return ch >= 'a' && ch <= 'z' ? ch - 'a' : ch >= 'A' && ch <= 'Z' ? 26 + ch - 'A' : -1; }

/* One term up to `,`, `-` or the end; false: wrong. */
static bool read_term(const char **text, int most, int *n, int *letters, int *dots) {
    const char *s = *text;
    *n = 0;
    *dots = -1;
    for (; *s && *s != ',' && *s != '-'; s++) {
        int l = letter_of(*s);
        if (*s == ' ') continue;
        if (*s == '.') {
            if (s[1] != '.' || s[2] != '.' || *dots >= 0) return false;
            *dots = *n;
            s += 2;
            continue;
        }
        if (l < 0 || *n == most) return false;
        letters[(*n)++] = l;
    }
    *text = s;
    return true;
}

static bool read_equation(const char *s, equation *e) {
    int uses[LETTERS] = {0};
    memset(e, 0, sizeof *e);
    e->out_dots = -1;
    for (;;) {
        if (e->n_terms == TERMS || !read_term(&s, GRAPH_MAX_RANK, &e->n[e->n_terms], e->letters[e->n_terms], &e->dots[e->n_terms]))
            return false;
        for (int i = 0; i < e->n[e->n_terms]; i++) uses[e->letters[e->n_terms][i]]++;
        if (e->dots[e->n_terms++] >= 0) e->out_dots = 0;
        if (*s != ',') break;
        s++;
    }
    if (*s == '-') {
        bool had = e->out_dots >= 0;
        if (*++s != '>') return false;
        s++;
        e->explicit_out = true;
        if (!read_term(&s, GRAPH_MAX_RANK, &e->n_out, e->out, &e->out_dots) || *s) return false;
        for (int i = 0; i < e->n_out; i++) {
            if (uses[e->out[i]] == 0) return false;
            for (int k = 0; k < i; k++)
                if (e->out[k] == e->out[i]) return false;
        }
        return e->out_dots < 0 || had;
    }
    for (int i = 0; i < LETTERS; i++) { /* letters that occur once, in alphabetical order, large ones first */
        int l = (i + LETTERS / 2) % LETTERS;
        if (uses[l] == 1) e->out[e->n_out++] = l;
    }
    return e->n_out <= GRAPH_MAX_RANK;
}

/* The loops of a term whose ellipsis covers `wide` axes. */
static void spread(int n, const int *letters, int dots, int wide, term *t) {
    t->n = 0;
    for (int i = 0; i <= n; i++) {
        for (int k = 0; i == dots && k < wide; k++) t->loops[t->n++] = LETTERS + wide - 1 - k;
        if (i < n) t->loops[t->n++] = letters[i];
    }
}

typedef struct product {
    int n_terms, n_loops; /* loops that run: those of the output first */
    int64_t size[LOOPS], stride[TERMS][LOOPS], outs;
    int64_t outer, inner;
} product;

/* Terms of all inputs and of the output; false where ranks do not fit. */
static bool terms_of(const equation *e, const int *ranks, term *in, term *out) {
    int most = 0;
    for (int j = 0; j < e->n_terms; j++) {
        int wide = ranks[j] - e->n[j];
        if (wide < 0 || (wide > 0 && e->dots[j] < 0)) return false;
        spread(e->n[j], e->letters[j], e->dots[j], wide, &in[j]);
        if (wide > most) most = wide;
    }
    if (e->n_out + (e->out_dots >= 0 ? most : 0) > GRAPH_MAX_RANK) return false;
    spread(e->n_out, e->out, e->out_dots, most, out);
    return true;
}

static nib_status product_of(op_eval *c, const equation *e, product *p, op_dims *dims) {
    term in[TERMS], out;
    int ranks[TERMS] = {0}, order[LOOPS], position[LOOPS];
    int64_t size[LOOPS];
    if (c->n_in != e->n_terms) return op_bad(c, NIB_BAD_MODEL, "%d terms for %d inputs", e->n_terms, c->n_in);
    for (int j = 0; j < c->n_in; j++) ranks[j] = c->in[j]->rank;
    if (!terms_of(e, ranks, in, &out)) return op_bad(c, NIB_SHAPE, "ranks do not fit the equation");
    for (int l = 0; l < LOOPS; l++) size[l] = position[l] = -1;
    for (int j = 0; j < c->n_in; j++)
        for (int a = 0; a < in[j].n; a++) {
            int64_t d = c->in[j]->dims[a], *have = &size[in[j].loops[a]];
            if (*have >= 0 && d != *have && d != 1 && *have != 1)
                return op_bad(c, NIB_SHAPE, "sizes %lld and %lld of one letter", (long long)*have, (long long)d);
            if (*have < 0 || *have == 1) *have = d;
        }
    memset(p, 0, sizeof *p);
    p->n_terms = c->n_in;
    dims->rank = out.n;
    for (int i = 0; i < out.n; i++) {
        dims->d[i] = size[out.loops[i]];
        position[out.loops[i]] = p->n_loops;
        order[p->n_loops++] = out.loops[i];
    }
    p->outs = p->n_loops;
    for (int l = 0; l < LOOPS; l++)
        if (size[l] >= 0 && position[l] < 0) {
            position[l] = p->n_loops;
            order[p->n_loops++] = l;
        }
    for (int i = 0; i < p->n_loops; i++) p->size[i] = size[order[i]];
    for (int j = 0; j < c->n_in; j++) {
        int64_t strides[GRAPH_MAX_RANK];
        op_strides(in[j].n, c->in[j]->dims, strides);
        for (int a = 0; a < in[j].n; a++)
            if (c->in[j]->dims[a] != 1) p->stride[j][position[in[j].loops[a]]] += strides[a];
    }
    p->outer = op_count((int)p->outs, p->size);
    p->inner = op_count(p->n_loops - (int)p->outs, p->size + p->outs);
    return p->inner < 0 ? op_bad(c, NIB_LIMIT, "too many products") : NIB_OK;
}

/* Moves the loops [lo, hi) by one; `at` are the terms' elements. */
static void advance(const product *p, int lo, int hi, int64_t *k, int64_t *at) {
    for (int i = hi - 1; i >= lo; i--) {
        bool wraps = ++k[i] == p->size[i];
        for (int j = 0; j < p->n_terms; j++) at[j] += wraps ? -p->stride[j][i] * (p->size[i] - 1) : p->stride[j][i];
        if (!wraps) return;
        k[i] = 0;
    }
}

#define AT_ONCE (1 << 20) /* products that are added before it is asked again whether the run goes on */
#define RUN(NAME, T)                                                                                                                       \
    static nib_status run_##NAME(op_eval *c, const product *p, const T *const *x, int64_t *k, int64_t *at, T *sum) {                       \
        *sum = 0;                                                                                                                          \
        for (int64_t i = 0; i < p->inner; i++) {                                                                                           \
            T v = x[0][at[0]];                                                                                                             \
            if (i % AT_ONCE == 0) OP_TRY(op_spend(c, p->inner - i < AT_ONCE ? p->inner - i : AT_ONCE, p->n_terms));                        \
            for (int j = 1; j < p->n_terms; j++) v *= x[j][at[j]];                                                                         \
            *sum += v;                                                                                                                     \
            advance(p, (int)p->outs, p->n_loops, k, at);                                                                                   \
        }                                                                                                                                  \
        return NIB_OK;                                                                                                                     \
    }
RUN(real, double)
RUN(whole, uint64_t)
#undef RUN

static nib_status wholes(op_eval *c, const graph_tensor *t, const uint64_t **out) {
    int64_t n = op_count(t->rank, t->dims);
    uint64_t *v;
    OP_TRY(op_scratch(c, n, sizeof *v, &v));
    for (int64_t i = 0; i < n; i++) switch (t->dtype) {
#define CASE(N, S, W, LOAD, STORE, C)                                                                                                      \
    case NIB_DTYPE_##N: v[i] = (uint64_t)((const S *)t->data)[i]; break;
            OP_INTS(CASE)
#undef CASE
        default: return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(t->dtype));
        }
    *out = v;
    return NIB_OK;
}

static void put_whole(nib_dtype dtype, void *y, int64_t i, uint64_t v) {
    switch (nib_dtype_bits(dtype)) {
    case 8: ((uint8_t *)y)[i] = (uint8_t)v; break;
    case 16: ((uint16_t *)y)[i] = (uint16_t)v; break;
    case 32: ((uint32_t *)y)[i] = (uint32_t)v; break;
    default: ((uint64_t *)y)[i] = v;
    }
}

static nib_status eval_einsum(op_eval *c) {
    equation e;
    product p;
    op_dims dims = {0};
    nib_dtype dtype = c->in[0]->dtype;
    const double *real[TERMS];
    const uint64_t *whole[TERMS];
    int64_t k[LOOPS] = {0}, at[TERMS] = {0};
    bool ints = op_is_int(dtype);
    void *y;
    if (!read_equation(graph_attr_string(c->node, "equation", ""), &e)) return op_bad(c, NIB_BAD_MODEL, "equation");
    OP_TRY(product_of(c, &e, &p, &dims));
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    if (!y || p.outer == 0) return NIB_OK;
    for (int j = 0; j < c->n_in; j++) {
        double *v;
        if (c->in[j]->dtype != dtype || (!ints && !op_is_float(dtype)))
            return op_bad(c, NIB_TYPE, "input %d is %s", j, nib_dtype_name(c->in[j]->dtype));
        if (ints) {
            OP_TRY(wholes(c, c->in[j], &whole[j]));
            continue;
        }
        OP_TRY(op_reals(c, c->in[j], &v));
        real[j] = v;
    }
    for (int64_t o = 0; o < p.outer; o++, advance(&p, 0, (int)p.outs, k, at)) {
        double sum;
        uint64_t total;
        if (ints) {
            OP_TRY(run_whole(c, &p, whole, k, at, &total));
            put_whole(dtype, y, o, total);
        } else {
            OP_TRY(run_real(c, &p, real, k, at, &sum));
            op_put(dtype, y, o, sum);
        }
    }
    return NIB_OK;
}

static nib_status infer_einsum(op_infer *c) {
    equation e;
    term in[TERMS], out;
    int ranks[TERMS] = {0}, n = c->node->n_inputs;
    graph_dim size[LOOPS] = {NULL}, dims[GRAPH_MAX_RANK];
    nib_dtype dtype = op_in_type(c, 0)->dtype;
    if (!read_equation(graph_attr_string(c->node, "equation", ""), &e)) return op_fail(c, NIB_BAD_MODEL, "equation");
    if (n != e.n_terms) return op_fail(c, NIB_BAD_MODEL, "%d terms for %d inputs", e.n_terms, n);
    for (int j = 0; j < n; j++) {
        ranks[j] = op_in_type(c, j)->rank;
        if (ranks[j] < 0) return op_set(c, 0, dtype, -1, NULL);
    }
    if (!terms_of(&e, ranks, in, &out)) return op_fail(c, NIB_SHAPE, "ranks do not fit the equation");
    bool seen[LOOPS] = {false};
    for (int j = 0; j < n; j++)
        for (int a = 0; a < in[j].n; a++) {
            int l = in[j].loops[a];
            graph_dim d = op_in_type(c, j)->dims[a];
            size[l] = seen[l] ? graph_dim_broadcast(OP_SYMS(c), size[l], d) : d;
            seen[l] = true;
        }
    for (int i = 0; i < out.n; i++) dims[i] = size[out.loops[i]];
    return op_set(c, 0, dtype, out.n, dims);
}

const op op_family_einsum[] = {
    {"Einsum", "", 12, 1, INT_MAX, 1, OP_ROWS_MIXED, infer_einsum, eval_einsum, NULL},
    {0},
};
