/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a program. Out: a table of the states that its machine can be in, where they are few, and the search by it: one
 * look-up a character.
 *
 *     characters --(no set of the program tells them apart)--> classes
 *     state = places in the order of preference, and what the assertions ask of the character before
 *     state x class of the next character -> state, and whether a match ends before that character
 *
 * Assertions wait in a state until the next character is known: all that they ask is its class and that of the one
 * before. A look at several characters, or too many classes or states, and there is no table: the machine of
 * base_regex.c does it then. The table is made with the pattern, and is never written afterwards.
 *
 * A search begins anew at each place where nothing matched. Where that reads the same text again and again it gives up,
 * and the machine goes on, which takes one pass.
 */
#include "base_regex_internal.h"
#include "base_sort.h"
#include <string.h>

#define MOST_SETS 256
#define MOST_CLASSES 255
#define MOST_EDGES 16384 /* where a set begins or ends */
#define MOST_PLACES 2000 /* of the program */
#define MOST_STATES 512
#define MOST_CELLS 65536  /* of the table */
#define MOST_WORK 2000000 /* places looked at while it is made; well-known patterns take 300,000 */
#define PATIENCE 4096     /* bytes read in vain before a search gives up, and 16 for each that it went on */
#define BLOCK 128u
#define BLOCKS ((BASE_LAST_POINT + 1) / BLOCK)

/* What a state knows of the character before; from BEHIND on a bit for each look behind. */
enum { AT_BEGIN = 1, NEWLINE = 2, WORD = 4, BEHIND = 8 };

#define MOST_BEHIND 24

typedef struct state {
    uint32_t hash, before;
    int first, count; /* of `lists` */
} state;

typedef struct builder {
    base_regex *r;
    bool too_large; /* no table: that is no failure */
    int64_t work;
    int sets[MOST_SETS], n_sets; /* nodes of classes */
    bool asks_line;
    int behind[MOST_BEHIND], n_behind; /* places of CHECKs that look behind */
    uint32_t relevant;                 /* bits that a CHECK asks for */
    int width;                         /* classes + 1 */
    uint32_t *rep;                     /* [width] a character of each class */
    uint32_t *before;                  /* [width] the bits that it leaves; the last one: at the beginning */
    state *states;
    int n_states;
    int *lists, n_lists, cap_lists;
    int32_t *next, *starts; /* as in base_regex_dfa */
    int cap_next;
    int *seen, mark, *stack, *now, *out; /* [program], the stack twice as many */
} builder;

/* ---- classes of characters */

static bool same_set(const base_regex *r, int a, int b) {
    const base_regex_tree *p = &r->nodes[a], *q = &r->nodes[b];
    return a == b || (p->negated == q->negated && p->count == q->count &&
                      memcmp(r->spans + p->first, r->spans + q->first, (size_t)p->count * sizeof *r->spans) == 0);
}

static void add_set(builder *b, int node) {
    for (int i = 0; i < b->n_sets; i++)
        if (same_set(b->r, b->sets[i], node)) return;
    if (b->n_sets == MOST_SETS) b->too_large = true;
    else b->sets[b->n_sets++] = node;
}

static void add_look(builder *b, int place) {
    const base_regex_place *check = &b->r->program[place];
    const int *lines = b->r->looks + check->b, *l = lines + 1;
    for (int i = 0; i < *lines; i++, l += *l + 1) {
        if (*l > 1) b->too_large = true;
        if (*l == 1) add_set(b, l[1]);
    }
    if (check->a != REGEX_BEHIND && check->a != REGEX_NOT_BEHIND) return;
    if (b->n_behind == MOST_BEHIND) b->too_large = true;
    else b->behind[b->n_behind++] = place;
}

/* All that the program asks. */
static void gather(builder *b) {
    for (int i = 0; i < b->r->n_program && !b->too_large; i++) {
        const base_regex_place *p = &b->r->program[i];
        if (p->code == REGEX_SET) add_set(b, p->a);
        if (p->code != REGEX_CHECK) continue;
        if (p->a == REGEX_TEXT_BEGIN) b->relevant |= AT_BEGIN;
        if (p->a == REGEX_LINE_BEGIN) b->relevant |= AT_BEGIN | NEWLINE;
        if (p->a == REGEX_LINE_BEGIN || p->a == REGEX_LINE_END) b->asks_line = true;
        if (p->a == REGEX_EDGE || p->a == REGEX_NO_EDGE) add_set(b, p->b), b->relevant |= WORD;
        if (p->a >= REGEX_AHEAD) add_look(b, i);
    }
    for (int i = 0; i < b->n_behind; i++) b->relevant |= (uint32_t)BEHIND << i;
}

static int by_value(const void *a, const void *b) {
    const uint32_t *p = a, *q = b;
    return (*p > *q) - (*p < *q);
}

