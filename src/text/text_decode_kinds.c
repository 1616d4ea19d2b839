/* SPDX-License-Identifier: Apache-2.0
 *
 * The decoders: in: the strings of tokens. Out: strings that are parts of a text.
 */
#include "text_decode.h"
#include <string.h>

static void put(text_decoding *d, const char *bytes, size_t n) { base_str_add_bytes(&d->next->bytes, bytes, n); }

static void put_string(text_decoding *d, const char *bytes, size_t n) {
    put(d, bytes, n);
    text_decoding_end(d->next);
}

/* Bytes that need not be UTF-8: what is broken becomes U+FFFD. */
static void put_lossy(text_decoding *d, const char *bytes, size_t n) {
    uint32_t cp;
    for (size_t at = 0, k, good = 0; at < n || good < at; at += k) {
        k = at < n ? text_utf8((const uint8_t *)bytes + at, n - at, &cp) : 0;
        const bool broken = k && cp == 0xfffd && !(k == 3 && memcmp(bytes + at, "\xef\xbf\xbd", 3) == 0);
        if (!broken && k) continue;
        put(d, bytes + good, at - good);
        if (broken) put(d, "\xef\xbf\xbd", 3);
        good = at + k;
        if (!k) break;
    }
}

/* ---- ByteLevel: all strings become one; each is the bytes of its characters, or itself if one is no character of the
 * alphabet */

static void decode_bytes(const text_stage *s, text_decoding *d) {
    base_str all;
    base_str_init(&all, d->heap);
    for (size_t i = 0; i < d->count; i++) {
        const text_entry e = text_decoding_at(d, i);
        const size_t begin = all.length;
        uint32_t cp;
        int byte = 0;
        for (size_t at = 0; at < e.length && byte >= 0;) {
            at += text_utf8((const uint8_t *)e.bytes + at, e.length - at, &cp);
            byte = text_point_byte(cp);
            const char c = (char)byte;
            if (byte >= 0) base_str_add_bytes(&all, &c, 1);
        }
        if (byte >= 0) continue;
        if (!all.failed) all.length = begin;
        base_str_add_bytes(&all, e.bytes, e.length);
    }
    put_lossy(d, all.data, all.length);
    text_decoding_end(d->next);
    if (all.failed) d->next->bytes.failed = true;
    base_str_free(&all);
}

nib_status text_decode_bytes_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    s->run.decode = decode_bytes;
    return NIB_OK;
}

/* ---- WordPiece */

typedef struct wordpiece_data {
    const char *prefix;
    size_t length;
    bool cleanup;
} wordpiece_data;

/* Writes s[0..n) with `from` replaced by `to`. */
static void put_replaced(base_str *out, const char *s, size_t n, const char *from, size_t length, const char *to) {
    size_t done = 0;
    for (size_t at = 0; length && at + length <= n;) {
        const char *p = memchr(s + at, from[0], n - at - length + 1);
        if (!p) break;
        at = (size_t)(p - s);
        if (memcmp(p, from, length) != 0) {
            at++;
            continue;
        }
        base_str_add_bytes(out, s + done, at - done);
        base_str_add(out, to);
        done = at += length;
    }
    base_str_add_bytes(out, s + done, n - done);
}

/* What the library calls cleaning up: spaces before punctuation and English endings. transformers has a list of its own,
 * which is this one but for a row. */
