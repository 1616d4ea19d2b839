/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a pattern. Out: a program for a machine that is in many places at once (K. Thompson, Regular Expression Search
 * Algorithm, 1968): one pass over the text, a set of program places for each character.
 *
 *     tree -> SET class | SPLIT a b | JUMP a | CHECK assertion | MATCH
 *
 * Places are kept in the order in which backtracking would try them (R. Cox, Regular Expression Matching: the Virtual
 * Machine Approach, 2009), so the match that it would find is the one found.
 *
 * A counted repetition is written out, so the program is limited to BASE_REGEX_MOST_PLACES, and the walks over the tree
 * that write it to BASE_REGEX_MOST_STEPS. What matches nothing but the empty string, and so writes nothing, is written
 * out once however often it is repeated.
 */
#include "base_regex_internal.h"
#include <string.h>

typedef base_regex_tree tree;
typedef base_regex_place place;

static nib_status emit(base_regex *r, base_regex_code what, int a, int b, int *at) {
    REGEX_TRY(
        base_regex_grow(r, &r->program, r->n_program, &r->cap_program, BASE_REGEX_MOST_PLACES, sizeof *r->program));
    if (at) *at = r->n_program;
    r->program[r->n_program++] = (place){what, a, b};
    return NIB_OK;
}

/* The tree is as deep as the pattern is long where lines are: those are walked, not recursed into. */
static nib_status compile(base_regex *r, int at);

static nib_status compile_line(base_regex *r, int at) {
    int count = 0, *pieces;
    for (int k = at; r->nodes[k].kind == REGEX_CAT; k = r->nodes[k].a) count++;
    if ((r->steps += count) > BASE_REGEX_MOST_STEPS)
        return base_error_set(r->err, NIB_LIMIT, "the pattern is too large");
    REGEX_TRY(base_regex_take_array(r, count + 1, sizeof *pieces, &pieces));
    for (int k = at, i = count; r->nodes[k].kind == REGEX_CAT; k = r->nodes[k].a) pieces[--i] = r->nodes[k].b;
    for (int i = 0; i < count; i++) REGEX_TRY(compile(r, pieces[i]));
    return NIB_OK;
}

static void swap_ways(place *p) {
    int a = p->a;
    p->a = p->b;
    p->b = a;
}

static nib_status compile_repeat(base_regex *r, tree t) {
    int split, begin = r->n_program;
    for (int i = 0; i < t.least; i++) {
        REGEX_TRY(compile(r, t.a));
        if (r->n_program == begin) return NIB_OK;
    }
    if (t.most < 0) {
        REGEX_TRY(emit(r, REGEX_SPLIT, r->n_program + 1, 0, &split));
        REGEX_TRY(compile(r, t.a));
        REGEX_TRY(emit(r, REGEX_JUMP, split, 0, NULL));
        r->program[split].b = r->n_program;
        if (t.lazy) swap_ways(&r->program[split]);
        return NIB_OK;
    }
    for (int i = t.least; i < t.most; i++) {
        REGEX_TRY(emit(r, REGEX_SPLIT, r->n_program + 1, 0, &split));
        REGEX_TRY(compile(r, t.a));
        r->program[split].b = r->n_program;
        if (t.lazy) swap_ways(&r->program[split]);
    }
    return NIB_OK;
}

static nib_status compile_node(base_regex *r, int at) {
    tree t = r->nodes[at];
    int split, jump;
    switch (t.kind) {
    case REGEX_EMPTY: return NIB_OK;
    case REGEX_CLASS: return emit(r, REGEX_SET, at, 0, NULL);
    case REGEX_ASSERT: return emit(r, REGEX_CHECK, t.a, t.b, NULL);
    case REGEX_CAT: return compile_line(r, at);
    case REGEX_REPEAT: return compile_repeat(r, t);
    case REGEX_ALT:
        REGEX_TRY(emit(r, REGEX_SPLIT, r->n_program + 1, 0, &split));
        REGEX_TRY(compile(r, t.a));
        REGEX_TRY(emit(r, REGEX_JUMP, 0, 0, &jump));
        r->program[split].b = r->n_program;
        REGEX_TRY(compile(r, t.b));
        r->program[jump].a = r->n_program;
    }
    return NIB_OK;
}

