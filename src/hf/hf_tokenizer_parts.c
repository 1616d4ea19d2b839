/* SPDX-License-Identifier: Apache-2.0
 *
 * See hf_tokenizer_parts.h. In: a class's row, the small files and a vocabulary. Out: added tokens with their ids, and
 * the sections of tokenizer.json, by the little language of hf_classes.h.
 */
#include "hf_tokenizer_parts.h"
#include "base/base_sort.h"
#include <stdio.h>
#include <string.h>

#define MOST_ADDED 65536

nib_status hf_draft_no_memory(const hf_draft *b) {
    return base_error_set(b->err, NIB_OUT_OF_MEMORY, "out of memory for the tokenizer");
}

/* ---------------------------------------------------------------- arguments */

/* What tokenizer_config.json and special_tokens_map.json say; where the former lists its added tokens, the latter is
 * not read. */
static yyjson_val *said(const hf_draft *b, const char *key) {
    yyjson_val *config = yyjson_doc_get_root(b->config), *v = NULL;
    if (!yyjson_obj_get(config, "added_tokens_decoder")) v = yyjson_obj_get(yyjson_doc_get_root(b->special), key);
    return v ? v : yyjson_obj_get(config, key);
}

/* Of a SentencePiece model: flags and texts by name. */
static yyjson_mut_val *of_file(hf_draft *b, const char *key) {
    const hf_sentencepiece *m = &b->pieces;
    const struct {
        const char *key;
        bool flag;
        const hf_bytes *text;
    } all[] = {
        {"precompiled", false, b->charsmap.length ? &(hf_bytes){b->charsmap.data, b->charsmap.length} : NULL},
        {"user_pattern", false, b->pattern.length ? &(hf_bytes){b->pattern.data, b->pattern.length} : NULL},
        {"user_defined", b->pattern.length > 0, NULL},
        {"merges", m->merges, NULL},
        {"byte_fallback", m->byte_fallback, NULL},
        {"add_dummy_prefix", m->add_dummy_prefix, NULL},
        {"remove_extra_whitespaces", m->remove_extra_whitespaces, NULL},
        {"escape_whitespaces", m->escape_whitespaces, NULL},
        {"unk_piece", false, &m->unknown_piece},
        {"unk_token", false, b->class == &hf_class_pieces && m->unknown >= 0 ? &m->unknown_piece : NULL},
        {"bos_token", false, b->class == &hf_class_pieces && m->bos >= 0 ? &m->bos_piece : NULL},
        {"eos_token", false, b->class == &hf_class_pieces && m->eos >= 0 ? &m->eos_piece : NULL},
    };
    for (size_t i = 0; m->count && i < BASE_COUNT(all); i++)
        if (strcmp(all[i].key, key) == 0)
            return all[i].text   ? base_json_text_n(&b->draft, all[i].text->data, all[i].text->length)
                   : all[i].flag ? yyjson_mut_true(b->draft.doc)
                                 : NULL;
    return NULL;
}

/* The text of a token, which is a string or an object with its "content". */
static yyjson_val *content_of(yyjson_val *v) { return yyjson_is_obj(v) ? yyjson_obj_get(v, "content") : v; }

/* An argument's value; NULL: null, or nobody says anything. A token is its text. */
yyjson_mut_val *hf_draft_argument(hf_draft *b, const char *key) {
    yyjson_val *v = said(b, key);
    yyjson_mut_val *made = v ? NULL : of_file(b, key);
    if (!v && !made) v = yyjson_obj_get(yyjson_doc_get_root(b->row), key);
    if (v) v = content_of(v);
    if (!made && v && !yyjson_is_null(v)) made = yyjson_val_mut_copy(b->draft.doc, v);
    return made;
}

static bool holds(hf_draft *b, const char *key) {
    yyjson_mut_val *v = hf_draft_argument(b, key);
    return v && !yyjson_mut_is_false(v) && !yyjson_mut_equals_str(v, "");
}

/* "a !b": a holds and b does not. */
static bool all_hold(hf_draft *b, const char *text) {
    char key[40];
    int n;
    for (; sscanf(text, " %39s%n", key, &n) == 1; text += n)
        if (holds(b, key[0] == '!' ? key + 1 : key) == (key[0] == '!')) return false;
    return true;
}