/* Where sets begin and end, in order and once each, 0 the first and one beyond all the last. */
static nib_status find_edges(builder *b, uint32_t **out, int *count) {
    int n = 4, kept = 0;
    uint32_t *e;
    for (int i = 0; i < b->n_sets; i++) n += 2 * b->r->nodes[b->sets[i]].count;
    if (n > MOST_EDGES) return b->too_large = true, NIB_OK;
    REGEX_TRY(base_regex_take_array(b->r, n, sizeof *e, &e));
    n = 0;
    e[n++] = 0;
    e[n++] = BASE_LAST_POINT + 1;
    if (b->asks_line) e[n++] = '\n', e[n++] = '\n' + 1;
    for (int i = 0; i < b->n_sets; i++) {
        const base_regex_tree *t = &b->r->nodes[b->sets[i]];
        for (int k = 0; k < t->count; k++) {
            e[n++] = b->r->spans[t->first + k].first;
            e[n++] = b->r->spans[t->first + k].last + 1;
        }
    }
    base_sort(e, (size_t)n, sizeof *e, by_value);
    for (int i = 0; i < n; i++)
        if (!kept || e[i] != e[kept - 1]) e[kept++] = e[i];
    *out = e;
    *count = kept - 1;
    return NIB_OK;
}

typedef struct signature {
    uint32_t bits[MOST_SETS / 32];
    uint32_t line;
} signature;

/* The class of each run between two edges. */
static nib_status classify(builder *b, const uint32_t *edges, int runs, uint8_t *class) {
    signature *known;
    int n = 0;
    REGEX_TRY(base_regex_take_array(b->r, MOST_CLASSES, sizeof *known, &known));
    REGEX_TRY(base_regex_take_array(b->r, MOST_CLASSES + 1, sizeof *b->rep, &b->rep));
    for (int i = 0; i < runs; i++) {
        signature s = {{0}, b->asks_line && edges[i] == '\n'};
        for (int k = 0; k < b->n_sets; k++)
            s.bits[k / 32] |= (uint32_t)base_regex_in_class(b->r, &b->r->nodes[b->sets[k]], edges[i]) << k % 32;
        int c = 0;
        while (c < n && memcmp(&known[c], &s, sizeof s) != 0) c++;
        if (c == MOST_CLASSES) return b->too_large = true, NIB_OK;
        if (c == n) known[n] = s, b->rep[n++] = edges[i];
        class[i] = (uint8_t)c;
        if ((b->work += b->n_sets + c) > MOST_WORK) return b->too_large = true, NIB_OK;
    }
    b->width = n + 1;
    return NIB_OK;
}

/* The two-stage map from characters to classes; blocks of one class are shared. */
static nib_status map_classes(builder *b, const uint32_t *edges, const uint8_t *class, base_regex_dfa *d) {
    uint16_t *index;
    uint8_t *cells;
    int blocks = 0, shared[MOST_CLASSES + 1];
    REGEX_TRY(base_regex_take_array(b->r, BLOCKS, sizeof *index, &index));
    for (int pass = 0; pass < 2; pass++) {
        int run = 0;
        if (pass) REGEX_TRY(base_regex_take_array(b->r, blocks, BLOCK, &cells));
        memset(shared, 0xff, sizeof shared);
        blocks = 0;
        for (uint32_t k = 0; k < BLOCKS; k++) {
            const uint32_t begin = k * BLOCK, end = begin + BLOCK;
            while (edges[run + 1] <= begin) run++;
            const bool whole = edges[run + 1] >= end;
            if (whole && shared[class[run]] >= 0) {
                index[k] = (uint16_t)shared[class[run]];
                continue;
            }
            if (whole) shared[class[run]] = blocks;
            index[k] = (uint16_t)blocks++;
            int at = run;
            for (uint32_t u = begin; pass && u < end; u++) {
                if (edges[at + 1] <= u) at++;
                cells[index[k] * BLOCK + u % BLOCK] = class[at];
            }
        }
    }
    d->index = index;
    d->cells = cells;
    return NIB_OK;
}

/* ---- states */

static bool line_has(const builder *b, int look, uint32_t u, bool any) {
    const int *lines = b->r->looks + look, *l = lines + 1;
    for (int i = 0; i < *lines; i++, l += *l + 1)
        if (*l == 0 || (any && base_regex_in_class(b->r, &b->r->nodes[l[1]], u))) return true;
    return false;
}

