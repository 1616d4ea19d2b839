/* SPDX-License-Identifier: Apache-2.0
 *
 * See hf_sentencepiece.h. In: bytes of a ModelProto. Out: the fields that matter to encoding and decoding, by the table
 * below; the others are how the model was trained.
 */
#include "hf_sentencepiece.h"
#include "base/base_str.h"
#include "base/base_wire.h"
#include <string.h>

#define MOST_PIECES ((size_t)1 << 21)
#define MOST_PIECE_BYTES 4096

typedef enum kind { FLAG, NUMBER, TEXT } kind;
typedef enum message { TRAINER = 2, NORMALIZER = 3 } message;

/* Of trainer_spec and normalizer_spec, by the numbers that sentencepiece_model.proto gives them. */
static const struct field {
    message in;
    uint32_t number;
    kind kind;
    size_t at;
} fields[] = {
#define AT(member) offsetof(hf_sentencepiece, member)
    {TRAINER, 35, FLAG, AT(byte_fallback)},
    {TRAINER, 40, NUMBER, AT(unknown)},
    {TRAINER, 41, NUMBER, AT(bos)},
    {TRAINER, 42, NUMBER, AT(eos)},
    {TRAINER, 45, TEXT, AT(unknown_piece)},
    {TRAINER, 46, TEXT, AT(bos_piece)},
    {TRAINER, 47, TEXT, AT(eos_piece)},
    {NORMALIZER, 2, TEXT, AT(charsmap)},
    {NORMALIZER, 3, FLAG, AT(add_dummy_prefix)},
    {NORMALIZER, 4, FLAG, AT(remove_extra_whitespaces)},
    {NORMALIZER, 5, FLAG, AT(escape_whitespaces)},
};
enum { MODEL_TYPE = 3, UNIGRAM = 1, MERGES = 2 };

typedef struct reader {
    const uint8_t *begin;
    nib_error *err;
} reader;

static nib_status bad(const reader *r, nib_status status, const uint8_t *at, const char *what) {
    return base_error_set(r->err, status, "SentencePiece model, byte %zu: %s", (size_t)(at - r->begin), what);
}

bool hf_is_utf8(const char *s, size_t n) {
    uint32_t cp;
    for (int k; n; s += k, n -= (size_t)k)
        if ((k = base_utf8_decode(s, n, &cp)) <= 0) return false;
    return true;
}

static nib_status read_piece(const reader *r, const base_wire_field *field, hf_piece *out) {
    base_wire w = {field->data, field->data + field->size, NULL};
    base_wire_field t;
    int more;
    *out = (hf_piece){.type = HF_PIECE_NORMAL, .text = {"", 0}};
    while ((more = base_wire_next(&w, &t)) > 0) {
        if (t.number == 1 && t.type == BASE_WIRE_BYTES) {
            out->text = (hf_bytes){(const char *)t.data, t.size};
        } else if (t.number == 2 && t.type == BASE_WIRE_32) {
            const uint32_t bits = (uint32_t)t.value;
            memcpy(&out->score, &bits, sizeof bits);
        } else if (t.number == 3 && t.type == BASE_WIRE_VARINT) {
            if (t.value < HF_PIECE_NORMAL || t.value > HF_PIECE_BYTE) return bad(r, NIB_BAD_TOKENIZER, t.at, "a piece of no known type");
            out->type = (hf_piece_type)t.value;
        } else if (t.number <= 3) {
            return bad(r, NIB_BAD_TOKENIZER, t.at, "a piece's field of another type");
        }
    }
    if (more < 0) return bad(r, NIB_BAD_TOKENIZER, w.p, w.problem);
    if (!(out->score - out->score == 0)) return bad(r, NIB_BAD_TOKENIZER, field->at, "a score that is no number");
    if (out->text.length > MOST_PIECE_BYTES) return bad(r, NIB_LIMIT, field->at, "a piece of more than 4096 bytes");
    if (!hf_is_utf8(out->text.data, out->text.length)) return bad(r, NIB_BAD_TOKENIZER, field->at, "a piece that is not UTF-8");
    if (!out->text.length) return bad(r, NIB_BAD_TOKENIZER, field->at, "a piece without text");
    return NIB_OK;
}