/* ---------------------------------------------------------------- added tokens */

typedef struct flags {
    bool single_word, lstrip, rstrip, normalized, special;
} flags;

/* A token's flags, of which an object has some; `wrapped`: what a class gives one that is a string. Not said, a token
 * is normalized unless it is special. */
static flags flags_of(yyjson_val *v, yyjson_val *wrapped, bool special) {
    yyjson_val *from = yyjson_is_obj(v) ? v : wrapped, *normalized = yyjson_obj_get(from, "normalized");
    return (flags){yyjson_is_true(yyjson_obj_get(from, "single_word")), yyjson_is_true(yyjson_obj_get(from, "lstrip")),
                   yyjson_is_true(yyjson_obj_get(from, "rstrip")),
                   yyjson_is_bool(normalized) ? yyjson_get_bool(normalized) : !special, special};
}

/* Adds one, as tokenizers' add_tokens gives it its id. Of one that is there the flags become these, but the small
 * files' numbered ones stay as they are. */
static nib_status add_token(hf_draft *b, yyjson_mut_val *list, hf_bytes text, flags f) {
    base_json_draft *d = &b->draft;
    if (!text.length) return NIB_OK;
    const hf_piece *there = hf_vocab_find(&b->added, text.data, text.length);
    const size_t at = there ? (size_t)(there - b->added.items) : b->added.count;
    if (at < b->numbered && there) return NIB_OK;
    if (at == MOST_ADDED) return base_error_set(b->err, NIB_LIMIT, "more than %d added tokens", MOST_ADDED);
    if (!there) {
        const hf_piece *known = hf_vocab_find(&b->vocab, text.data, text.length);
        const int64_t size = (int64_t)b->vocab.distinct, largest = b->added.count ? b->added.largest : -1;
        const int64_t id = known ? known->id : largest >= size ? largest + 1 : size;
        const nib_status status = hf_vocab_add(&b->added, (hf_piece){text, 0, (int32_t)id, HF_PIECE_CONTROL}, b->err);
        if (status != NIB_OK) return status;
    }
    yyjson_mut_val *one = yyjson_mut_obj(d->doc);
    yyjson_mut_obj_add_int(d->doc, one, "id", b->added.items[at].id);
    yyjson_mut_obj_add_val(d->doc, one, "content", base_json_text_n(d, text.data, text.length));
    yyjson_mut_obj_add_bool(d->doc, one, "single_word", f.single_word);
    yyjson_mut_obj_add_bool(d->doc, one, "lstrip", f.lstrip);
    yyjson_mut_obj_add_bool(d->doc, one, "rstrip", f.rstrip);
    yyjson_mut_obj_add_bool(d->doc, one, "normalized", f.normalized);
    yyjson_mut_obj_add_bool(d->doc, one, "special", f.special);
    if (there) yyjson_mut_arr_replace(list, at, one);
    else yyjson_mut_arr_append(list, one);
    return NIB_OK;
}

static const char *const named[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                    "pad_token", "cls_token", "mask_token"};

static bool is_named(hf_draft *b, const hf_bytes *text) {
    for (size_t i = 0; i < BASE_COUNT(named); i++) {
        yyjson_mut_val *name = hf_draft_argument(b, named[i]);
        if (name && yyjson_mut_equals_strn(name, text->data, text->length)) return true;
    }
    return false;
}

/* A value of a small file that should be a token. */
static nib_status add_value(hf_draft *b, yyjson_mut_val *list, yyjson_val *v, bool special) {
    yyjson_val *content = content_of(v);
    if (!yyjson_is_str(content))
        return base_error_set(b->err, NIB_BAD_MODEL, "tokenizer_config.json: a token is no text");
    const hf_bytes text = {yyjson_get_str(content), yyjson_get_len(content)};
    special |= is_named(b, &text);
    return add_token(b, list, text, flags_of(v, NULL, special));
}

typedef struct numbered {
    int64_t id;
    yyjson_val *token;
} numbered;

