/* SPDX-License-Identifier: Apache-2.0
 *
 * In: sizes and operations on them. Out: unique expressions.
 *
 * Every expression is a polynomial: terms sorted by their atoms, each a coefficient (never 0) times at most MAX_DEGREE
 * atoms sorted by number. The constant 0 has no term. Expressions and atoms are found again by hash, so pointers compare.
 * Sizes are bounded (MAX_TERMS, MAX_DEGREE, MAX_DEPTH of nested atoms, MAX_COST of the expression written out): what would
 * exceed them is unknown, which is what keeps a hostile graph from blowing them up. The cost matters because nested atoms are
 * shared: twelve levels of sixth powers are few objects, and more steps to evaluate, print or copy than anyone can wait for.
 */
#include "graph_sym.h"
#include <string.h>

#define MAX_TERMS 12
#define MAX_DEGREE 6
#define MAX_DEPTH 12
#define MAX_COST 4096

typedef enum atom_kind { ATOM_SYMBOL, ATOM_DIV, ATOM_MOD, ATOM_MIN, ATOM_MAX } atom_kind;

typedef struct atom {
    atom_kind kind;
    int index;        /* position in the order of atoms */
    int symbol;       /* number among symbols */
    int depth, cost;  /* cost: symbols and operations once everything shared is written out */
    const char *name; /* of a symbol */
    graph_dim a, b;   /* of the others */
} atom;

typedef struct term {
    int64_t coefficient;
    int degree;
    const atom *atoms[MAX_DEGREE];
} term;

struct graph_expr {
    uint64_t hash;
    struct graph_expr *link;
    int count;
    int depth, cost;
    term terms[];
};

#define BUCKETS 256

struct graph_symtab {
    base_arena *arena;
    struct graph_expr *buckets[BUCKETS];
    atom **atoms;
    int n_atoms, cap_atoms, n_symbols;
    const atom **symbols;
    int cap_symbols;
};

graph_symtab *graph_symtab_create(base_arena *arena) {
    graph_symtab *t = base_arena_calloc(arena, 1, sizeof *t);
    if (t) t->arena = arena;
    return t;
}

static int compare_atoms(const term *x, const term *y) {
    if (x->degree != y->degree) return x->degree > y->degree ? -1 : 1; /* higher degree first */
    for (int i = 0; i < x->degree; i++)
        if (x->atoms[i] != y->atoms[i]) return x->atoms[i]->index < y->atoms[i]->index ? -1 : 1;
    return 0;
}

/* The unique expression of n sorted terms without equal atoms or zero coefficients. */
static graph_dim unique(graph_symtab *t, const term *terms, int n) {
    if (n > MAX_TERMS) return NULL;
    uint64_t hash = 1469598103934665603ull;
    int depth = 0, cost = 1;
    for (int i = 0; i < n; i++) {
        hash = (hash ^ (uint64_t)terms[i].coefficient) * 1099511628211ull;
        for (int k = 0; k < terms[i].degree; k++) {
            hash = (hash ^ (uint64_t)(terms[i].atoms[k]->index + 7)) * 1099511628211ull;
            if (terms[i].atoms[k]->depth > depth) depth = terms[i].atoms[k]->depth;
            cost += terms[i].atoms[k]->cost;
        }
    }
    if (cost > MAX_COST) return NULL;
    struct graph_expr **bucket = &t->buckets[(hash >> 20) % BUCKETS];
    for (struct graph_expr *e = *bucket; e; e = e->link) {
        bool same = e->hash == hash && e->count == n;
        for (int i = 0; same && i < n; i++)
            same = e->terms[i].coefficient == terms[i].coefficient && compare_atoms(&e->terms[i], &terms[i]) == 0;
        if (same) return e;
    }
    struct graph_expr *e = base_arena_alloc(t->arena, sizeof *e + (size_t)n * sizeof(term));
    if (!e) return NULL;
    e->hash = hash;
    e->count = n;
    e->depth = depth;
    e->cost = cost;
    if (n) memcpy(e->terms, terms, (size_t)n * sizeof(term));
    e->link = *bucket;
    *bucket = e;
    return e;
}

graph_dim graph_dim_const(graph_symtab *t, int64_t value) {
    term one = {.coefficient = value};
    return unique(t, &one, value != 0);
}

static graph_dim of_atom(graph_symtab *t, const atom *a) {
    term one = {.coefficient = 1, .degree = 1, .atoms = {a}};
    return unique(t, &one, 1);
}

static bool grow(base_arena *arena, void *array, int *capacity, int need, size_t element) {
    if (need <= *capacity) return true;
    int want = *capacity ? *capacity * 2 : 16;
    void *fresh = base_arena_alloc(arena, (size_t)want * element), **at = array;
    if (!fresh) return false;
    if (*capacity) memcpy(fresh, *at, (size_t)*capacity * element);
    *at = fresh;
    *capacity = want;
    return true;
}