static void clean_up(base_str *a, base_str *b, bool library) {
    static const char *const changes[][2] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                             {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                             {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; i < BASE_COUNT(changes) && a->length; i++) {
        if (!library && strcmp(changes[i][0], " do not") == 0) continue;
        base_str c = *a;
        base_str_clear(b);
        put_replaced(b, a->data, a->length, changes[i][0], strlen(changes[i][0]), changes[i][1]);
        *a = *b;
        *b = c;
    }
}

void text_clean_up(const text_tokenizer *t, base_str *text) {
    base_str other;
    if (strcmp(t->stages[TEXT_MODEL].items[0].name, "BPE") == 0) return;
    base_str_init(&other, text->heap);
    clean_up(text, &other, false);
    text->failed |= other.failed;
    base_str_free(&other);
}

static void decode_wordpiece(const text_stage *s, text_decoding *d) {
    const wordpiece_data *w = s->data;
    base_str one, other;
    base_str_init(&one, d->heap);
    base_str_init(&other, d->heap);
    for (size_t i = 0; i < d->count; i++) {
        text_entry e = text_decoding_at(d, i);
        base_str_clear(&one);
        if (i && e.length >= w->length && memcmp(e.bytes, w->prefix, w->length) == 0)
            base_str_add_bytes(&one, e.bytes + w->length, e.length - w->length);
        else {
            if (i) base_str_add_bytes(&one, " ", 1);
            base_str_add_bytes(&one, e.bytes, e.length);
        }
        if (w->cleanup) clean_up(&one, &other, true);
        put_string(d, one.data ? one.data : "", one.length);
    }
    if (one.failed || other.failed) d->next->bytes.failed = true;
    base_str_free(&one);
    base_str_free(&other);
}

/* A string of the file in the arena. */
static nib_status keep_string(text_tokenizer *t, yyjson_val *v, const char *where, const char *key, const char **out,
                              size_t *length, nib_error *err) {
    nib_status status = text_json_string(v, where, key, out, length, err);
    if (status != NIB_OK) return status;
    *out = base_arena_strndup(&t->arena, *out, *length);
    return *out ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the decoder");
}

nib_status text_decode_wordpiece_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    wordpiece_data *w;
    NIB_TRY(text_stage_data(t, s, sizeof *w, &w, err));
    NIB_TRY(keep_string(t, v, "decoder: WordPiece", "prefix", &w->prefix, &w->length, err));
    NIB_TRY(text_json_bool(v, "decoder: WordPiece", "cleanup", true, &w->cleanup, err));
    s->run.decode = decode_wordpiece;
fail:
    return status;
}

/* ---- BPEDecoder: the suffix becomes a space, but at the end */

typedef struct string_data {
    const char *bytes;
    size_t length;
} string_data;

static void decode_bpe(const text_stage *s, text_decoding *d) {
    const string_data *suffix = s->data;
    for (size_t i = 0; i < d->count; i++) {
        const text_entry e = text_decoding_at(d, i);
        put_replaced(&d->next->bytes, e.bytes, e.length, suffix->bytes, suffix->length, i + 1 == d->count ? "" : " ");
        text_decoding_end(d->next);
    }
}

nib_status text_decode_bpe_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    string_data *suffix;
    NIB_TRY(text_stage_data(t, s, sizeof *suffix, &suffix, err));
    NIB_TRY(keep_string(t, v, "decoder: BPEDecoder", "suffix", &suffix->bytes, &suffix->length, err));
    if (!suffix->length) NIB_FAIL(err, NIB_UNSUPPORTED, "decoder: BPEDecoder with an empty suffix");
    s->run.decode = decode_bpe;
fail:
    return status;
}

/* ---- ByteFallback: <0x0A> and neighbours of that form become the bytes, or as many U+FFFD if those are no text */

static int fallback_byte(text_entry e) {
    int v = 0;
    if (e.length != 6 || memcmp(e.bytes, "<0x", 3) != 0 || e.bytes[5] != '>') return -1;
    if (e.bytes[3] == '+') { /* the library's parser of numbers takes a sign */
        const char c = e.bytes[4];
        return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    }
    for (int i = 3; i < 5; i++) {
        const char c = e.bytes[i];
        const int digit = c >= '0' && c <= '9'                 ? c - '0'
                          : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                               : -1;
        if (digit < 0) return -1;
        v = v * 16 + digit;
    }
    return v;
}

static void put_fallback(text_decoding *d, const base_str *bytes) {
    size_t good = 0, k = 1;
    uint32_t cp;
    if (!bytes->length) return;
    for (; good < bytes->length && k; good += k)
        k = (size_t)base_utf8_decode(bytes->data + good, bytes->length - good, &cp);
    if (k) {
        put_string(d, bytes->data, bytes->length);
        return;
    }
    for (size_t i = 0; i < bytes->length; i++) put_string(d, "\xef\xbf\xbd", 3);
}

static void decode_fallback(const text_stage *s, text_decoding *d) {
    base_str bytes;
    base_str_init(&bytes, d->heap);
    for (size_t i = 0; i < d->count; i++) {
        const text_entry e = text_decoding_at(d, i);
        const int byte = fallback_byte(e);
        const char c = (char)byte;
        if (byte >= 0) {
            base_str_add_bytes(&bytes, &c, 1);
            continue;
        }
        put_fallback(d, &bytes);
        base_str_clear(&bytes);
        put_string(d, e.bytes, e.length);
    }
    put_fallback(d, &bytes);
    if (bytes.failed) d->next->bytes.failed = true;
    base_str_free(&bytes);
}

nib_status text_decode_fallback_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    s->run.decode = decode_fallback;
    return NIB_OK;
}

