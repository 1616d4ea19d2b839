/* SPDX-License-Identifier: Apache-2.0
 *
 * In: text, perhaps not UTF-8. Out: what BertNormalizer makes of it, with the place of origin of every byte.
 *
 * The library's five passes (clean, space Chinese characters, decompose, drop marks, lower-case) treat each character on
 * its own, but for one thing: decomposing sorts combining marks. So loading composes the passes into one map from a
 * character to what becomes of it, and running is one lookup each. Almost all marks are dropped; the few that the library
 * takes for no mark yet sorts go the slow way, where their order is put right at the next character that starts anew.
 */
#include "text_internal.h"
#include <string.h>

/* Cells of the map; from PIECE on they name replacements. */
enum {
    COPY,
    DROP,       /* removed, and between two marks it would not part them */
    DROP_START, /* a removed mark of class 0: marks on both sides of it keep their order */
    SPACE,
    WRAP, /* kept, between two spaces */
    HANGUL,
    ORDER, /* its decomposition has a mark that stays */
    PIECE
};

#define NOWHERE SIZE_MAX

/* What the library takes for a Chinese character. */
static const base_range chinese_ranges[] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},  {0x20000, 0x2a6df},
                                     {0x2a700, 0x2b81f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f}};

static bool is_mark(uint32_t cp) { return base_in_ranges(text_mark, text_mark_count, cp); }

/* Text under way: n bytes are out; the marks from `run` on may yet change places. */
typedef struct output {
    uint8_t *norm;
    uint32_t *from;
    size_t n, run; /* run == NOWHERE: the last character was none that stays to be sorted */
    uint32_t last_class;
    bool disorder;
} output;

static inline void put(output *o, const uint8_t *bytes, size_t n, size_t at) {
    for (size_t i = 0; i < n; i++) {
        o->norm[o->n + i] = bytes[i];
        o->from[o->n + i] = (uint32_t)at;
    }
    o->n += n;
}

static void put_point(output *o, uint32_t cp, size_t at) {
    char bytes[4];
    put(o, (const uint8_t *)bytes, (size_t)base_utf8_encode(cp, bytes), at);
}

/* Sorts norm[run..n) by combining class, stably. Origins belong to places, not to characters: the library's do, and a
 * span's end stays behind its begin. The copy lies behind n, where TEXT_GROWTH leaves room. */
static void sort_marks(output *o) {
    size_t bytes = o->n - o->run, at = o->run, chars = 0, place = 0;
    const uint8_t *copy = o->norm + o->n;
    uint32_t *origin = o->from + o->n, cp;
    bool present[256] = {false};
    memcpy(o->norm + o->n, o->norm + o->run, bytes);
    for (size_t i = 0, k; i < bytes; i += k) {
        k = text_utf8(copy + i, bytes - i, &cp);
        origin[chars++] = o->from[o->run + i];
        present[text_combining_class(cp) & 255u] = true;
    }
    for (uint32_t class = 1; class < 256; class ++) {
        if (!present[class]) continue;
        for (size_t i = 0, k; at < o->n && i < bytes; i += k) {
            k = text_utf8(copy + i, bytes - i, &cp);
            if (text_combining_class(cp) != class) continue;
            memcpy(o->norm + at, copy + i, k);
            for (size_t j = 0; j < k; j++) o->from[at + j] = origin[place];
            at += k;
            place++;
        }
    }
}

static inline void end_run(output *o) {
    if (o->run == NOWHERE) return;
    if (o->disorder) sort_marks(o);
    o->run = NOWHERE;
    o->disorder = false;
}

/* A character whose decomposition holds a mark that stays. */
static void put_ordered(const text_normalizer *n, output *o, uint32_t cp, size_t at) {
    const uint32_t *parts;
    uint32_t self;
    size_t count = text_decompose(cp, &parts, &self);
    for (size_t i = 0; i < count; i++) {
        uint32_t class = text_combining_class(parts[i]);
        if (class == 0) end_run(o);
        if (is_mark(parts[i])) continue;
        if (class && o->run == NOWHERE) {
            o->run = o->n;
        } else if (class && class < o->last_class) {
            o->disorder = true;
        }
        o->last_class = class;
        put_point(o, n->lowercase ? text_to_lower(parts[i]) : parts[i], at);
    }
}

static void put_hangul(output *o, uint32_t cp, size_t at) {
    uint32_t s = cp - 0xac00;
    put_point(o, 0x1100 + s / 588, at);
    put_point(o, 0x1161 + s % 588 / 28, at);
    if (s % 28) put_point(o, 0x11a7 + s % 28, at);
}

