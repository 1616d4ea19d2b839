/* SPDX-License-Identifier: Apache-2.0
 *
 * See task_chunk_cut.h.
 */
#include "task_chunk_cut.h"
#include <string.h>

chunk_frame chunk_frame_of(const text_encoding *e, size_t prompt) {
    chunk_frame f = {0};
    while (f.lead < e->count && e->special[f.lead]) f.lead++;
    while (f.lead + f.tail < e->count && e->special[e->count - 1 - f.tail]) f.tail++;
    while (f.lead + f.tail < e->count && e->spans[f.lead].begin < prompt) f.lead++;
    return f;
}

nib_status chunk_rule_make(const nib_chunk_options *o, int64_t longest, const chunk_frame *frame, chunk_rule *out,
                           nib_error *err) {
    const size_t around = frame->lead + frame->tail, all = (size_t)longest;
    const size_t room = all > around ? all - around : 0, half = o->sentences ? room / 2 : room ? room - 1 : 0;
    if (!room)
        return base_error_set(err, NIB_INVALID_ARGUMENT,
                              "chunks of %zu tokens have no room for a text's own: %zu are special or the prompt's",
                              all, around);
    if ((uint64_t)o->overlap > half)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "chunks of %zu tokens of a text's own cannot share %lld: at most %zu",
                              room, (long long)o->overlap, half);
    *out = (chunk_rule){.most = room,
                        .overlap = (size_t)o->overlap,
                        .sentences = o->sentences != 0,
                        .overlap_sentences = o->overlap_sentences};
    return NIB_OK;
}

static bool is_white(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* U+3002, U+FF01 and U+FF1F, behind which nothing need stand. */
static const char wide_ends[][4] = {"\xe3\x80\x82", "\xef\xbc\x81", "\xef\xbc\x9f"};

bool chunk_sentence_ends(const char *text, size_t length, size_t at) {
    for (size_t i = 0; i < BASE_COUNT(wide_ends); i++)
        if (at >= 3 && !memcmp(text + at - 3, wide_ends[i], 3)) return true;
    if (at > 0 && strchr(".!?", text[at - 1]) && text[at - 1] && (at == length || is_white(text[at]))) return true;
    for (; at < length && is_white(text[at]); at++)
        if (text[at] == '\n') return true;
    return false;
}

/* Where the last sentences of a chunk begin. Of more than half the room the next chunk might end where this one does. */
static size_t begin_of_sentences(const chunk_rule *rule, const uint8_t *ends, const chunk_range *r) {
    size_t begin = r->end;
    int64_t left = rule->overlap_sentences;
    for (size_t s = r->end - 1; s > r->first && r->end - s <= rule->most / 2 && left > 0; s--)
        if (ends[s - 1]) begin = s, left--;
    return begin;
}

bool chunk_rule_next(const chunk_rule *rule, const uint8_t *ends, size_t n, bool whole, chunk_range *r, size_t *next) {
    if (n - r->first <= rule->most) {
        r->end = *next = n;
        return whole;
    }
    const size_t most = r->first + rule->most, least = most - rule->most / 3;
    r->end = most;
    for (size_t e = most; rule->sentences && e > least; e--)
        if (ends[e - 1]) {
            r->end = e;
            break;
        }
    *next = rule->overlap_sentences > 0 ? begin_of_sentences(rule, ends, r) : r->end - rule->overlap;
    for (size_t s = *next; rule->sentences && rule->overlap && s <= r->end; s++)
        if (ends[s - 1]) {
            *next = s;
            break;
        }
    return true;
}
