/* SPDX-License-Identifier: Apache-2.0
 *
 * In: added_tokens, and bytes of a text. Out: where these tokens stand in it: at each place the longest, from left to
 * right, without overlap. single_word drops a match beside a word character, lstrip and rstrip take in white space.
 *
 * Tokens are at most TEXT_TRIE_KEY_MAX bytes, and white space is stripped once wherever matches stand in it, so the search is
 * linear in the text; usually all begin with '[' or '<' and memchr does the work.
 */
#include "text_internal.h"
#include <stdio.h>
#include <string.h>

static nib_status read_tokens(text_tokenizer *t, yyjson_val *list, nib_error *err) {
    nib_status status = NIB_OK;
    size_t i, count;
    yyjson_val *item;
    if (yyjson_arr_size(list) == 0) return NIB_OK;
    t->added = base_arena_calloc(&t->arena, yyjson_arr_size(list), sizeof *t->added);
    if (!t->added) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for added tokens");
    /* Specials come first, as in the library: of two tokens that read the same once normalised, the first one wins. */
    for (int special = 1; special >= 0; special--) {
        yyjson_arr_foreach(list, i, count, item) {
            text_added_token a = {0};
            char where[64];
            snprintf(where, sizeof where, "added_tokens[%zu]", i);
            NIB_TRY(text_json_bool(item, where, "special", false, &a.special, err));
            if (a.special != (bool)special) continue;
            NIB_TRY(text_json_bool(item, where, "single_word", false, &a.single_word, err));
            NIB_TRY(text_json_bool(item, where, "lstrip", false, &a.lstrip, err));
            NIB_TRY(text_json_bool(item, where, "rstrip", false, &a.rstrip, err));
            NIB_TRY(text_json_bool(item, where, "normalized", !a.special, &a.normalized, err));
            NIB_TRY(text_json_id(yyjson_obj_get(item, "id"), where, t->ids, &a.id, err));
            const text_entry e = text_entry_of(t, a.id);
            a.content = a.form = e.bytes;
            a.length = a.form_length = e.length;
            if (a.length > TEXT_TRIE_KEY_MAX) NIB_FAIL(err, NIB_LIMIT, "%s: %zu bytes; nib takes %u", where, a.length, TEXT_TRIE_KEY_MAX);
            if (!a.length) continue; /* an empty one is never found */
            t->added[t->added_count++] = a;
            if (!t->added_at[a.id]) t->added_at[a.id] = (uint32_t)t->added_count;
        }
    }
fail:
    return status;
}

/* What is looked for in normalised text. */
static nib_status normalize_token(text_tokenizer *t, text_work *w, text_added_token *a, nib_error *err) {
    w->text = (const uint8_t *)a->content;
    w->length = a->length;
    text_normalize(t, w, 0, a->length);
    if (w->status != NIB_OK) return base_error_set(err, w->status, "%s", w->why ? w->why : "out of memory for added tokens");
    a->form_length = w->buf.n;
    if (!w->buf.n) return base_error_set(err, NIB_UNSUPPORTED, "added token \"%s\": nothing is left of it once normalized", a->content);
    if (w->buf.n > TEXT_TRIE_KEY_MAX)
        return base_error_set(err, NIB_LIMIT, "added token \"%s\": %zu bytes once normalized", a->content, w->buf.n);
    a->form = base_arena_strndup(&t->arena, (const char *)w->buf.bytes, w->buf.n);
    return a->form ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for added tokens");
}