static nib_status read_spec(const reader *r, const base_wire_field *field, hf_sentencepiece *out) {
    base_wire w = {field->data, field->data + field->size, NULL};
    base_wire_field t;
    int more;
    while ((more = base_wire_next(&w, &t)) > 0) {
        if (field->number == TRAINER && t.number == MODEL_TYPE && t.type == BASE_WIRE_VARINT) {
            if (t.value != UNIGRAM && t.value != MERGES) return bad(r, NIB_UNSUPPORTED, t.at, "it is neither Unigram nor BPE");
            out->merges = t.value == MERGES;
        }
        for (size_t i = 0; i < BASE_COUNT(fields); i++) {
            char *at = (char *)out + fields[i].at;
            if (fields[i].in != field->number || fields[i].number != t.number) continue;
            if ((fields[i].kind == TEXT) != (t.type == BASE_WIRE_BYTES) || (fields[i].kind != TEXT && t.type != BASE_WIRE_VARINT))
                return bad(r, NIB_BAD_TOKENIZER, t.at, "a setting of another type");
            if (fields[i].kind == TEXT) *(hf_bytes *)(void *)at = (hf_bytes){(const char *)t.data, t.size};
            else if (fields[i].kind == FLAG) *(bool *)at = t.value != 0;
            else *(int64_t *)(void *)at = (int32_t)(uint32_t)t.value;
        }
    }
    return more < 0 ? bad(r, NIB_BAD_TOKENIZER, w.p, w.problem) : NIB_OK;
}

nib_status hf_sentencepiece_read(base_heap *heap, const uint8_t *bytes, size_t size, hf_sentencepiece *out, nib_error *err) {
    nib_status status = NIB_OK;
    const reader r = {bytes, err};
    base_wire w = {bytes, size ? bytes + size : bytes, NULL};
    base_wire_field t;
    int more;
    *out = (hf_sentencepiece){.add_dummy_prefix = true,
                              .remove_extra_whitespaces = true,
                              .escape_whitespaces = true,
                              .bos = 1,
                              .eos = 2,
                              .unknown_piece = {"<unk>", 5},
                              .bos_piece = {"<s>", 3},
                              .eos_piece = {"</s>", 4}};
    if (!size) NIB_FAIL(err, NIB_BAD_TOKENIZER, "SentencePiece model: the file is empty");
    while ((more = base_wire_next(&w, &t)) > 0) {
        if (t.number >= 1 && t.number <= 3 && t.type != BASE_WIRE_BYTES)
            return bad(&r, NIB_BAD_TOKENIZER, t.at, "no message where one belongs");
        if (t.number == TRAINER || t.number == NORMALIZER) NIB_TRY(read_spec(&r, &t, out));
        if (t.number != 1) continue;
        if (out->count == MOST_PIECES) return bad(&r, NIB_LIMIT, t.at, "more than 2^21 pieces");
        if (!base_grow(heap, (void **)&out->pieces, &out->cap, out->count + 1, sizeof *out->pieces))
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the tokenizer");
        NIB_TRY(read_piece(&r, &t, &out->pieces[out->count]));
        out->pieces[out->count].id = (int32_t)out->count;
        out->count++;
    }
    if (more < 0) return bad(&r, NIB_BAD_TOKENIZER, w.p, w.problem);
    if (!out->count) NIB_FAIL(err, NIB_BAD_TOKENIZER, "SentencePiece model: there are no pieces in it");
fail:
    return status;
}

void hf_sentencepiece_free(base_heap *heap, hf_sentencepiece *m) {
    base_free(heap, m->pieces);
    m->pieces = NULL;
    m->count = m->cap = 0;
}