static nib_status
compile(base_regex *r,
        int at) { /* recursion: repetitions of repetitions and alternatives, as many as are counted here */
    if (++r->steps > BASE_REGEX_MOST_STEPS) return base_error_set(r->err, NIB_LIMIT, "the pattern is too large");
    if (++r->depth > BASE_REGEX_MOST_DEPTH * 10)
        return base_error_set(r->err, NIB_LIMIT, "a pattern with too many alternatives or repetitions in each other");
    nib_status status = compile_node(r, at);
    r->depth--;
    return status;
}

nib_status base_regex_make(const base_regex_host *host, base_regex_syntax syntax, const char *pattern, size_t length,
                           base_regex **out, nib_error *err) {
    base_regex *r;
    int root;
    *out = NULL;
    base_error_clear(err);
    REGEX_TRY(host->take(host->user, sizeof *r, (void **)&r));
    *r = (base_regex){
        .host = host, .err = err, .syntax = syntax, .p = pattern, .begin = pattern, .end = pattern + length};
    REGEX_TRY(base_regex_parse(r, &root));
    r->depth = 0;
    REGEX_TRY(compile(r, root));
    REGEX_TRY(emit(r, REGEX_MATCH, 0, 0, NULL));
    if (syntax == BASE_REGEX_ONIG) REGEX_TRY(base_regex_make_dfa(r)); /* RE2's is asked for whole matches alone */
    r->host = NULL;
    r->err = NULL;
    r->begin = r->p = r->end = NULL;
    *out = r;
    return NIB_OK;
}

/* ---- matching */

const char *base_regex_back(const char *begin, const char *p) {
    p--;
    for (int i = 0; i < 3 && p > begin && ((unsigned char)*p & 0xc0) == 0x80; i++) p--;
    return p;
}

typedef struct thread {
    int place;
    size_t begin; /* where its match begins */
} thread;

/* What the scratch holds; the arrays lie behind it. */
typedef struct machine {
    const base_regex *of; /* whose marks these are */
    uint64_t mark;
    uint64_t *seen;      /* [program] the mark when a place was last reached */
    thread *now, *next;  /* [program] in the order of preference */
    int *stack;          /* [2 * program + 2] */
    const char *s, *end; /* the text */
    const base_regex *r;
} machine;

size_t base_regex_size(const base_regex *r) { return (size_t)r->n_program; }

size_t base_regex_scratch(const base_regex *r) {
    size_t n = (size_t)r->n_program;
    return sizeof(machine) + n * (sizeof(uint64_t) + 2 * sizeof(thread)) + (2 * n + 2) * sizeof(int);
}

static machine *prepare(const base_regex *r, void *scratch, const char *s, size_t length) {
    machine *m = scratch;
    const size_t n = (size_t)r->n_program;
    m->seen = (uint64_t *)(void *)(m + 1);
    m->now = (thread *)(void *)(m->seen + n);
    m->next = m->now + n;
    m->stack = (int *)(void *)(m->next + n);
    if (m->of != r) memset(m->seen, 0, n * sizeof *m->seen), m->mark = 0;
    m->of = m->r = r;
    m->s = s;
    m->end = s + length;
    return m;
}

static bool word_at(const machine *m, const place *edge, const char *p) {
    return p < m->end && base_regex_in_class(m->r, &m->r->nodes[edge->b], base_regex_take(&p, m->end));
}

static bool at_edge(const machine *m, const place *edge, const char *p) {
    const bool before = p > m->s && word_at(m, edge, base_regex_back(m->s, p));
    return before != word_at(m, edge, p);
}

/* Whether one of the lines of a look stands at p, or ends there. */
static bool look(const machine *m, int at, bool behind, const char *p) {
    const int *lines = m->r->looks + at, *l = lines + 1;
    for (int i = 0; i < *lines; i++, l += *l + 1) {
        const char *q = p;
        int back = behind ? *l : 0, k = 0;
        for (; back > 0 && q > m->s; back--) q = base_regex_back(m->s, q);
        for (; back == 0 && k < *l && q < m->end; k++)
            if (!base_regex_in_class(m->r, &m->r->nodes[l[1 + k]], base_regex_take(&q, m->end))) break;
        if (back == 0 && k == *l) return true;
    }
    return false;
}