static int by_id(const void *x, const void *y) {
    const numbered *a = x, *b = y;
    return (a->id > b->id) - (a->id < b->id);
}

/* added_tokens_decoder of tokenizer_config.json {id: token}, or added_tokens.json {token: id}, by id. */
static nib_status add_numbered(hf_draft *b, yyjson_mut_val *list) {
    nib_status status = NIB_OK;
    yyjson_val *decoder = yyjson_obj_get(yyjson_doc_get_root(b->config), "added_tokens_decoder"), *key, *v;
    yyjson_val *root = yyjson_is_obj(decoder) ? decoder : yyjson_doc_get_root(b->older);
    size_t i, n, count = 0;
    if (!yyjson_is_obj(root)) return NIB_OK;
    if (yyjson_obj_size(root) > MOST_ADDED)
        return base_error_set(b->err, NIB_LIMIT, "more than %d added tokens", MOST_ADDED);
    numbered *all = base_alloc(b->heap, (yyjson_obj_size(root) + 1) * sizeof *all);
    if (!all) return hf_draft_no_memory(b);
    yyjson_obj_foreach(root, i, n, key, v) {
        long long id = -1;
        int used = 0;
        if (root != decoder) id = yyjson_is_uint(v) ? (long long)yyjson_get_uint(v) : -1;
        else if (sscanf(yyjson_get_str(key), "%lld%n", &id, &used) != 1 || yyjson_get_str(key)[used]) id = -1;
        if (id < 0) NIB_FAIL(b->err, NIB_BAD_MODEL, "an added token without an id: \"%.60s\"", yyjson_get_str(key));
        all[count++] = (numbered){id, root == decoder ? v : key};
    }
    base_sort(all, count, sizeof *all, by_id);
    for (i = 0; i < count; i++) {
        NIB_TRY(add_value(b, list, all[i].token, yyjson_is_true(yyjson_obj_get(all[i].token, "special"))));
    }
fail:
    base_free(b->heap, all);
    return status;
}

/* Those without a name: what the small files list, or else control and user-defined pieces and the row's. */
static nib_status add_extra(hf_draft *b, yyjson_mut_val *list) {
    static const char *const lists[] = {"extra_special_tokens", "additional_special_tokens"};
    nib_status status = NIB_OK;
    yyjson_val *v = NULL, *one, *key;
    size_t i, n;
    for (size_t k = 0; k < BASE_COUNT(lists) && !(v && yyjson_get_len(v)); k++) v = said(b, lists[k]);
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, n, one)
            NIB_TRY(add_value(b, list, one, !yyjson_is_obj(one) || !yyjson_is_false(yyjson_obj_get(one, "special"))));
        return NIB_OK;
    }
    if (yyjson_is_obj(v)) {
        yyjson_obj_foreach(v, i, n, key, one) NIB_TRY(add_value(b, list, one, true));
        return NIB_OK;
    }
    hf_vocab words = {.heap = b->heap};
    status = hf_draft_add_words(b, &words, b->class->extra);
    for (i = 0; i < words.count && status == NIB_OK; i++)
        status = add_token(b, list, words.items[i].text, flags_of(NULL, NULL, true));
    hf_vocab_free(&words);
    for (i = 0; i < b->pieces.count && status == NIB_OK; i++) {
        const hf_piece *p = &b->pieces.pieces[i];
        if (p->type != HF_PIECE_CONTROL && (p->type != HF_PIECE_USER || b->class == &hf_class_pieces)) continue;
        const bool special = p->type == HF_PIECE_CONTROL || is_named(b, &p->text);
        status = add_token(b, list, p->text, (flags){.special = special});
    }
fail:
    return status;
}

nib_status hf_draft_add_tokens(hf_draft *b) {
    nib_status status = NIB_OK;
    yyjson_mut_val *list = base_json_put_array(&b->draft, b->draft.root, "added_tokens");
    NIB_TRY(add_numbered(b, list));
    b->numbered = b->added.count;
    for (size_t i = 0; i < BASE_COUNT(named); i++) {
        yyjson_val *v = said(b, named[i]), *row = yyjson_obj_get(yyjson_doc_get_root(b->row), named[i]);
        yyjson_mut_val *text = hf_draft_argument(b, named[i]);
        if (!yyjson_mut_is_str(text)) continue;
        const hf_bytes t = {yyjson_mut_get_str(text), yyjson_mut_get_len(text)};
        NIB_TRY(add_token(b, list, t, flags_of(v, yyjson_is_obj(row) ? row : NULL, true)));
    }
    NIB_TRY(add_extra(b, list));
fail:
    return status;
}

