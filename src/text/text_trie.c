/* SPDX-License-Identifier: Apache-2.0
 *
 * In: keys. Out: the double array. Keys are sorted by multikey quicksort; then nodes are placed breadth first, so that the
 * upper levels, which every word walks, lie together. Free units are a ring; only those of the newest blocks are in it,
 * which bounds the search for a place.
 */
#include "text_trie.h"
#include <string.h>

#define FREE_LABEL 256u
#define OPEN_BLOCKS 16u
#define TRIES 32 /* more search gives a smaller array and a slower build: 16 adds half, 64 takes a quarter off */
#define MAX_UNITS (1u << 23)

typedef struct range {
    uint32_t unit, lo, hi, depth; /* the node of keys[lo..hi), which share their first `depth` bytes */
} range;

typedef struct builder {
    base_heap *heap;
    text_unit *units;
    uint32_t *next, *prev; /* ring of free units; next == 0: not in it */
    uint8_t *base_used;
    size_t count, cap, next_cap, prev_cap, used_cap;
    uint32_t head; /* a free unit, or 0 */
    range *queue;
    size_t first, last, queue_cap;
} builder;

static int key_byte(const text_key *k, uint32_t depth) { return depth < k->length ? (uint8_t)k->bytes[depth] : -1; }

static void swap_keys(text_key *a, text_key *b) {
    text_key t = *a;
    *a = *b;
    *b = t;
}

static int middle_byte(const text_key *keys, size_t n, uint32_t depth) {
    int a = key_byte(&keys[0], depth), b = key_byte(&keys[n / 2], depth), c = key_byte(&keys[n - 1], depth);
    return a < b ? (b < c ? b : (a < c ? c : a)) : (a < c ? a : (b < c ? c : b));
}

static bool comes_before(const text_key *a, const text_key *b, uint32_t depth) {
    for (;; depth++) {
        int x = key_byte(a, depth), y = key_byte(b, depth);
        if (x != y) return x < y;
        if (x < 0) return a->value < b->value;
    }
}

/* Sorts by bytes, then value. The largest of the three parts is done by the loop, so the recursion is at most log2(n) deep. */
static void sort_keys(text_key *keys, size_t n, uint32_t depth) {
    while (n > 12) {
        int pivot = middle_byte(keys, n, depth);
        size_t lt = 0, i = 0, gt = n;
        while (i < gt) {
            int b = key_byte(&keys[i], depth);
            if (b < pivot) swap_keys(&keys[lt++], &keys[i++]);
            else if (b > pivot) swap_keys(&keys[i], &keys[--gt]);
            else i++;
        }
        size_t equal = gt - lt, more = n - gt;
        if (pivot < 0) {
            /* Equal keys: they have all ended here, and only their values differ. */
            for (size_t a = lt + 1; a < gt; a++)
                if (keys[a].value < keys[lt].value) swap_keys(&keys[a], &keys[lt]);
            equal = 0;
        }
        if (equal >= lt && equal >= more) {
            sort_keys(keys, lt, depth);
            sort_keys(keys + gt, more, depth);
            keys += lt, n = equal, depth++;
        } else if (lt >= more) {
            if (equal) sort_keys(keys + lt, equal, depth + 1);
            sort_keys(keys + gt, more, depth);
            n = lt;
        } else {
            sort_keys(keys, lt, depth);
            if (equal) sort_keys(keys + lt, equal, depth + 1);
            keys += gt, n = more;
        }
    }
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && comes_before(&keys[j], &keys[j - 1], depth); j--) swap_keys(&keys[j], &keys[j - 1]);
}

static void unlink_unit(builder *b, uint32_t u) {
    if (!b->next[u]) return;
    if (b->next[u] == u) b->head = 0;
    else if (b->head == u) b->head = b->next[u];
    b->next[b->prev[u]] = b->next[u];
    b->prev[b->next[u]] = b->prev[u];
    b->next[u] = b->prev[u] = 0;
}

/* Adds 256 free units and closes the block that is now too old. */
static bool add_units(builder *b) {
    size_t from = b->count, to = from + 256;
    if (!base_grow(b->heap, (void **)&b->units, &b->cap, to, sizeof *b->units) ||
        !base_grow(b->heap, (void **)&b->next, &b->next_cap, to, sizeof *b->next) ||
        !base_grow(b->heap, (void **)&b->prev, &b->prev_cap, to, sizeof *b->prev) ||
        !base_grow(b->heap, (void **)&b->base_used, &b->used_cap, to, 1))
        return false;
    memset(b->base_used + from, 0, 256);
    for (size_t i = from; i < to; i++) {
        b->units[i].value = -1;
        b->units[i].link = FREE_LABEL;
        b->next[i] = b->prev[i] = 0;
    }
    b->count = to;
    if (from == 0) return true; /* unit 0 means "none" in the ring: block 0 stays empty */
    if (from >= (OPEN_BLOCKS + 1) * 256)
        for (size_t i = from - OPEN_BLOCKS * 256; i < from - (OPEN_BLOCKS - 1) * 256; i++) unlink_unit(b, (uint32_t)i);
    for (uint32_t i = (uint32_t)from; i < to; i++) {
        if (!b->head) {
            b->head = b->next[i] = b->prev[i] = i;
            continue;
        }
        b->next[i] = b->head;
        b->prev[i] = b->prev[b->head];
        b->next[b->prev[b->head]] = i;
        b->prev[b->head] = i;
    }
    return true;
}