static atom *add_atom(graph_symtab *t) {
    if (!grow(t->arena, &t->atoms, &t->cap_atoms, t->n_atoms + 1, sizeof *t->atoms)) return NULL;
    atom *a = base_arena_calloc(t->arena, 1, sizeof *a);
    if (!a) return NULL;
    a->index = t->n_atoms;
    t->atoms[t->n_atoms++] = a;
    return a;
}

static const atom *find_symbol(const graph_symtab *t, const char *name) {
    for (int i = 0; i < t->n_symbols; i++)
        if (strcmp(t->symbols[i]->name, name) == 0) return t->symbols[i];
    return NULL;
}

graph_dim graph_dim_symbol(graph_symtab *t, const char *name) {
    const atom *known = find_symbol(t, name);
    if (known) return of_atom(t, known);
    if (!grow(t->arena, &t->symbols, &t->cap_symbols, t->n_symbols + 1, sizeof *t->symbols)) return NULL;
    atom *a = add_atom(t);
    if (!a || !(a->name = base_arena_strndup(t->arena, name, strlen(name)))) return NULL;
    a->kind = ATOM_SYMBOL;
    a->cost = 1;
    a->symbol = t->n_symbols;
    t->symbols[t->n_symbols++] = a;
    return of_atom(t, a);
}

graph_dim graph_dim_fresh(graph_symtab *t, const char *hint) {
    const char *name = hint;
    for (int i = 1; find_symbol(t, name); i++)
        if (!(name = base_arena_printf(t->arena, "%s_%d", hint, i))) return NULL;
    return graph_dim_symbol(t, name);
}

bool graph_dim_is_const(graph_dim d, int64_t *value) {
    if (!d || d->count > 1 || (d->count == 1 && d->terms[0].degree)) return false;
    if (value) *value = d->count ? d->terms[0].coefficient : 0;
    return true;
}

bool graph_dim_is_one(graph_dim d) {
    int64_t n;
    return graph_dim_is_const(d, &n) && n == 1;
}

bool graph_dim_is_symbol(graph_dim d) { return graph_symbol_index(d) >= 0; }

int graph_symbol_index(graph_dim d) {
    if (!d || d->count != 1 || d->terms[0].coefficient != 1 || d->terms[0].degree != 1) return -1;
    const atom *a = d->terms[0].atoms[0];
    return a->kind == ATOM_SYMBOL ? a->symbol : -1;
}

int graph_symbol_count(const graph_symtab *t) { return t->n_symbols; }
const char *graph_symbol_name(const graph_symtab *t, int index) {
    return index >= 0 && index < t->n_symbols ? t->symbols[index]->name : NULL;
}

/* out = a + sign * b, merged; false on overflow or too many terms. */
static bool merge(const term *a, int na, const term *b, int nb, int64_t sign, term *out, int *n) {
    int i = 0, k = 0;
    *n = 0;
    while (i < na || k < nb) {
        int order = i == na ? 1 : k == nb ? -1 : compare_atoms(&a[i], &b[k]);
        term next = order <= 0 ? a[i] : b[k];
        if (order > 0 && !base_mul_i64(next.coefficient, sign, &next.coefficient)) return false;
        if (order == 0) {
            int64_t other;
            if (!base_mul_i64(b[k].coefficient, sign, &other) || __builtin_add_overflow(next.coefficient, other, &next.coefficient))
                return false;
        }
        i += order <= 0;
        k += order >= 0;
        if (next.coefficient == 0) continue;
        if (*n == MAX_TERMS) return false;
        out[(*n)++] = next;
    }
    return true;
}

static graph_dim combine(graph_symtab *t, graph_dim a, graph_dim b, int64_t sign) {
    term terms[MAX_TERMS];
    int n;
    if (!a || !b || !merge(a->terms, a->count, b->terms, b->count, sign, terms, &n)) return NULL;
    return unique(t, terms, n);
}

graph_dim graph_dim_add(graph_symtab *t, graph_dim a, graph_dim b) { return combine(t, a, b, 1); }
graph_dim graph_dim_sub(graph_symtab *t, graph_dim a, graph_dim b) { return combine(t, a, b, -1); }

static bool multiply_terms(const term *x, const term *y, term *out) {
    if (x->degree + y->degree > MAX_DEGREE || !base_mul_i64(x->coefficient, y->coefficient, &out->coefficient)) return false;
    int i = 0, k = 0;
    out->degree = x->degree + y->degree;
    for (int n = 0; n < out->degree; n++) {
        bool left = k == y->degree || (i < x->degree && x->atoms[i]->index <= y->atoms[k]->index);
        out->atoms[n] = left ? x->atoms[i++] : y->atoms[k++];
    }
    return true;
}

