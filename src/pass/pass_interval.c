/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranges of a formula. In: a formula of d, a range of d, whether the key is a token. Out: bounds of its values. Each term's bounds come
 * from its inputs' bounds; rounding to f32 keeps order, so the rounded bounds bound the rounded values.
 */
#include "pass_formula_terms.h"
#include <float.h>
#include <math.h>

/* Half a step beyond the largest f32: from here on rounding gives infinity. */
#define F32_END 3.4028235677973366e38

static double to_f32(double x) { return fabs(x) >= F32_END ? copysign(INFINITY, x) : (double)(float)x; }

static bool unknown(pass_interval x) { return isnan(x.least) || isnan(x.most); }

static const pass_interval nothing = {NAN, NAN}, either = {0, 1};

static pass_interval all_of(bool yes, bool no) { return yes ? (pass_interval){1, 1} : no ? (pass_interval){0, 0} : either; }

/* Bounds of the four results at the corners: the operation is monotone in each operand. */
static pass_interval corners(pass_interval a, pass_interval b, double (*f)(double, double)) {
    double x[4] = {f(a.least, b.least), f(a.least, b.most), f(a.most, b.least), f(a.most, b.most)};
    pass_interval r = {x[0], x[0]};
    for (int i = 0; i < 4; i++) {
        if (isnan(x[i])) return nothing;
        if (x[i] < r.least) r.least = x[i];
        if (x[i] > r.most) r.most = x[i];
    }
    return r;
}

static double times(double a, double b) { return a * b; }
static double over(double a, double b) { return a / b; }
static double over_whole(double a, double b) { return trunc(a / b); }

static double modulo(double a, double b) { return a - b * floor(a / b); }

static pass_interval range_of_mod(pass_interval a, pass_interval b) {
    if (b.least != b.most || b.least == 0) return nothing;
    if (floor(a.least / b.least) == floor(a.most / b.least)) {
        double x = modulo(a.least, b.least), y = modulo(a.most, b.least);
        return x < y ? (pass_interval){x, y} : (pass_interval){y, x};
    }
    return b.least > 0 ? (pass_interval){0, b.least} : (pass_interval){b.least, 0};
}

static pass_interval range_of_table(const term *t, int64_t least, int64_t most) {
    pass_interval r = {INFINITY, -INFINITY};
    for (int64_t i = least + t->at[3] < 0 ? 0 : least + t->at[3]; i <= most + t->at[3] && i < t->count; i++) {
        if (isnan(t->table[i])) return nothing;
        if (t->table[i] < r.least) r.least = t->table[i];
        if (t->table[i] > r.most) r.most = t->table[i];
    }
    return r.least > r.most ? nothing : r;
}

/* The numbers that a table has at any whole number of `at`, which all lie in it. */
static pass_interval range_of_lookup(const term *t, pass_interval at) {
    pass_interval r = {INFINITY, -INFINITY};
    if (!(at.least >= 0 && at.most <= (double)(t->count - 1))) return nothing;
    for (int64_t i = (int64_t)ceil(at.least); i <= (int64_t)floor(at.most); i++) {
        if (isnan(t->table[i])) return nothing;
        r.least = fmin(r.least, t->table[i]);
        r.most = fmax(r.most, t->table[i]);
    }
    return r.least > r.most ? nothing : r;
}

/* Of one number what nib's Log gives, which is rounded from the C library's. That this one rises everywhere nobody
 * promises: a step to either side. */
static pass_interval range_of_log(pass_interval a) {
    if (!(a.least > 0)) return nothing;
    pass_interval r = {log(a.least), log(a.most)};
    return a.least == a.most ? r : (pass_interval){nextafter(r.least, -INFINITY), nextafter(r.most, INFINITY)};
}

static double sign_of(double x) { return (double)(x > 0) - (double)(x < 0); }

static pass_interval range_of_abs(pass_interval a) {
    double x = fabs(a.least), y = fabs(a.most), least = x < y ? x : y;
    return (pass_interval){a.least <= 0 && a.most >= 0 ? 0 : least, x > y ? x : y};
}

static pass_interval range_of_where(pass_interval c, pass_interval a, pass_interval b) {
    if (unknown(c)) return nothing;
    if (c.least > 0 || c.most < 0) return a;
    if (c.least == 0 && c.most == 0) return b;
    if (unknown(a) || unknown(b)) return nothing;
    return (pass_interval){a.least < b.least ? a.least : b.least, a.most > b.most ? a.most : b.most};
}