/* What a character of each class leaves behind. */
static nib_status find_before(builder *b) {
    const int begin = b->width - 1;
    REGEX_TRY(base_regex_take_array(b->r, b->width, sizeof *b->before, &b->before));
    for (int c = 0; c < b->width; c++) {
        uint32_t bits = c == begin ? AT_BEGIN : b->rep[c] == '\n' ? NEWLINE : 0;
        for (int i = 0; i < b->r->n_program && c != begin; i++) {
            const base_regex_place *p = &b->r->program[i];
            if (p->code != REGEX_CHECK || (p->a != REGEX_EDGE && p->a != REGEX_NO_EDGE)) continue;
            if (base_regex_in_class(b->r, &b->r->nodes[p->b], b->rep[c])) bits |= WORD;
        }
        for (int i = 0; i < b->n_behind; i++)
            if (line_has(b, b->r->program[b->behind[i]].b, c == begin ? 0 : b->rep[c], c != begin))
                bits |= (uint32_t)BEHIND << i;
        b->before[c] = bits & b->relevant;
    }
    return NIB_OK;
}

static bool holds(const builder *b, int place, uint32_t before, int class) {
    const base_regex_place *p = &b->r->program[place];
    const bool last = class == b->width - 1;
    const uint32_t u = last ? 0 : b->rep[class];
    int i = 0;
    switch ((base_regex_assertion)p->a) {
    case REGEX_TEXT_BEGIN: return before & AT_BEGIN;
    case REGEX_TEXT_END: return last;
    case REGEX_LINE_BEGIN: return (before & AT_BEGIN) || ((before & NEWLINE) && !last);
    case REGEX_LINE_END: return last || u == '\n';
    case REGEX_EDGE:
    case REGEX_NO_EDGE: {
        const bool word = !last && base_regex_in_class(b->r, &b->r->nodes[p->b], u);
        return (word != !!(before & WORD)) == (p->a == REGEX_EDGE);
    }
    case REGEX_AHEAD:
    case REGEX_NOT_AHEAD: return line_has(b, p->b, u, !last) == (p->a == REGEX_AHEAD);
    case REGEX_BEHIND:
    case REGEX_NOT_BEHIND: break;
    }
    while (b->behind[i] != place) i++;
    return !!(before & (uint32_t)BEHIND << i) == (p->a == REGEX_BEHIND);
}

/* Adds a place and all that it reaches without a character, the preferred ones first, to list[0..count): assertions
 * themselves (class < 0), or what lies behind those that hold. Nothing counts behind a match. */
static int reach(builder *b, int first, uint32_t before, int class, int *list, int count) {
    int depth = 0;
    b->stack[depth++] = first;
    while (depth > 0 && !(count && b->r->program[list[count - 1]].code == REGEX_MATCH)) {
        const int i = b->stack[--depth];
        const base_regex_place *at = &b->r->program[i];
        b->work++;
        if (b->seen[i] == b->mark) continue;
        b->seen[i] = b->mark;
        if (at->code == REGEX_SPLIT) {
            b->stack[depth++] = at->b;
            b->stack[depth++] = at->a;
        } else if (at->code == REGEX_JUMP) {
            b->stack[depth++] = at->a;
        } else if (at->code == REGEX_CHECK && class >= 0) {
            if (holds(b, i, before, class)) b->stack[depth++] = i + 1;
        } else {
            list[count++] = i;
        }
    }
    return count;
}

/* The state of list[0..count), a new one if need be; 0: nothing goes on. */
static nib_status find_state(builder *b, const int *list, int count, uint32_t before, int *out) {
    uint32_t hash = before * 0x9e3779b1u + (uint32_t)count;
    for (int i = 0; i < count; i++) hash = (hash ^ (uint32_t)list[i]) * 0x01000193u;
    if (count == 0) return *out = 0, NIB_OK;
    for (int i = 1; i < b->n_states; i++) {
        const state *s = &b->states[i];
        if (s->hash == hash && s->before == before && s->count == count &&
            memcmp(b->lists + s->first, list, (size_t)count * sizeof *list) == 0)
            return *out = i, NIB_OK;
    }
    if (b->n_states == MOST_STATES || (b->n_states + 1) * b->width > MOST_CELLS)
        return *out = 0, b->too_large = true, NIB_OK;
    b->states[b->n_states] = (state){hash, before, b->n_lists, count};
    for (int i = 0; i < count; i++) {
        REGEX_TRY(base_regex_grow(b->r, &b->lists, b->n_lists, &b->cap_lists, INT32_MAX / 4, sizeof *b->lists));
        b->lists[b->n_lists++] = list[i];
    }
    REGEX_TRY(base_regex_grow(b->r, &b->next, b->n_states, &b->cap_next, MOST_STATES + 1,
                              (size_t)b->width * sizeof *b->next));
    return *out = b->n_states++, NIB_OK;
}