static bool fits(const builder *b, uint32_t base, const uint8_t *labels, size_t n) {
    if (b->base_used[base]) return false;
    for (size_t i = 1; i < n; i++)
        if ((b->units[base ^ labels[i]].link & 511u) != FREE_LABEL) return false;
    return true;
}

/* A base under which all labels are free, or 0 when memory or the number space runs out. */
static uint32_t find_base(builder *b, const uint8_t *labels, size_t n) {
    uint32_t u = b->head;
    for (int i = 0; u && i < TRIES; i++) {
        if (fits(b, u ^ labels[0], labels, n)) return u ^ labels[0];
        u = b->next[u];
        if (u == b->head) break;
    }
    uint32_t base = (uint32_t)b->count;
    return base < MAX_UNITS && add_units(b) ? base : 0;
}

/* Gives the node its children: one unit and one entry of the queue each. */
static nib_status place(builder *b, const text_key *keys, range r, nib_error *err) {
    uint8_t labels[256];
    uint32_t begins[257];
    size_t n = 0;
    for (uint32_t i = r.lo; i < r.hi;) {
        if (keys[i].length == r.depth) { /* only the first of equal keys has been given its value */
            i++;
            continue;
        }
        uint8_t label = (uint8_t)keys[i].bytes[r.depth];
        begins[n] = i;
        labels[n++] = label;
        while (i < r.hi && (uint8_t)keys[i].bytes[r.depth] == label) i++;
    }
    if (n == 0) return NIB_OK;
    begins[n] = r.hi;
    uint32_t base = r.unit ? find_base(b, labels, n) : TEXT_TRIE_ROOT;
    if (!base && b->count >= MAX_UNITS) return base_error_set(err, NIB_LIMIT, "vocabulary: more than %u trie units", MAX_UNITS);
    if (!base) return NIB_OUT_OF_MEMORY;
    b->base_used[base] = 1;
    if (r.unit) b->units[r.unit].link = base << 9 | (b->units[r.unit].link & 511u);
    for (size_t i = 0; i < n; i++) {
        uint32_t u = base ^ labels[i], lo = begins[i];
        unlink_unit(b, u);
        b->units[u].link = labels[i];
        if (keys[lo].length == r.depth + 1) b->units[u].value = keys[lo].value;
        if (!base_grow(b->heap, (void **)&b->queue, &b->queue_cap, b->last + 1, sizeof *b->queue)) return NIB_OUT_OF_MEMORY;
        b->queue[b->last++] = (range){u, lo, begins[i + 1], r.depth + 1};
    }
    return NIB_OK;
}

nib_status text_trie_build(base_heap *heap, text_key *keys, size_t count, text_trie *out, const text_key **twice, nib_error *err) {
    nib_status status = NIB_OK;
    builder b = {.heap = heap};
    memset(out, 0, sizeof *out);
    if (twice) *twice = NULL;
    for (size_t i = 0; i < count; i++)
        if (keys[i].length > TEXT_TRIE_KEY_MAX)
            return base_error_set(err, NIB_LIMIT, "a token of %u bytes; nib takes %u", (unsigned)keys[i].length, TEXT_TRIE_KEY_MAX);
    sort_keys(keys, count, 0);
    for (size_t i = 1; twice && i < count; i++)
        if (keys[i].length == keys[i - 1].length && memcmp(keys[i].bytes, keys[i - 1].bytes, keys[i].length) == 0) *twice = &keys[i];
    if (!add_units(&b) || !add_units(&b) || !base_grow(heap, (void **)&b.queue, &b.queue_cap, 1, sizeof *b.queue))
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the vocabulary");
    b.queue[b.last++] = (range){0, 0, (uint32_t)count, 0};
    while (b.first < b.last) NIB_TRY(place(&b, keys, b.queue[b.first++], err));
    *out = (text_trie){heap, b.units, b.count};
    b.units = NULL;
fail:
    base_free(heap, b.units);
    base_free(heap, b.next);
    base_free(heap, b.prev);
    base_free(heap, b.base_used);
    base_free(heap, b.queue);
    return status == NIB_OUT_OF_MEMORY ? base_error_set(err, status, "out of memory for the vocabulary") : status;
}

void text_trie_free(text_trie *t) {
    if (t->heap) base_free(t->heap, t->units);
    t->units = NULL;
}

size_t text_trie_longest(const text_trie *t, const uint8_t *s, size_t n, int32_t *value) {
    uint32_t base = TEXT_TRIE_ROOT;
    size_t best = 0;
    int32_t v;
    if (n > TEXT_TRIE_KEY_MAX) n = TEXT_TRIE_KEY_MAX; /* no key is longer */
    for (size_t i = 0; i < n && text_trie_step(t, &base, s[i], &v); i++)
        if (v >= 0) best = i + 1, *value = v;
    return best;
}

int32_t text_trie_find(const text_trie *t, const char *s, size_t n) {
    uint32_t base = TEXT_TRIE_ROOT;
    int32_t v = -1;
    for (size_t i = 0; i < n; i++)
        if (!text_trie_step(t, &base, (uint8_t)s[i], &v)) return -1;
    return v;
}

uint32_t text_trie_node(const text_trie *t, const char *s, size_t n) {
    uint32_t base = TEXT_TRIE_ROOT;
    int32_t v;
    for (size_t i = 0; i < n; i++)
        if (!text_trie_step(t, &base, (uint8_t)s[i], &v)) return 0;
    return base;
}