static pass_interval range_of_operator(const term *t, pass_interval a, pass_interval b) {
    switch (t->kind) {
    case TERM_ADD: return (pass_interval){a.least + b.least, a.most + b.most};
    case TERM_SUB: return (pass_interval){a.least - b.most, a.most - b.least};
    case TERM_MUL: return corners(a, b, times);
    case TERM_DIV: return b.least <= 0 && b.most >= 0 ? nothing : corners(a, b, t->whole ? over_whole : over);
    case TERM_MOD: return range_of_mod(a, b);
    case TERM_MIN: return (pass_interval){fmin(a.least, b.least), fmin(a.most, b.most)};
    case TERM_MAX: return (pass_interval){fmax(a.least, b.least), fmax(a.most, b.most)};
    case TERM_LESS: return all_of(a.most < b.least, a.least >= b.most);
    case TERM_EQUAL: return all_of(a.least == a.most && b.least == b.most && a.least == b.least, a.most < b.least || b.most < a.least);
    case TERM_AND: return (pass_interval){fmin(a.least, b.least), fmin(a.most, b.most)};
    case TERM_OR: return (pass_interval){fmax(a.least, b.least), fmax(a.most, b.most)};
    case TERM_XOR: return a.least == a.most && b.least == b.most ? all_of(a.least != b.least, a.least == b.least) : either;
    case TERM_NOT: return (pass_interval){1 - a.most, 1 - a.least};
    case TERM_LOOKUP: return range_of_lookup(t, a);
    case TERM_SIGN: return (pass_interval){sign_of(a.least), sign_of(a.most)};
    case TERM_LOG: return range_of_log(a);
    case TERM_ABS: return range_of_abs(a);
    case TERM_FLOOR: return (pass_interval){floor(a.least), floor(a.most)};
    case TERM_CEIL: return (pass_interval){ceil(a.least), ceil(a.most)};
    case TERM_CAST: return a;
    case TERM_TRUNC: return (pass_interval){trunc(a.least), trunc(a.most)};
    case TERM_BOOL: return all_of(a.least > 0 || a.most < 0, a.least == 0 && a.most == 0);
    default: return nothing;
    }
}

static pass_interval range_of(const term *t, const pass_interval *of, int64_t least, int64_t most, pass_pair tokens) {
    switch (t->kind) {
    case TERM_CONSTANT: return (pass_interval){t->value, t->value};
    case TERM_TOKEN: return (pass_interval){tokens.key, tokens.key};
    case TERM_QUERY: return (pass_interval){tokens.query, tokens.query};
    case TERM_TABLE: return range_of_table(t, least, most);
    case TERM_PLACE: { /* at[0] (i - j) + at[3] */
        double x = (double)t->at[0] * (double)least, y = (double)t->at[0] * (double)most, c = (double)t->at[3];
        return x < y ? (pass_interval){x + c, y + c} : (pass_interval){y + c, x + c};
    }
    case TERM_WHERE: return range_of_where(of[t->in[0]], of[t->in[1]], of[t->in[2]]);
    default: break;
    }
    pass_interval a = t->in[0] < 0 ? nothing : of[t->in[0]], b = t->in[1] < 0 ? a : of[t->in[1]];
    return unknown(a) || unknown(b) ? nothing : range_of_operator(t, a, b);
}

pass_interval term_range(const term *t, const pass_interval *of, int64_t least, int64_t most, pass_pair tokens) {
    pass_interval r = range_of(t, of, least, most, tokens);
    if (t->f32) r = (pass_interval){to_f32(r.least), to_f32(r.most)};
    return unknown(r) ? nothing : r;
}

pass_interval pass_formula_range(const pass_formula *f, int64_t least, int64_t most, pass_pair tokens) {
    pass_interval of[MAX_TERMS];
    for (int i = 0; i < f->n; i++) of[i] = term_range(&f->terms[i], of, least, most, tokens);
    return of[f->root];
}

/* The c of a term that is c |d|, and NaN. */
static double slope_of(const pass_formula *f, int at) {
    const term *t = &f->terms[at], *a = t->in[0] >= 0 ? &f->terms[t->in[0]] : NULL, *b = t->in[1] >= 0 ? &f->terms[t->in[1]] : NULL;
    switch (t->kind) {
    case TERM_ABS:
        if (a->kind == TERM_CAST) a = &f->terms[a->in[0]]; /* places are whole, and small enough for f32 */
        return a->kind == TERM_PLACE && a->at[0] == -a->at[1] && !a->at[2] && !a->at[3] ? fabs((double)a->at[0]) : NAN;
    case TERM_CAST: return (nib_dtype)t->value == NIB_DTYPE_F32 ? slope_of(f, t->in[0]) : NAN;
    case TERM_MUL:
        if (a->kind == TERM_CONSTANT) return a->value * slope_of(f, t->in[1]);
        return b->kind == TERM_CONSTANT ? b->value * slope_of(f, t->in[0]) : NAN;
    case TERM_SUB: return a->kind == TERM_CONSTANT && a->value == 0 ? -slope_of(f, t->in[1]) : NAN;
    default: return NAN;
    }
}

double pass_formula_slope(const pass_formula *f) { return slope_of(f, f->root); }