/* The id of a token by its text; -1: there is none. */
int64_t hf_draft_id(const hf_draft *b, const char *text, size_t length) {
    const hf_piece *p = hf_vocab_find(&b->added, text, length);
    if (!p) p = hf_vocab_find(&b->vocab, text, length);
    return p ? p->id : -1;
}

/* ---------------------------------------------------------------- parts */

/* v with arguments in their places; NULL in a list: it is left out. */
static yyjson_mut_val *expand(hf_draft *b, yyjson_val *v) {
    yyjson_mut_doc *doc = b->draft.doc;
    const char *text = yyjson_get_str(v);
    yyjson_val *key, *one;
    size_t i, n;
    if (text && (text[0] == '$' || (text[0] == '#' && text[1] != '#'))) {
        yyjson_mut_val *said_so = hf_draft_argument(b, text + 1);
        if (text[0] == '#' && yyjson_mut_is_str(said_so))
            return yyjson_mut_sint(doc, hf_draft_id(b, yyjson_mut_get_str(said_so), yyjson_mut_get_len(said_so)));
        const bool flag = !said_so && strcmp(text, "$strip_accents") != 0 && strstr(text, "_token") == NULL;
        return said_so ? said_so : flag ? yyjson_mut_false(doc) : yyjson_mut_null(doc);
    }
    if (yyjson_is_arr(v)) {
        yyjson_mut_val *list = yyjson_mut_arr(doc);
        yyjson_arr_foreach(v, i, n, one) {
            const char *condition = yyjson_get_str(yyjson_obj_get(one, "if"));
            if (condition && !all_hold(b, condition)) continue;
            yyjson_mut_arr_append(list, expand(b, condition ? yyjson_obj_get(one, "part") : one));
        }
        return list;
    }
    if (yyjson_is_obj(v)) {
        yyjson_mut_val *object = yyjson_mut_obj(doc);
        yyjson_obj_foreach(v, i, n, key, one) yyjson_mut_obj_add(object, yyjson_val_mut_copy(doc, key), expand(b, one));
        return object;
    }
    return yyjson_val_mut_copy(doc, v);
}

/* A text of the row, read and expanded; NULL: the row has none. */
nib_status hf_draft_expand(hf_draft *b, const char *text, yyjson_mut_val **out) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    *out = NULL;
    if (!text) return NIB_OK;
    NIB_TRY(base_json_parse(b->heap, text, strlen(text), b->class->name, NIB_BAD_TOKENIZER, &doc, b->err));
    *out = expand(b, yyjson_doc_get_root(doc));
    if (!*out) status = hf_draft_no_memory(b);
fail:
    base_json_free(b->heap, doc);
    return status;
}

nib_status hf_draft_put_section(hf_draft *b, const char *name, const char *list_name, const char *text) {
    nib_status status = NIB_OK;
    yyjson_mut_doc *doc = b->draft.doc;
    yyjson_mut_val *list, *value;
    NIB_TRY(hf_draft_expand(b, text, &list));
    if (!list || yyjson_mut_arr_size(list) == 0) value = yyjson_mut_null(doc);
    else if (yyjson_mut_arr_size(list) == 1) value = yyjson_mut_arr_remove_first(list);
    else {
        value = yyjson_mut_obj(doc);
        yyjson_mut_obj_add_str(doc, value, "type", "Sequence");
        yyjson_mut_obj_add_val(doc, value, list_name, list);
    }
    yyjson_mut_obj_add_val(doc, b->draft.root, name, value);
fail:
    return status;
}