/* Builds the trie of the tokens with normalized == `normalized`. */
static nib_status build_set(text_tokenizer *t, bool normalized, text_added_set *set, nib_error *err) {
    nib_status status = NIB_OK;
    text_work w = {.heap = t->heap};
    text_key *keys = base_calloc(t->heap, t->added_count + 1, sizeof *keys);
    if (!keys) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for added tokens");
    set->tokens = t->added;
    for (size_t i = 0; i < t->added_count; i++) {
        text_added_token *a = &t->added[i];
        if (a->normalized != normalized) continue;
        if (normalized) NIB_TRY(normalize_token(t, &w, a, err));
        keys[set->count++] = (text_key){a->form, (uint32_t)a->form_length, (int32_t)i};
    }
    NIB_TRY(text_trie_build(t->heap, keys, set->count, &set->trie, NULL, err));
    set->only_first = -1;
    for (size_t i = 0; i < set->count; i++) set->first[(uint8_t)keys[i].bytes[0]] = true;
    size_t firsts = 0;
    for (int c = 0; c < 256; c++)
        if (set->first[c]) set->only_first = c, firsts++;
    if (firsts != 1) set->only_first = -1;
fail:
    base_free(t->heap, keys);
    text_work_free(&w);
    return status;
}

nib_status text_added_load(text_tokenizer *t, yyjson_val *v, nib_error *err) {
    nib_status status = NIB_OK;
    t->added_at = base_arena_calloc(&t->arena, t->ids + 1, sizeof *t->added_at);
    if (!t->added_at) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for added tokens");
    if (v) NIB_TRY(read_tokens(t, v, err));
    NIB_TRY(build_set(t, false, &t->raw, err));
    NIB_TRY(build_set(t, true, &t->normal, err));
fail:
    return status;
}

size_t text_back(const uint8_t *s, size_t at, uint32_t *cp) {
    size_t from = at - 1;
    while (from > 0 && at - from < 4 && (s[from] & 0xc0) == 0x80) from--;
    if (text_utf8(s + from, at - from, cp) == at - from) return from;
    *cp = 0xfffd;
    return at - 1;
}

static bool word_at(const uint8_t *s, size_t n, size_t at) {
    uint32_t cp;
    if (at >= n) return false;
    text_utf8(s + at, n - at, &cp);
    return base_is_word(cp);
}

static bool word_before(const uint8_t *s, size_t at) {
    uint32_t cp;
    if (at == 0) return false;
    text_back(s, at, &cp);
    return base_is_word(cp);
}

/* Takes in the white space before a match, but for what the last one has, and behind it. */
static void strip(const text_added_token *a, const uint8_t *s, size_t n, text_scan *scan, size_t *begin, size_t *end) {
    uint32_t cp;
    if (a->lstrip) {
        for (size_t b; *begin > scan->taken; *begin = b) {
            b = text_back(s, *begin, &cp);
            if (!base_is_space(cp) || b < scan->taken) break;
        }
        if (*begin < scan->taken) *begin = scan->taken;
    }
    if (!a->rstrip) return;
    if (*end < scan->white) *end = scan->white;
    for (size_t k; *end < n; *end += k) {
        k = text_utf8(s + *end, n - *end, &cp);
        if (!base_is_space(cp)) break;
    }
    scan->white = *end;
}

bool text_added_next(const text_added_set *set, const uint8_t *s, size_t n, text_scan *scan, text_match *match) {
    if (set->count == 0) return false;
    for (size_t i = scan->at; i < n;) {
        if (set->only_first >= 0) {
            const uint8_t *p = memchr(s + i, set->only_first, n - i);
            if (!p) break;
            i = (size_t)(p - s);
        } else if (!set->first[s[i]]) {
            i++;
            continue;
        }
        int32_t which = -1;
        size_t length = text_trie_longest(&set->trie, s + i, n - i, &which), begin = i, end = i + length;
        if (!length) {
            i++;
            continue;
        }
        i = end;
        const text_added_token *a = &set->tokens[which];
        if (a->single_word && (word_before(s, begin) || word_at(s, n, end))) continue;
        strip(a, s, n, scan, &begin, &end);
        if (begin >= end) continue; /* the last match has taken it all */
        scan->taken = end;
        scan->at = i;
        *match = (text_match){a, begin, end};
        return true;
    }
    scan->at = n;
    return false;
}
