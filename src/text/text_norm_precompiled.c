/* SPDX-License-Identifier: Apache-2.0
 *
 * SentencePiece's normalizer: in: precompiled_charsmap, base64 of
 *
 *     u32 bytes of the trie | its units, u32 each, little-endian | strings, a NUL behind each
 *
 * Out: texts in which each grapheme cluster of less than six bytes, and else each character, that begins with a key of
 * the trie becomes the key's string: the shortest key's, and whatever the cluster holds behind it is gone, as in the
 * library. The trie is a double array of github.com/s-yata/darts-clone. The bytes may be hostile: every step is
 * checked.
 */
#include "text_internal.h"
#include <string.h>

typedef struct precompiled {
    const uint32_t *units;
    const char *strings;
    size_t unit_count, string_bytes;
} precompiled;

/* ---- the trie */

static size_t unit_offset(uint32_t u) { return (size_t)(u >> 10) << ((u & (1u << 9)) >> 6); }

/* The string of the shortest key that s[0..n) begins with; false: there is none. */
static bool look_up(const precompiled *d, const uint8_t *s, size_t n, const char **out, size_t *length) {
    size_t at = unit_offset(d->units[0]);
    for (size_t i = 0; i < n && s[i]; i++) {
        at ^= s[i];
        if (at >= d->unit_count) return false;
        const uint32_t u = d->units[at];
        if ((u & (1u << 31 | 0xffu)) != s[i]) return false;
        at ^= unit_offset(u);
        if (!(u >> 8 & 1)) continue;
        if (at >= d->unit_count) return false;
        const size_t value = d->units[at] & 0x7fffffffu;
        if (value >= d->string_bytes || (d->strings[value] & 0xc0) == 0x80) return false;
        *out = d->strings + value;
        *length = strlen(*out); /* a NUL follows the last one */
        return true;
    }
    return false;
}

/* ---- clusters */

static bool extends(uint32_t cp) { return cp >= 0x300 && base_in_ranges(text_extend, text_extend_count, cp); }
static bool is_control(uint32_t cp) {
    return cp < 0x80 ? cp < 0x20 || cp == 0x7f : base_in_ranges(text_control, text_control_count, cp);
}
static bool takes_next(uint32_t cp) { return cp >= 0x600 && base_in_ranges(text_prepend, text_prepend_count, cp); }

/* Where the cluster ends that begins at s[0], n > 0. */
static size_t cluster_end(const uint8_t *s, size_t n) {
    uint32_t cp, next;
    size_t at = text_utf8(s, n, &cp), k;
    if (cp == '\r' && at < n && s[at] == '\n') return at + 1;
    if (is_control(cp)) return at;
    for (; at < n; at += k, cp = next) {
        k = text_utf8(s + at, n - at, &next);
        if (!extends(next) && (!takes_next(cp) || is_control(next))) break;
    }
    return at;
}

/* ---- the normalizer */

/* Characters go out one late: what is removed behind one counts for it. */
typedef struct pending {
    text_change out;
    bool any;
    uint32_t cp;
    int change;
} pending;

static void put(pending *p, uint32_t cp, int change) {
    if (p->any) text_change_put(&p->out, p->cp, p->change);
    p->any = true;
    p->cp = cp;
    p->change = change;
}

static size_t count_points(const uint8_t *s, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += (s[i] & 0xc0) != 0x80;
    return count;
}

/* If there are more characters than before, the last ones are new; if less, the last one takes in the rest. */
static void put_replaced(pending *p, const uint8_t *old, size_t old_length, const char *fresh, size_t length) {
    const size_t before = count_points(old, old_length), after = count_points((const uint8_t *)fresh, length);
    uint32_t cp;
    for (size_t at = 0, i = 0; at < length; i++) {
        at += text_utf8((const uint8_t *)fresh + at, length - at, &cp);
        put(p, cp, i >= before);
    }
    if (after < before && p->any) p->change -= (int)(before - after);
}

static void normalize(const text_stage *s, text_work *w) {
    const precompiled *d = s->data;
    const uint8_t *text = w->buf.bytes;
    pending p = {.out = {w, 0, 0, w->buf.n}};
    const char *fresh;
    size_t length;
    uint32_t cp;
    for (size_t at = 0, end; at < w->buf.n && w->status == NIB_OK; at = end) {
        end = at + cluster_end(text + at, w->buf.n - at);
        if (end - at < 6 && look_up(d, text + at, end - at, &fresh, &length)) {
            put_replaced(&p, text + at, end - at, fresh, length);
            continue;
        }
        for (size_t k = at, next; k < end && w->status == NIB_OK; k = next) {
            next = k + text_utf8(text + k, end - k, &cp);
            if (look_up(d, text + k, next - k, &fresh, &length)) put_replaced(&p, text + k, next - k, fresh, length);
            else put(&p, cp, 0);
        }
    }
    if (p.any) text_change_put(&p.out, p.cp, p.change);
    text_work_swap(w);
}

/* ---- reading */

static int base64_value(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* out has room for 3 bytes for every 4 characters; returns the bytes, or SIZE_MAX. */
static size_t base64_decode(const char *s, size_t n, uint8_t *out) {
    uint32_t bits = 0;
    size_t written = 0, padding = 0;
    if (n % 4) return SIZE_MAX;
    while (padding < 2 && padding < n && s[n - 1 - padding] == '=') padding++;
    for (size_t i = 0; i < n - padding; i++) {
        const int v = base64_value(s[i]);
        if (v < 0) return SIZE_MAX;
        bits = bits << 6 | (uint32_t)v;
        if (i % 4) out[written++] = (uint8_t)(bits >> (6 - i % 4 * 2));
    }
    return written;
}

static bool is_text(const char *s, size_t n) {
    uint32_t cp;
    for (size_t at = 0, k; at < n; at += k)
        if (!(k = (size_t)base_utf8_decode(s + at, n - at, &cp))) return false;
    return true;
}

nib_status text_norm_precompiled_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    const char *map, *where = "normalizer: Precompiled";
    precompiled *d;
    size_t length;
    NIB_TRY(text_stage_data(t, s, sizeof *d, &d, err));
    NIB_TRY(text_json_string(v, where, "precompiled_charsmap", &map, &length, err));
    uint8_t *bytes = base_arena_alloc(&t->arena, length / 4 * 3 + 8);
    if (!bytes) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the normalizer");
    const size_t n = base64_decode(map, length, bytes);
    if (n == SIZE_MAX || n < 4)
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: \"precompiled_charsmap\" is not base64 of a map", where);
    const size_t trie = (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
    d->unit_count = trie / 4;
    if (d->unit_count == 0 || d->unit_count * 4 > n - 4)
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: a trie of %zu bytes in %zu", where, trie, n);
    uint32_t *units = base_arena_alloc(&t->arena, d->unit_count * sizeof *units);
    if (!units) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the normalizer");
    for (size_t i = 0; i < d->unit_count; i++) {
        const uint8_t *u = bytes + 4 + 4 * i;
        units[i] = (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
    }
    d->units = units;
    d->strings = (const char *)bytes + 4 + 4 * d->unit_count;
    d->string_bytes = n - 4 - 4 * d->unit_count;
    bytes[n] = 0;
    if (!is_text(d->strings, d->string_bytes))
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: strings that are not UTF-8", where);
    s->run.normalize = normalize;
fail:
    return status;
}