/* One word of a template: "A", "B:1", "sep", "eos?". */
static nib_status put_word(hf_draft *b, char *word, yyjson_mut_val *list, yyjson_mut_val *specials) {
    yyjson_mut_doc *doc = b->draft.doc;
    char key[64], *colon = strchr(word, ':');
    const int type = colon ? colon[1] - '0' : 0;
    if (colon) *colon = 0;
    const size_t n = strlen(word);
    yyjson_mut_val *item = yyjson_mut_obj(doc), *inner = yyjson_mut_obj(doc), *text = NULL;
    const bool sequence = strcmp(word, "A") == 0 || strcmp(word, "B") == 0;
    if (sequence) text = yyjson_mut_strcpy(doc, word);
    if (n && word[n - 1] == '?') {
        word[n - 1] = 0;
        snprintf(key, sizeof key, "add_%s_token", word);
        if (!holds(b, key)) return NIB_OK;
        snprintf(key, sizeof key, "%s_token", word);
        if (!holds(b, key)) return NIB_OK;
    }
    if (!sequence) {
        snprintf(key, sizeof key, "%s_token", word);
        text = hf_draft_argument(b, key);
        if (!text) text = hf_draft_argument(b, word);
        if (!yyjson_mut_is_str(text))
            return base_error_set(b->err, NIB_BAD_TOKENIZER, "%sTokenizer: its template needs a %s", b->class->name,
                                  key);
        const char *token = yyjson_mut_get_str(text);
        const int64_t id = hf_draft_id(b, token, yyjson_mut_get_len(text));
        if (id < 0)
            return base_error_set(b->err, NIB_BAD_TOKENIZER, "%sTokenizer: \"%.60s\" is not in the vocabulary",
                                  b->class->name, token);
        if (!yyjson_mut_obj_getn(specials, token, yyjson_mut_get_len(text))) {
            yyjson_mut_val *one = yyjson_mut_obj(doc), *ids = yyjson_mut_arr(doc), *tokens = yyjson_mut_arr(doc);
            yyjson_mut_arr_add_sint(doc, ids, id);
            yyjson_mut_arr_append(tokens, yyjson_mut_strncpy(doc, token, yyjson_mut_get_len(text)));
            yyjson_mut_obj_add_val(doc, one, "id", yyjson_mut_strncpy(doc, token, yyjson_mut_get_len(text)));
            yyjson_mut_obj_add_val(doc, one, "ids", ids);
            yyjson_mut_obj_add_val(doc, one, "tokens", tokens);
            yyjson_mut_obj_add(specials, yyjson_mut_strncpy(doc, token, yyjson_mut_get_len(text)), one);
        }
    }
    yyjson_mut_obj_add_val(doc, inner, "id", text);
    yyjson_mut_obj_add_int(doc, inner, "type_id", type);
    yyjson_mut_obj_add_val(doc, item, sequence ? "Sequence" : "SpecialToken", inner);
    yyjson_mut_arr_append(list, item);
    return NIB_OK;
}

nib_status hf_draft_put_template(hf_draft *b) {
    nib_status status = NIB_OK;
    yyjson_mut_doc *doc = b->draft.doc;
    const hf_class *c = b->class;
    const char *const words[2] = {c->single ? c->single : "bos? A eos?",
                                  c->single ? c->pair : "bos? A eos? bos?:1 B:1 eos?:1"};
    yyjson_mut_val *post;
    if (c->post) {
        NIB_TRY(hf_draft_expand(b, c->post, &post));
        yyjson_mut_obj_add_val(doc, b->draft.root, "post_processor", post);
        return NIB_OK;
    }
    post = base_json_put_object(&b->draft, b->draft.root, "post_processor");
    yyjson_mut_obj_add_str(doc, post, "type", "TemplateProcessing");
    yyjson_mut_val *specials = yyjson_mut_obj(doc);
    for (int k = 0; k < 2; k++) {
        yyjson_mut_val *list = base_json_put_array(&b->draft, post, k ? "pair" : "single");
        char word[40];
        int n;
        for (const char *at = words[k]; sscanf(at, " %39s%n", word, &n) == 1; at += n)
            NIB_TRY(put_word(b, word, list, specials));
    }
    yyjson_mut_obj_add_val(doc, post, "special_tokens", specials);
fail:
    return status;
}