graph_dim graph_dim_mul(graph_symtab *t, graph_dim a, graph_dim b) {
    term sum[MAX_TERMS], next[MAX_TERMS], product;
    int n = 0, m;
    if (!a || !b) return NULL;
    for (int i = 0; i < a->count; i++)
        for (int k = 0; k < b->count; k++) {
            if (!multiply_terms(&a->terms[i], &b->terms[k], &product) || !merge(sum, n, &product, 1, 1, next, &m)) return NULL;
            memcpy(sum, next, sizeof sum);
            n = m;
        }
    return unique(t, sum, n);
}

/* q = x / y if y's atoms are among x's and the coefficient divides. */
static bool divide_terms(const term *x, const term *y, term *q) {
    if (y->coefficient == 0 || (y->coefficient == -1 && x->coefficient == INT64_MIN) || x->coefficient % y->coefficient) return false;
    q->coefficient = x->coefficient / y->coefficient;
    q->degree = 0;
    int k = 0;
    for (int i = 0; i < x->degree; i++) {
        if (k < y->degree && x->atoms[i] == y->atoms[k]) k++;
        else q->atoms[q->degree++] = x->atoms[i];
    }
    return k == y->degree;
}

static bool exact_quotient(graph_symtab *t, graph_dim a, graph_dim b, graph_dim *out) {
    graph_dim rest = a, quotient = graph_dim_const(t, 0);
    for (int step = 0; rest && quotient && rest->count; step++) {
        term q;
        if (step == MAX_TERMS || !divide_terms(&rest->terms[0], &b->terms[0], &q)) return false;
        graph_dim part = unique(t, &q, 1);
        quotient = graph_dim_add(t, quotient, part);
        rest = graph_dim_sub(t, rest, graph_dim_mul(t, part, b));
    }
    *out = quotient;
    return rest && quotient;
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

static bool apply(atom_kind kind, int64_t a, int64_t b, int64_t *out) {
    switch (kind) {
    case ATOM_DIV:
    case ATOM_MOD: {
        if (b == 0 || (a == INT64_MIN && b == -1)) return false;
        int64_t q = floor_div(a, b);
        *out = kind == ATOM_DIV ? q : a - q * b;
        return true;
    }
    case ATOM_MIN: *out = a < b ? a : b; return true;
    case ATOM_MAX: *out = a > b ? a : b; return true;
    case ATOM_SYMBOL: break;
    }
    return false;
}

static graph_dim opaque(graph_symtab *t, atom_kind kind, graph_dim a, graph_dim b) {
    int64_t x, y, r;
    if (!a || !b) return NULL;
    if (graph_dim_is_const(a, &x) && graph_dim_is_const(b, &y)) return apply(kind, x, y, &r) ? graph_dim_const(t, r) : NULL;
    for (int i = 0; i < t->n_atoms; i++)
        if (t->atoms[i]->kind == kind && t->atoms[i]->a == a && t->atoms[i]->b == b) return of_atom(t, t->atoms[i]);
    int depth = 1 + (a->depth > b->depth ? a->depth : b->depth);
    atom *fresh = depth > MAX_DEPTH ? NULL : add_atom(t);
    if (!fresh) return NULL;
    fresh->kind = kind;
    fresh->a = a;
    fresh->b = b;
    fresh->depth = depth;
    fresh->cost = 1 + a->cost + b->cost;
    return of_atom(t, fresh);
}

graph_dim graph_dim_div(graph_symtab *t, graph_dim a, graph_dim b) {
    graph_dim q;
    if (!a || !b || !b->count) return NULL;
    if (exact_quotient(t, a, b, &q)) return q;
    return opaque(t, ATOM_DIV, a, b);
}

graph_dim graph_dim_mod(graph_symtab *t, graph_dim a, graph_dim b) {
    graph_dim q;
    if (!a || !b || !b->count) return NULL;
    if (exact_quotient(t, a, b, &q)) return graph_dim_const(t, 0);
    return opaque(t, ATOM_MOD, a, b);
}

static graph_dim extreme(graph_symtab *t, atom_kind kind, graph_dim a, graph_dim b) {
    int64_t d;
    if (!a || !b || a == b) return b ? a : NULL;
    if (graph_dim_is_const(graph_dim_sub(t, a, b), &d)) return (d < 0) == (kind == ATOM_MIN) ? a : b;
    return a->hash < b->hash ? opaque(t, kind, a, b) : opaque(t, kind, b, a); /* one order for both */
}

graph_dim graph_dim_min(graph_symtab *t, graph_dim a, graph_dim b) { return extreme(t, ATOM_MIN, a, b); }
graph_dim graph_dim_max(graph_symtab *t, graph_dim a, graph_dim b) { return extreme(t, ATOM_MAX, a, b); }

/* Symbols are sizes; sums, products, quotients, minima and maxima of what is not negative are not negative. */
bool graph_dim_is_nonnegative(graph_dim d) {
    for (int i = 0; d && i < d->count; i++) {
        if (d->terms[i].coefficient < 0) return false;
        for (int k = 0; k < d->terms[i].degree; k++) {
            const atom *a = d->terms[i].atoms[k];
            if (a->kind != ATOM_SYMBOL && (!graph_dim_is_nonnegative(a->a) || !graph_dim_is_nonnegative(a->b))) return false;
        }
    }
    return d != NULL;
}

bool graph_dim_is_capped(graph_dim d, graph_dim of, int64_t least) {
    if (!d || !of || d->count != 1 || d->terms[0].coefficient != 1 || d->terms[0].degree != 1) return false;
    const atom *a = d->terms[0].atoms[0];
    int64_t c;
    return a->kind == ATOM_MIN && (a->a == of || a->b == of) && graph_dim_is_const(a->a == of ? a->b : a->a, &c) && c >= least;
}

graph_dim graph_dim_broadcast(graph_symtab *t, graph_dim a, graph_dim b) {
    int64_t x, y;
    bool ca = graph_dim_is_const(a, &x), cb = graph_dim_is_const(b, &y);
    if (a && a == b) return a;
    if (ca && x == 1) return b;
    if (cb && y == 1) return a;
    if (ca && cb) return NULL;
    return ca ? a : cb ? b : NULL;
}

bool graph_dim_eval(graph_dim d, const int64_t *values, int count, int64_t *out) {
    int64_t sum = 0;
    if (!d) return false;
    for (int i = 0; i < d->count; i++) {
        int64_t product = d->terms[i].coefficient;
        for (int k = 0; k < d->terms[i].degree; k++) {
            const atom *a = d->terms[i].atoms[k];
            int64_t v, x, y;
            if (a->kind == ATOM_SYMBOL) {
                if (a->symbol >= count || values[a->symbol] == GRAPH_UNBOUND) return false;
                v = values[a->symbol];
            } else if (!graph_dim_eval(a->a, values, count, &x) || !graph_dim_eval(a->b, values, count, &y) || !apply(a->kind, x, y, &v)) {
                return false;
            }
            if (!base_mul_i64(product, v, &product)) return false;
        }
        if (__builtin_add_overflow(sum, product, &sum)) return false;
    }
    *out = sum;
    return true;
}

static graph_dim copy_atom(graph_symtab *to, const atom *a) {
    graph_dim x, y;
    if (a->kind == ATOM_SYMBOL) return graph_dim_symbol(to, a->name);
    x = graph_dim_copy(to, a->a);
    y = graph_dim_copy(to, a->b);
    switch (a->kind) {
    case ATOM_DIV: return graph_dim_div(to, x, y);
    case ATOM_MOD: return graph_dim_mod(to, x, y);
    case ATOM_MIN: return graph_dim_min(to, x, y);
    default: return graph_dim_max(to, x, y);
    }
}

graph_dim graph_dim_copy(graph_symtab *to, graph_dim d) {
    if (!d) return NULL;
    graph_dim sum = graph_dim_const(to, 0);
    for (int i = 0; i < d->count; i++) {
        graph_dim product = graph_dim_const(to, d->terms[i].coefficient);
        for (int k = 0; k < d->terms[i].degree; k++) product = graph_dim_mul(to, product, copy_atom(to, d->terms[i].atoms[k]));
        sum = graph_dim_add(to, sum, product);
    }
    return sum;
}

void graph_dim_print(graph_dim d, base_str *out) {
    static const char *const names[] = {"", "div", "mod", "min", "max"};
    if (!d) {
        base_str_add(out, "?");
        return;
    }
    if (!d->count) base_str_add(out, "0");
    for (int i = 0; i < d->count; i++) {
        const term *m = &d->terms[i];
        int64_t c = m->coefficient;
        if (i) base_str_add(out, c < 0 ? " - " : " + ");
        else if (c < 0) base_str_add(out, "-");
        uint64_t size = c < 0 ? 0 - (uint64_t)c : (uint64_t)c;
        if (size != 1 || !m->degree) base_str_printf(out, "%llu%s", (unsigned long long)size, m->degree ? " * " : "");
        for (int k = 0; k < m->degree; k++) {
            if (k) base_str_add(out, " * ");
            if (m->atoms[k]->kind == ATOM_SYMBOL) {
                base_str_add(out, m->atoms[k]->name);
            } else {
                base_str_printf(out, "%s(", names[m->atoms[k]->kind]);
                graph_dim_print(m->atoms[k]->a, out);
                base_str_add(out, ", ");
                graph_dim_print(m->atoms[k]->b, out);
                base_str_add(out, ")");
            }
        }
    }
}