/* From state `from` over a character of a class, or the end of the text. */
static nib_status add_step(builder *b, int from, int class) {
    const state s = b->states[from];
    int n = 0, m = 0, to;
    bool match = false;
    b->mark++;
    for (int i = 0; i < s.count; i++) n = reach(b, b->lists[s.first + i], s.before, class, b->now, n);
    b->mark++;
    b->work += n;
    for (int i = 0; i < n && !match; i++) {
        const base_regex_place *p = &b->r->program[b->now[i]];
        match = p->code == REGEX_MATCH;
        if (match || class == b->width - 1) continue;
        if (base_regex_in_class(b->r, &b->r->nodes[p->a], b->rep[class])) m = reach(b, b->now[i] + 1, 0, -1, b->out, m);
    }
    REGEX_TRY(find_state(b, b->out, m, b->before[class], &to));
    b->next[from * b->width + class] = (to * b->width) << 1 | match;
    if (b->work > MOST_WORK) b->too_large = true;
    return NIB_OK;
}

static nib_status find_states(builder *b) {
    const int n = b->r->n_program;
    int start;
    REGEX_TRY(base_regex_take_array(b->r, MOST_STATES, sizeof *b->states, &b->states));
    REGEX_TRY(base_regex_take_array(b->r, b->width, sizeof *b->starts, &b->starts));
    REGEX_TRY(base_regex_take_array(b->r, 5 * n + 2, sizeof *b->seen, &b->seen));
    memset(b->seen, 0, (size_t)n * sizeof *b->seen);
    b->now = b->seen + n;
    b->out = b->now + n;
    b->stack = b->out + n;
    REGEX_TRY(base_regex_grow(b->r, &b->next, 0, &b->cap_next, 1, (size_t)b->width * sizeof *b->next));
    memset(b->next, 0, (size_t)b->width * sizeof *b->next);
    b->states[0] = (state){0, 0, 0, 0};
    b->n_states = 1;
    for (int c = 0; c < b->width && !b->too_large; c++) {
        b->mark++;
        REGEX_TRY(find_state(b, b->out, reach(b, 0, 0, -1, b->out, 0), b->before[c], &start));
        b->starts[c] = start * b->width;
    }
    for (int i = 1; i < b->n_states; i++)
        for (int c = 0; c < b->width && !b->too_large; c++) REGEX_TRY(add_step(b, i, c));
    return NIB_OK;
}

nib_status base_regex_make_dfa(base_regex *r) {
    builder b = {.r = r};
    base_regex_dfa *d;
    uint32_t *edges = NULL;
    uint8_t *class;
    int runs = 0;
    if (r->n_program > MOST_PLACES) return NIB_OK;
    gather(&b);
    if (!b.too_large) REGEX_TRY(find_edges(&b, &edges, &runs));
    if (b.too_large) return NIB_OK;
    REGEX_TRY(base_regex_take_array(r, runs, 1, &class));
    REGEX_TRY(classify(&b, edges, runs, class));
    if (b.too_large) return NIB_OK;
    REGEX_TRY(find_before(&b));
    REGEX_TRY(find_states(&b));
    if (b.too_large) return NIB_OK;
    REGEX_TRY(base_regex_take_array(r, 1, sizeof *d, &d));
    *d = (base_regex_dfa){.next = b.next, .width = b.width, .looks_back = b.relevant != 0, .starts = b.starts};
    REGEX_TRY(map_classes(&b, edges, class, d));
    r->dfa = d;
    return NIB_OK;
}

/* ---- the search */

static inline int class_of(const base_regex_dfa *d, uint32_t u) {
    return d->cells[d->index[u / BLOCK] * BLOCK + u % BLOCK];
}

base_regex_found base_regex_dfa_find(const base_regex *r, const char *s, size_t n, size_t *from, size_t *begin,
                                     size_t *end, int64_t *steps) {
    const base_regex_dfa *d = r->dfa;
    const uint8_t *ascii = d->cells + d->index[0] * BLOCK;
    const char *const stop = s + n, *at = s + *from, *last = NULL;
    int64_t vain = 0;
    for (;;) {
        const char *p = at, *next = at;
        int32_t row = d->starts[d->width - 1];
        if (d->looks_back && at > s) {
            const char *q = base_regex_back(s, at);
            row = d->starts[class_of(d, base_regex_take(&q, stop))];
        }
        for (;; p = next) {
            int class = d->width - 1;
            if (p < stop && (unsigned char)*p < 0x80) class = ascii[(unsigned char)*p], next = p + 1;
            else if (p < stop) class = class_of(d, base_regex_take(&next, stop));
            const int32_t to = d->next[row + class];
            if (to & 1) last = p;
            row = to >> 1;
            if (!row || p == stop) break;
        }
        *steps += p - at + 1;
        if (last) return *begin = (size_t)(at - s), *end = (size_t)(last - s), REGEX_FOUND;
        if (at == stop) return REGEX_NONE;
        vain += p - at;
        base_regex_take(&at, stop);
        if (vain > PATIENCE + 16 * (at - s - (ptrdiff_t)*from)) return *from = (size_t)(at - s), REGEX_GIVE_UP;
    }
}