static inline uint64_t load8(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static size_t run_ascii(const text_normalizer *n, const uint8_t *text, size_t i, size_t end, output *o) {
    uint8_t *norm = o->norm;
    uint32_t *from = o->from;
    size_t out = o->n;
    while (end - i >= 8 && !(load8(text + i) & 0x8080808080808080u)) {
        for (size_t k = 0; k < 8; k++) {
            uint8_t c = n->ascii[text[i + k]];
            norm[out] = c;
            from[out] = (uint32_t)(i + k);
            out += c != 0xff;
        }
        i += 8;
    }
    for (; i < end && text[i] < 0x80; i++) {
        uint8_t c = n->ascii[text[i]];
        norm[out] = c;
        from[out] = (uint32_t)i;
        out += c != 0xff;
    }
    o->n = out;
    return i;
}

static size_t bert_run(const text_normalizer *n, const uint8_t *text, size_t begin, size_t end, uint8_t *norm, uint32_t *from) {
    output o = {.norm = norm, .from = from, .run = NOWHERE};
    static const uint8_t space[1] = {' '};
    for (size_t i = begin; i < end;) {
        if (text[i] < 0x80) {
            /* A control character that clean_text removes parts no marks; all others do. */
            if (n->ascii[text[i]] != 0xff) end_run(&o);
            i = o.run == NOWHERE ? run_ascii(n, text, i, end, &o) : i + 1;
            continue;
        }
        uint32_t cp;
        size_t k = text_utf8(text + i, end - i, &cp);
        uint16_t cell = text_map_get(&n->map, cp);
        if (cell != DROP && cell != ORDER) end_run(&o);
        switch (cell) {
        case COPY:
            if (cp == 0xfffd) put_point(&o, cp, i); /* the bytes may be broken ones */
            else put(&o, text + i, k, i);
            break;
        case DROP:
        case DROP_START: break;
        case SPACE: put(&o, space, 1, i); break;
        case WRAP:
            put(&o, space, 1, i);
            put(&o, text + i, k, i);
            put(&o, space, 1, i);
            break;
        case HANGUL: put_hangul(&o, cp, i); break;
        case ORDER: put_ordered(n, &o, cp, i); break;
        default: put(&o, n->bytes + (n->pieces[cell - PIECE] >> 8), n->pieces[cell - PIECE] & 255u, i);
        }
        i += k;
    }
    end_run(&o);
    return o.n;
}

static size_t plain_run(const text_normalizer *n, const uint8_t *text, size_t begin, size_t end, uint8_t *norm, uint32_t *from) {
    output o = {.norm = norm, .from = from, .run = NOWHERE};
    for (size_t i = begin; i < end;) {
        uint32_t cp;
        if (text[i] < 0x80) {
            i = run_ascii(n, text, i, end, &o);
            continue;
        }
        size_t k = text_utf8(text + i, end - i, &cp);
        put_point(&o, cp, i);
        i += k;
    }
    return o.n;
}

/* What becomes of one character, all passes but clean_text composed. */
static bool set_point(text_normalizer *n, base_heap *heap, uint32_t cp) {
    uint8_t bytes[64];
    size_t length = 0;
    uint32_t self;
    const uint32_t *parts = &self;
    size_t count = 1;
    bool wrap = n->chinese && base_in_ranges(chinese_ranges, BASE_COUNT(chinese_ranges), cp);
    self = cp;
    if (n->strip_accents) count = text_decompose(cp, &parts, &self);
    if (wrap) bytes[length++] = ' ';
    for (size_t i = 0; i < count && length < sizeof bytes - 12; i++) {
        char *to = (char *)bytes + length;
        if (n->strip_accents && is_mark(parts[i])) continue;
        if (n->strip_accents && text_combining_class(parts[i])) return text_map_set(&n->map, cp, cp, ORDER);
        length += (size_t)base_utf8_encode(n->lowercase ? text_to_lower(parts[i]) : parts[i], to);
        if (n->lowercase && parts[i] == 0x130) length += (size_t)base_utf8_encode(0x307, (char *)bytes + length);
    }
    if (wrap) bytes[length++] = ' ';
    if (length == 0) return text_map_set(&n->map, cp, cp, DROP);
    if (n->piece_count + PIECE > UINT16_MAX) return false;
    if (!base_grow(heap, (void **)&n->pieces, &n->piece_cap, n->piece_count + 1, sizeof *n->pieces) ||
        !base_grow(heap, (void **)&n->bytes, &n->byte_cap, n->byte_count + length, 1))
        return false;
    memcpy(n->bytes + n->byte_count, bytes, length);
    n->pieces[n->piece_count] = (uint32_t)(n->byte_count << 8 | length);
    n->byte_count += length;
    return text_map_set(&n->map, cp, cp, (uint16_t)(PIECE + n->piece_count++));
}

/* Later settings win: the composition of the passes, from the last to the first. */
static bool build_map(text_normalizer *n, base_heap *heap) {
    static const base_range spaces[] = {{0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029},
                                        {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
    bool ok = true;
    for (size_t i = 0; n->clean_text && i < text_removed_count; i++)
        ok = ok && text_map_set(&n->map, text_removed[i].first, text_removed[i].last, DROP);
    for (size_t i = 0; n->chinese && i < BASE_COUNT(chinese_ranges); i++)
        ok = ok && text_map_set(&n->map, chinese_ranges[i].first, chinese_ranges[i].last, WRAP);
    if (n->strip_accents) {
        ok = ok && text_map_set(&n->map, 0xac00, 0xd7a3, HANGUL);
        for (size_t i = 0; i < text_mark_count; i++) ok = ok && text_map_set(&n->map, text_mark[i].first, text_mark[i].last, DROP_START);
        for (size_t i = 0; i < text_class_count; i++)
            for (uint32_t cp = text_class[i].first; ok && cp <= text_class[i].last; cp++)
                ok = text_map_set(&n->map, cp, cp, is_mark(cp) ? DROP : ORDER);
    }
    for (size_t i = 0; n->lowercase && i < text_lower_count; i++)
        for (uint32_t cp = text_lower[i].first; ok && cp <= text_lower[i].last; cp += text_lower[i].step) ok = set_point(n, heap, cp);
    if (n->lowercase) ok = ok && set_point(n, heap, 0x130);
    for (size_t i = 0; n->strip_accents && ok && i < text_nfd_count; i++) ok = set_point(n, heap, text_nfd_point[i]);
    for (size_t i = 0; n->clean_text && i < BASE_COUNT(spaces); i++)
        ok = ok && text_map_set(&n->map, spaces[i].first, spaces[i].last, SPACE);
    return ok;
}

static void build_ascii(text_normalizer *n) {
    for (int c = 0; c < 128; c++) {
        uint8_t to = (uint8_t)(n->lowercase ? text_to_lower((uint32_t)c) : (uint32_t)c);
        if (n->clean_text && (c == '\t' || c == '\n' || c == '\r')) to = ' ';
        else if (n->clean_text && (c < 32 || c == 127)) to = 0xff;
        n->ascii[c] = to;
    }
}

/* As a stage among others: what comes in is the buffer. */
static void bert_normalize(const text_stage *s, text_work *w) {
    const text_normalizer *n = s->data;
    size_t room;
    if (!base_mul_size(w->buf.n + 16, TEXT_GROWTH, &room) || !text_buffer_reserve(w, &w->next, room)) return;
    w->next.n = n->run(n, w->buf.bytes, 0, w->buf.n, w->next.bytes, w->next.from);
    for (size_t i = 0; i < w->next.n; i++) w->next.from[i] = w->buf.from[w->next.from[i]];
    text_work_swap(w);
}

static void bert_free(base_heap *heap, void *data) {
    text_normalizer *n = data;
    base_free(heap, n->pieces);
    base_free(heap, n->bytes);
    text_map_free(&n->map);
}

nib_status text_norm_bert_make(text_tokenizer *t, text_stage *s, bool clean_text, bool chinese, bool lowercase, bool strip_accents,
                               nib_error *err) {
    nib_status status = NIB_OK;
    text_normalizer *n;
    NIB_TRY(text_stage_data(t, s, sizeof *n, &n, err));
    s->run.normalize = bert_normalize;
    s->free = bert_free;
    n->clean_text = clean_text;
    n->chinese = chinese;
    n->lowercase = lowercase;
    n->strip_accents = strip_accents;
    n->run = clean_text || chinese || lowercase || strip_accents ? bert_run : plain_run;
    if (n->run == bert_run && (!text_map_init(&n->map, t->heap) || !build_map(n, t->heap)))
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the normalizer");
    build_ascii(n);
fail:
    return status;
}

nib_status text_norm_bert_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    bool clean_text, chinese, lowercase, strip_accents;
    NIB_TRY(text_json_bool(v, "normalizer", "clean_text", true, &clean_text, err));
    NIB_TRY(text_json_bool(v, "normalizer", "handle_chinese_chars", true, &chinese, err));
    NIB_TRY(text_json_bool(v, "normalizer", "lowercase", true, &lowercase, err));
    NIB_TRY(text_json_bool(v, "normalizer", "strip_accents", lowercase, &strip_accents, err));
    NIB_TRY(text_norm_bert_make(t, s, clean_text, chinese, lowercase, strip_accents, err));
fail:
    return status;
}
