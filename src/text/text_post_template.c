/* SPDX-License-Identifier: Apache-2.0
 *
 * In: post_processor and truncation. Out: templates, as lists of tokens and texts, and how long an encoding may be.
 */
#include "text_internal.h"
#include <string.h>

#define MOST_PIECES 1024

/* The ids of a special token of the template: ids[0..*count). */
static nib_status special_ids(yyjson_val *specials, const char *name, yyjson_val **ids, nib_error *err) {
    yyjson_val *s = yyjson_obj_get(specials, name);
    if (!s) return base_error_set(err, NIB_BAD_TOKENIZER, "post_processor: the template names \"%s\", which special_tokens lacks", name);
    *ids = yyjson_obj_get(s, "ids");
    if (!yyjson_is_arr(*ids)) return base_error_set(err, NIB_BAD_TOKENIZER, "post_processor.special_tokens: \"%s\" without \"ids\"", name);
    return NIB_OK;
}

static nib_status add_piece(text_template *out, int32_t id, int32_t type_id, nib_error *err) {
    if (out->count == MOST_PIECES) return base_error_set(err, NIB_LIMIT, "post_processor: a template of more than %d tokens", MOST_PIECES);
    out->pieces[out->count++] = (text_piece){id, type_id};
    out->specials += id >= 0;
    return NIB_OK;
}

static nib_status add_item(text_tokenizer *t, text_template *out, yyjson_val *item, yyjson_val *specials, const char *where,
                           nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_val *special = yyjson_obj_get(item, "SpecialToken"), *sequence = yyjson_obj_get(item, "Sequence"), *ids = NULL, *one;
    yyjson_val *v = special ? special : sequence, *name = yyjson_obj_get(v, "id");
    size_t type_id, i, count;
    if (!yyjson_is_str(name)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: neither SpecialToken nor Sequence with an \"id\"", where);
    NIB_TRY(text_json_size(v, where, "type_id", 0, INT32_MAX, &type_id, err));
    if (sequence) {
        bool second = text_json_is(name, "B");
        if (!second && !text_json_is(name, "A")) NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: Sequence \"%s\"", where, yyjson_get_str(name));
        NIB_TRY(add_piece(out, second ? -2 : -1, (int32_t)type_id, err));
    } else {
        NIB_TRY(special_ids(specials, yyjson_get_str(name), &ids, err));
        yyjson_arr_foreach(ids, i, count, one) {
            int32_t id;
            NIB_TRY(text_json_id(one, "post_processor.special_tokens", t->ids, &id, err));
            NIB_TRY(add_piece(out, id, (int32_t)type_id, err));
        }
    }
fail:
    return status;
}

