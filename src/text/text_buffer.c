/* SPDX-License-Identifier: Apache-2.0
 *
 * A text under way: buffers that grow as they are written, the parts of one, and the writer of changed characters that
 * keeps the places of origin as the library's NormalizedString does.
 */
#include "text_internal.h"
#include <string.h>

void text_fail(text_work *w, nib_status status, const char *why) {
    if (w->status != NIB_OK) return;
    w->status = status;
    w->why = why;
}

/* More than the 32 bits of a part's ends can say. */
#define MOST_BYTES ((size_t)UINT32_MAX - 8)

bool text_buffer_reserve(text_work *w, text_buffer *b, size_t n) {
    if (n <= b->bytes_cap && n <= b->from_cap) return true;
    if (n > MOST_BYTES) return text_fail(w, NIB_LIMIT, "a text of 4 GiB once it is normalized"), false;
    if (base_grow(w->heap, (void **)&b->bytes, &b->bytes_cap, n, 1) &&
        base_grow(w->heap, (void **)&b->from, &b->from_cap, n, sizeof *b->from))
        return true;
    text_fail(w, NIB_OUT_OF_MEMORY, NULL);
    return false;
}

static bool match_array(text_work *w, void **array, size_t *cap, size_t want, size_t size) {
    void *fresh = *cap < want ? base_realloc(w->heap, *array, want * size) : *array;
    if (!fresh) return *cap >= want;
    *array = fresh;
    if (*cap < want) *cap = want;
    return true;
}

/* Buffers that change places are of one size, so that it does not matter to later texts which of them is which. */
void text_work_swap(text_work *w) {
    text_buffer b = w->buf, *n = &w->next;
    w->buf = w->next;
    w->next = b;
    if (!match_array(w, (void **)&n->bytes, &n->bytes_cap, w->buf.bytes_cap, 1) ||
        !match_array(w, (void **)&n->from, &n->from_cap, w->buf.from_cap, sizeof *n->from))
        text_fail(w, NIB_OUT_OF_MEMORY, NULL);
}

bool text_part_push(text_work *w, text_parts *list, size_t begin, size_t end, int32_t id) {
    text_parts *other = list == &w->parts ? &w->more : &w->parts;
    if (list->count == list->cap &&
        (!base_grow(w->heap, (void **)&list->items, &list->cap, list->count + 1, sizeof *list->items) ||
         !base_grow(w->heap, (void **)&other->items, &other->cap, list->cap, sizeof *other->items))) {
        text_fail(w, NIB_OUT_OF_MEMORY, NULL);
        return false;
    }
    list->items[list->count++] = (text_part){(uint32_t)begin, (uint32_t)end, id};
    return true;
}

void *text_work_scratch(text_work *w, size_t bytes) {
    if (bytes > w->scratch_cap) {
        void *fresh = base_calloc(w->heap, 1, bytes);
        if (!fresh) return text_fail(w, NIB_OUT_OF_MEMORY, NULL), NULL;
        base_free(w->heap, w->scratch);
        w->scratch = fresh;
        w->scratch_cap = bytes;
    }
    return w->scratch;
}

/* ---- writing */

bool text_put(text_work *w, const uint8_t *bytes, size_t n, uint32_t from) {
    text_buffer *b = &w->next;
    if (!text_buffer_reserve(w, b, b->n + n)) return false;
    for (size_t i = 0; i < n; i++) {
        b->bytes[b->n + i] = bytes[i];
        b->from[b->n + i] = from;
    }
    b->n += n;
    return true;
}

bool text_put_point(text_work *w, uint32_t cp, uint32_t from) {
    char bytes[4];
    return text_put(w, (const uint8_t *)bytes, (size_t)base_utf8_encode(cp, bytes), from);
}

bool text_put_range(text_work *w, size_t begin, size_t end) {
    text_buffer *b = &w->next;
    if (!text_buffer_reserve(w, b, b->n + (end - begin))) return false;
    if (begin == end) return true;
    memcpy(b->bytes + b->n, w->buf.bytes + begin, end - begin);
    memcpy(b->from + b->n, w->buf.from + begin, (end - begin) * sizeof *b->from);
    b->n += end - begin;
    return true;
}

void text_change_skip(text_change *c, size_t characters) {
    uint32_t cp;
    for (; characters && c->at < c->end; characters--) c->at += text_utf8(c->w->buf.bytes + c->at, c->end - c->at, &cp);
}

uint32_t text_part_place(const text_work *w, size_t begin) { return w->buf.from[begin] & ~TEXT_INSERTED; }

bool text_change_put(text_change *c, uint32_t cp, int change) {
    const uint32_t *from = c->w->buf.from;
    uint32_t place;
    if (change > 0 || c->at >= c->end) place = c->at > c->begin ? from[c->at - 1] : from[c->begin] | TEXT_INSERTED;
    else place = from[c->at];
    if (change <= 0) text_change_skip(c, (size_t)(1 - change));
    return text_put_point(c->w, cp, place);
}

/* ---- cutting */

void text_cut_begin(text_cutter *c, text_work *w, text_behavior behavior) {
    *c = (text_cutter){.w = w, .behavior = behavior, .first = w->more.count};
}

void text_cut(text_cutter *c, size_t begin, size_t end, bool match) {
    text_parts *out = &c->w->more;
    const bool last = c->last_match, any = out->count > c->first;
    c->last_match = match;
    switch (c->behavior) {
    case TEXT_REMOVED:
        if (match) return;
        break;
    case TEXT_ISOLATED: break;
    case TEXT_CONTIGUOUS:
        if (match != last || !any) break;
        out->items[out->count - 1].end = (uint32_t)end;
        return;
    case TEXT_MERGED_WITH_PREVIOUS:
        if (!match || last || !any) break;
        out->items[out->count - 1].end = (uint32_t)end;
        return;
    case TEXT_MERGED_WITH_NEXT:
        if (c->pending && match) text_part_push(c->w, out, c->begin, c->end, TEXT_WORD);
        if (c->pending && !match) begin = c->begin;
        c->pending = match;
        c->begin = begin;
        c->end = end;
        if (match) return;
    }
    text_part_push(c->w, out, begin, end, TEXT_WORD);
}

void text_cut_end(text_cutter *c) {
    if (c->pending) text_part_push(c->w, &c->w->more, c->begin, c->end, TEXT_WORD);
    c->pending = false;
}

void text_parts_swap(text_work *w) {
    size_t n = 0;
    text_parts p = w->parts;
    for (size_t i = 0; i < w->more.count; i++)
        if (w->more.items[i].begin < w->more.items[i].end) w->more.items[n++] = w->more.items[i];
    w->more.count = n;
    w->parts = w->more;
    w->more = p;
    w->more.count = 0;
}

nib_status text_behavior_load(yyjson_val *v, const char *where, text_behavior *out, nib_error *err) {
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    yyjson_val *b = yyjson_obj_get(v, "behavior");
    for (int i = 0; i < (int)BASE_COUNT(names); i++)
        if (text_json_is(b, names[i])) return *out = (text_behavior)i, NIB_OK;
    return base_error_set(err, NIB_BAD_TOKENIZER, "%s: \"behavior\" is none that there is", where);
}