static bool holds(const machine *m, const place *check, const char *p) {
    switch ((base_regex_assertion)check->a) {
    case REGEX_TEXT_BEGIN: return p == m->s;
    case REGEX_TEXT_END: return p == m->end;
    case REGEX_LINE_BEGIN: return p == m->s || (p[-1] == '\n' && p < m->end);
    case REGEX_LINE_END: return p == m->end || *p == '\n';
    case REGEX_EDGE: return at_edge(m, check, p);
    case REGEX_NO_EDGE: return !at_edge(m, check, p);
    case REGEX_AHEAD: return look(m, check->b, false, p);
    case REGEX_NOT_AHEAD: return !look(m, check->b, false, p);
    case REGEX_BEHIND: return look(m, check->b, true, p);
    case REGEX_NOT_BEHIND: return !look(m, check->b, true, p);
    }
    return false;
}

/* Adds a place and all that it reaches without a character, the preferred ones first. */
static void add_place(machine *m, int first, size_t begin, const char *p, thread *list, int *count) {
    int depth = 0;
    m->stack[depth++] = first;
    while (depth > 0) {
        int i = m->stack[--depth];
        const place *at = &m->r->program[i];
        if (m->seen[i] == m->mark) continue;
        m->seen[i] = m->mark;
        if (at->code == REGEX_SPLIT) {
            m->stack[depth++] = at->b;
            m->stack[depth++] = at->a;
        } else if (at->code == REGEX_JUMP) {
            m->stack[depth++] = at->a;
        } else if (at->code == REGEX_CHECK) {
            if (holds(m, at, p)) m->stack[depth++] = i + 1;
        } else {
            list[(*count)++] = (thread){i, begin};
        }
    }
}

/* All threads of m->now over the character at *p, which is left behind: those that go on are in m->now then. A match
 * that begins and ends is kept in *begin and *end (NULL: matches are not looked for), and threads that are less
 * preferred end. */
static int step(machine *m, int count, const char **p, size_t *begin, size_t *end, bool *found) {
    const size_t at = (size_t)(*p - m->s);
    const bool last = *p >= m->end;
    const uint32_t u = last ? 0 : base_regex_take(p, m->end);
    int n = 0;
    m->mark++;
    for (int i = 0; i < count; i++) {
        const thread t = m->now[i];
        const place *pl = &m->r->program[t.place];
        if (pl->code == REGEX_MATCH) {
            if (!end) continue;
            *begin = t.begin;
            *end = at;
            *found = true;
            break;
        }
        if (!last && base_regex_in_class(m->r, &m->r->nodes[pl->a], u))
            add_place(m, t.place + 1, t.begin, *p, m->next, &n);
    }
    thread *swap = m->now;
    m->now = m->next;
    m->next = swap;
    return n;
}

nib_status base_regex_full_match(const base_regex *r, void *scratch, const base_regex_host *host, const char *s,
                                 size_t n, bool *out) {
    machine *m = prepare(r, scratch, n ? s : "", n);
    const char *p = m->s;
    int count = 0;
    m->mark++;
    add_place(m, 0, 0, p, m->now, &count);
    while (p < m->end && count) {
        if (host->spend) REGEX_TRY(host->spend(host->user, count + 1));
        count = step(m, count, &p, NULL, NULL, NULL);
    }
    *out = false;
    for (int i = 0; i < count; i++) *out |= r->program[m->now[i].place].code == REGEX_MATCH;
    return NIB_OK;
}

/* As base_regex_find, by the machine. */
static nib_status walk(const base_regex *r, void *scratch, const base_regex_host *host, const char *s, size_t n,
                       size_t from, bool *found, size_t *begin, size_t *end) {
    machine *m = prepare(r, scratch, s, n);
    const char *p = m->s + from;
    int count = 0;
    *found = false;
    m->mark++;
    for (;;) {
        const bool last = p >= m->end;
        if (!*found) add_place(m, 0, (size_t)(p - m->s), p, m->now, &count);
        if (host->spend) REGEX_TRY(host->spend(host->user, count + 1));
        count = step(m, count, &p, begin, end, found);
        if (last || (*found && count == 0)) return NIB_OK;
    }
}

nib_status base_regex_find(const base_regex *r, void *scratch, const base_regex_host *host, const char *s, size_t n,
                           size_t from, bool *found, size_t *begin, size_t *end) {
    if (!n) s = "";
    if (r->dfa) {
        int64_t steps = 0;
        const base_regex_found which = base_regex_dfa_find(r, s, n, &from, begin, end, &steps);
        if (host->spend) REGEX_TRY(host->spend(host->user, steps));
        *found = which == REGEX_FOUND;
        if (which != REGEX_GIVE_UP) return NIB_OK;
    }
    return walk(r, scratch, host, s, n, from, found, begin, end);
}