static nib_status read_template(text_tokenizer *t, yyjson_val *list, yyjson_val *specials, bool pair, text_template *out, nib_error *err) {
    nib_status status = NIB_OK;
    const char *where = pair ? "post_processor.pair" : "post_processor.single";
    text_piece pieces[MOST_PIECES];
    text_template read = {.pieces = pieces};
    size_t i, count, seen[2] = {0, 0};
    yyjson_val *item;
    if (!yyjson_is_arr(list)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: not an array", where);
    if (yyjson_arr_size(list) > MOST_PIECES) NIB_FAIL(err, NIB_LIMIT, "%s: a template of more than %d items", where, MOST_PIECES);
    yyjson_arr_foreach(list, i, count, item) NIB_TRY(add_item(t, &read, item, specials, where, err));
    for (i = 0; i < read.count; i++)
        if (pieces[i].id < 0) seen[-1 - pieces[i].id]++;
    if (seen[0] != 1 || seen[1] != (pair ? 1 : 0)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: each text must stand there once", where);
    *out = (text_template){base_arena_alloc(&t->arena, read.count * sizeof *pieces), read.count, read.specials, false};
    if (!out->pieces) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for templates");
    memcpy(out->pieces, pieces, read.count * sizeof *pieces);
fail:
    return status;
}

/* Two templates of one list: all of it for pairs, its first `single` pieces for one text. */
static nib_status set_templates(text_tokenizer *t, const text_piece *pieces, size_t pair, size_t single, nib_error *err) {
    text_piece *copy = base_arena_alloc(&t->arena, pair * sizeof *pieces);
    if (t->single.pieces) return base_error_set(err, NIB_UNSUPPORTED, "post_processor: two templates");
    if (!copy) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for templates");
    memcpy(copy, pieces, pair * sizeof *pieces);
    t->single = (text_template){copy, single, single - 1, false};
    t->pair = (text_template){copy, pair, pair - 2, false};
    return NIB_OK;
}

nib_status text_template_bert(text_tokenizer *t, int32_t cls, int32_t sep, nib_error *err) {
    const text_piece pieces[] = {{cls, 0}, {-1, 0}, {sep, 0}, {-2, 1}, {sep, 1}};
    return set_templates(t, pieces, 5, 3, err);
}

/* "cls" and "sep": [token, id]. */
static nib_status read_ends(text_tokenizer *t, yyjson_val *v, int32_t *cls, int32_t *sep, nib_error *err) {
    nib_status status = NIB_OK;
    static const char *const names[2] = {"cls", "sep"};
    for (int k = 0; k < 2; k++) {
        yyjson_val *pair = yyjson_obj_get(v, names[k]);
        if (!yyjson_is_arr(pair) || yyjson_arr_size(pair) != 2)
            NIB_FAIL(err, NIB_BAD_TOKENIZER, "post_processor: \"%s\" is not [token, id]", names[k]);
        NIB_TRY(text_json_id(yyjson_arr_get(pair, 1), "post_processor", t->ids, k ? sep : cls, err));
    }
fail:
    return status;
}

nib_status text_post_bert_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    int32_t cls, sep;
    NIB_TRY(read_ends(t, v, &cls, &sep, err));
    NIB_TRY(text_template_bert(t, cls, sep, err));
fail:
    return status;
}

/* [CLS] A [SEP], and [SEP] B [SEP], all of type 0; and ByteLevel's work on spans. */
nib_status text_post_roberta_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    int32_t cls, sep;
    NIB_TRY(read_ends(t, v, &cls, &sep, err));
    const text_piece pieces[] = {{cls, 0}, {-1, 0}, {sep, 0}, {sep, 0}, {-2, 0}, {sep, 0}};
    NIB_TRY(set_templates(t, pieces, 6, 3, err));
    NIB_TRY(text_post_bytes_load(t, v, s, err));
fail:
    return status;
}

nib_status text_post_template_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_val *specials = yyjson_obj_get(v, "special_tokens");
    if (t->single.pieces) NIB_FAIL(err, NIB_UNSUPPORTED, "post_processor: two templates");
    if (!yyjson_is_obj(specials)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "post_processor: \"special_tokens\" is not an object");
    if (yyjson_obj_size(specials) > MOST_PIECES) /* each item of a template is looked up among them */
        NIB_FAIL(err, NIB_LIMIT, "post_processor: more than %d special tokens", MOST_PIECES);
    NIB_TRY(read_template(t, yyjson_obj_get(v, "single"), specials, false, &t->single, err));
    NIB_TRY(read_template(t, yyjson_obj_get(v, "pair"), specials, true, &t->pair, err));
    t->single.first_alone = t->pair.first_alone = true;
fail:
    return status;
}

nib_status text_truncation_load(text_tokenizer *t, yyjson_val *v, nib_error *err) {
    nib_status status = NIB_OK;
    text_truncation *u = &t->truncation;
    size_t most, stride;
    if (!v || yyjson_is_null(v)) return NIB_OK;
    if (!yyjson_is_obj(v)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "truncation: not an object");
    NIB_TRY(text_json_size(v, "truncation", "max_length", 0, INT64_MAX, &most, err));
    NIB_TRY(text_json_size(v, "truncation", "stride", 0, INT64_MAX, &stride, err));
    yyjson_val *strategy = yyjson_obj_get(v, "strategy"), *direction = yyjson_obj_get(v, "direction");
    if (text_json_is(strategy, "LongestFirst")) u->strategy = TEXT_LONGEST_FIRST;
    else if (text_json_is(strategy, "OnlyFirst")) u->strategy = TEXT_ONLY_FIRST;
    else if (text_json_is(strategy, "OnlySecond")) u->strategy = TEXT_ONLY_SECOND;
    else NIB_FAIL(err, NIB_BAD_TOKENIZER, "truncation: \"strategy\" is none of LongestFirst, OnlyFirst, OnlySecond");
    u->left = text_json_is(direction, "Left");
    if (direction && !u->left && !text_json_is(direction, "Right"))
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "truncation: \"direction\" is neither Left nor Right");
    if (most == 0 || most < t->single.specials)
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "truncation: max_length %zu leaves nothing beside %zu special tokens", most, t->single.specials);
    u->stride = (int64_t)stride; /* it only shapes windows, for who asks for them */
    if (stride && stride >= most - t->single.specials)
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "truncation: stride %zu with max_length %zu", stride, most);
    u->max_tokens = (int64_t)most;
fail:
    return status;
}