/* ---- Fuse: one string of all */

static void decode_fuse(const text_stage *s, text_decoding *d) {
    put_string(d, d->bytes.data ? d->bytes.data : "", d->count ? d->ends[d->count - 1] : 0);
}

nib_status text_decode_fuse_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    s->run.decode = decode_fuse;
    return NIB_OK;
}

/* ---- Replace */

typedef struct replace_data {
    text_pattern *pattern;
    string_data content;
} replace_data;

static void decode_replace(const text_stage *s, text_decoding *d) {
    const replace_data *r = s->data;
    text_work w = {.heap = d->heap};
    for (size_t i = 0; i < d->count && w.status == NIB_OK; i++) {
        const text_entry e = text_decoding_at(d, i);
        text_find f = {0};
        size_t done = 0;
        w.buf.n = e.length;
        w.steps = 0;
        while (e.length && text_pattern_next(r->pattern, &w, (const uint8_t *)e.bytes, e.length, &f)) {
            put(d, e.bytes + done, f.begin - done);
            put(d, r->content.bytes, r->content.length);
            done = f.end;
        }
        put_string(d, e.bytes + done, e.length - done);
    }
    if (w.status != NIB_OK) d->next->bytes.failed = true;
    text_work_free(&w);
}

nib_status text_decode_replace_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    replace_data *r;
    NIB_TRY(text_stage_data(t, s, sizeof *r, &r, err));
    NIB_TRY(text_pattern_load(t, v, "decoder: Replace", &r->pattern, err));
    NIB_TRY(keep_string(t, v, "decoder: Replace", "content", &r->content.bytes, &r->content.length, err));
    s->run.decode = decode_replace;
fail:
    return status;
}

/* ---- Strip: a character at the ends, up to so many times */

typedef struct strip_data {
    char bytes[4];
    size_t length, start, stop;
} strip_data;

static void decode_strip(const text_stage *s, text_decoding *d) {
    const strip_data *p = s->data;
    for (size_t i = 0; i < d->count; i++) {
        const text_entry e = text_decoding_at(d, i);
        size_t begin = 0, end = e.length;
        for (size_t k = 0;
             k < p->start && end - begin >= p->length && memcmp(e.bytes + begin, p->bytes, p->length) == 0; k++)
            begin += p->length;
        for (size_t k = 0;
             k < p->stop && end - begin >= p->length && memcmp(e.bytes + end - p->length, p->bytes, p->length) == 0;
             k++)
            end -= p->length;
        put_string(d, e.bytes + begin, end - begin);
    }
}

nib_status text_decode_strip_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    strip_data *p;
    uint32_t cp;
    NIB_TRY(text_stage_data(t, s, sizeof *p, &p, err));
    NIB_TRY(text_json_point(v, "decoder: Strip", "content", &cp, err));
    NIB_TRY(text_json_size(v, "decoder: Strip", "start", 0, UINT32_MAX, &p->start, err));
    NIB_TRY(text_json_size(v, "decoder: Strip", "stop", 0, UINT32_MAX, &p->stop, err));
    p->length = (size_t)base_utf8_encode(cp, p->bytes);
    s->run.decode = decode_strip;
fail:
    return status;
}

/* ---- Metaspace: the character becomes a space, in the first string nothing, unless none was put before it */

typedef struct meta_data {
    char bytes[5]; /* with a NUL */
    size_t length;
    bool prepended;
} meta_data;

static void decode_metaspace(const text_stage *s, text_decoding *d) {
    const meta_data *m = s->data;
    for (size_t i = 0; i < d->count; i++) {
        const text_entry e = text_decoding_at(d, i);
        put_replaced(&d->next->bytes, e.bytes, e.length, m->bytes, m->length, i == 0 && m->prepended ? "" : " ");
        text_decoding_end(d->next);
    }
}

nib_status text_decode_metaspace_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    meta_data *m;
    uint32_t cp;
    bool prefix;
    NIB_TRY(text_stage_data(t, s, sizeof *m, &m, err));
    NIB_TRY(text_json_point(v, "decoder: Metaspace", "replacement", &cp, err));
    NIB_TRY(text_json_bool(v, "decoder: Metaspace", "add_prefix_space", true, &prefix, err));
    m->length = (size_t)base_utf8_encode(cp, m->bytes);
    m->prepended = prefix && !text_json_is(yyjson_obj_get(v, "prepend_scheme"), "never");
    s->run.decode = decode_metaspace;
fail:
    return status;
}
