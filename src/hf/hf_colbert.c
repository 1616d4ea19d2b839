/* SPDX-License-Identifier: Apache-2.0
 *
 * What a folder says of late interaction (ColBERT: Khattab and Zaharia, 2020), in one of four layouts:
 *
 *     sentence-transformers  a MultiVectorMask in modules.json, whose config.json has the skip list; lengths and what
 *                            queries are filled up with lie in sentence_bert_config.json, prefixes are prompts
 *     PyLate                 config_sentence_transformers.json
 *     an export of PyLate's  onnx_config.json, with the same keys (next-plaid)
 *     Stanford               artifact.metadata, and architectures HF_ColBERT in config.json; the projection lies in
 *                            model.safetensors as linear.weight
 *
 * Defaults are those of sentence-transformers' MultiVectorEncoder, which reads the first two and the last.
 */
#include "hf_json.h"
#include "hf_keys.h"
#include <string.h>

#define MOST_LENGTH 1000000
#define USUAL_QUERY 32 /* tokens of a query that is filled up, where nothing is said */

/* Python's string.punctuation. */
static const char punctuation[] = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

typedef struct reading {
    yyjson_val *root;
    const char *file;
    hf_colbert *c;
    nib_error *err;
    bool usual_words; /* punctuation is left out where nothing is said */
} reading;

static nib_status read_length(const reading *r, const char *key, int64_t *out) {
    yyjson_val *v = yyjson_obj_get(r->root, key);
    if (!v || yyjson_is_null(v)) return NIB_OK;
    if (!yyjson_is_int(v) || yyjson_get_sint(v) < 1 || yyjson_get_sint(v) > MOST_LENGTH)
        return base_error_set(r->err, NIB_BAD_MODEL, "%s: %s is no number of tokens", r->file, key);
    *out = yyjson_get_sint(v);
    return NIB_OK;
}

static nib_status read_flag(const reading *r, const char *key, bool otherwise, bool *out) {
    yyjson_val *v = yyjson_obj_get(r->root, key);
    *out = otherwise;
    if (!v || yyjson_is_null(v)) return NIB_OK;
    if (!yyjson_is_bool(v))
        return base_error_set(r->err, NIB_BAD_MODEL, "%s: %s is neither true nor false", r->file, key);
    *out = yyjson_get_bool(v);
    return NIB_OK;
}

static nib_status read_text(const reading *r, const char *key, const char *otherwise, char *out, size_t size) {
    yyjson_val *v = yyjson_obj_get(r->root, key);
    const char *text = !v || yyjson_is_null(v) ? otherwise : yyjson_get_str(v);
    if (!text || (v && yyjson_is_str(v) && strlen(text) != yyjson_get_len(v)))
        return base_error_set(r->err, NIB_BAD_MODEL, "%s: %s is no text", r->file, key);
    if (strlen(text) >= size)
        return base_error_set(r->err, NIB_UNSUPPORTED, "%s: %s has more than %zu bytes", r->file, key, size - 1);
    snprintf(out, size, "%s", text);
    return NIB_OK;
}

static nib_status add_word(const reading *r, const char *word, size_t length) {
    char *skip = r->c->skip;
    const size_t used = strlen(skip);
    if (memchr(word, '\n', length) || strlen(word) < length || used + length + 2 > sizeof r->c->skip)
        return base_error_set(r->err, NIB_UNSUPPORTED, "%s: skiplist_words has more than nib has room for", r->file);
    snprintf(skip + used, sizeof r->c->skip - used, "%.*s\n", (int)length, word);
    return NIB_OK;
}

static nib_status skip_punctuation(const reading *r) {
    nib_status status = NIB_OK;
    for (size_t i = 0; punctuation[i] && status == NIB_OK; i++) status = add_word(r, &punctuation[i], 1);
    return status;
}

/* Absent or null: punctuation, as PyLate has it, or nothing. */
static nib_status read_words(const reading *r) {
    nib_status status = NIB_OK;
    yyjson_val *list = yyjson_obj_get(r->root, "skiplist_words"), *v;
    size_t i, n;
    if (!list || yyjson_is_null(list)) return r->usual_words ? skip_punctuation(r) : NIB_OK;
    if (!yyjson_is_arr(list)) NIB_FAIL(r->err, NIB_BAD_MODEL, "%s: skiplist_words is no list", r->file);
    yyjson_arr_foreach(list, i, n, v) {
        if (!yyjson_is_str(v))
            NIB_FAIL(r->err, NIB_BAD_MODEL, "%s: skiplist_words has something that is no text", r->file);
        NIB_TRY(add_word(r, yyjson_get_str(v), yyjson_get_len(v)));
    }
fail:
    return status;
}

static nib_status read_pylate(const reading *r) {
    nib_status status = NIB_OK;
    hf_colbert *c = r->c;
    bool expands;
    NIB_TRY(read_text(r, "query_prefix", "", c->prefixes[HF_QUERY], sizeof c->prefixes[0]));
    NIB_TRY(read_text(r, "document_prefix", "", c->prefixes[HF_DOCUMENT], sizeof c->prefixes[0]));
    NIB_TRY(read_length(r, "query_length", &c->lengths[HF_QUERY]));
    NIB_TRY(read_length(r, "document_length", &c->lengths[HF_DOCUMENT]));
    NIB_TRY(read_flag(r, "do_query_expansion", true, &expands));
    NIB_TRY(read_flag(r, "attend_to_expansion_tokens", false, &c->attends));
    if (expands) c->expand = c->lengths[HF_QUERY] ? c->lengths[HF_QUERY] : USUAL_QUERY;
    NIB_TRY(read_words(r));
fail:
    return status;
}

static nib_status read_stanford(const reading *r) {
    nib_status status = NIB_OK;
    hf_colbert *c = r->c;
    bool masks;
    c->width = 128;
    c->lengths[HF_QUERY] = USUAL_QUERY;
    NIB_TRY(read_text(r, "query_token_id", "[unused0]", c->prefixes[HF_QUERY], sizeof c->prefixes[0]));
    NIB_TRY(read_text(r, "doc_token_id", "[unused1]", c->prefixes[HF_DOCUMENT], sizeof c->prefixes[0]));
    NIB_TRY(read_length(r, "query_maxlen", &c->lengths[HF_QUERY]));
    NIB_TRY(read_length(r, "doc_maxlen", &c->lengths[HF_DOCUMENT]));
    NIB_TRY(read_length(r, "dim", &c->width));
    NIB_TRY(read_flag(r, "attend_to_mask_tokens", false, &c->attends));
    NIB_TRY(read_flag(r, "mask_punctuation", true, &masks));
    c->expand = c->lengths[HF_QUERY];
    if (masks) NIB_TRY(skip_punctuation(r));
fail:
    return status;
}

/* Whether one of the keys is there that PyLate writes and nobody else. */
static bool is_pylates(yyjson_val *root) {
    static const char *const marks[] = {"query_prefix", "document_prefix", "do_query_expansion",
                                        "attend_to_expansion_tokens", "skiplist_words"};
    const char *type = hf_json_string(root, "model_type", "");
    bool is = strcmp(type, "ColBERT") == 0;
    for (size_t i = 0; i < BASE_COUNT(marks); i++) is |= yyjson_obj_get(root, marks[i]) != NULL;
    return is;
}

/* What queries are filled up with: mask_token as the tokenizer's files name it, else eos_token. */
static nib_status read_mask(nib_runtime *runtime, const char *dir, hf_colbert *c, nib_error *err) {
    static const char *const files[] = {"tokenizer_config.json", "special_tokens_map.json"};
    static const char *const keys[] = {"mask_token", "eos_token"};
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    for (size_t k = 0; k < BASE_COUNT(keys) && !c->mask[0]; k++)
        for (size_t i = 0; i < BASE_COUNT(files) && !c->mask[0]; i++) {
            NIB_TRY(hf_json_open(runtime, dir, files[i], false, &doc, err));
            yyjson_val *v = yyjson_obj_get(yyjson_doc_get_root(doc), keys[k]);
            const char *text = yyjson_get_str(yyjson_is_obj(v) ? yyjson_obj_get(v, "content") : v);
            if (text && strlen(text) < sizeof c->mask) snprintf(c->mask, sizeof c->mask, "%s", text);
            base_json_free(&runtime->heap, doc);
            doc = NULL;
        }
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

/* ---- sentence-transformers' own layout */

/* What a MultiVectorMask scores: nib has the skip list of documents. */
static nib_status read_score_mask(const reading *r) {
    nib_status status = NIB_OK;
    yyjson_val *tasks = yyjson_obj_get(r->root, "skiplist_tasks"), *only = yyjson_obj_get(r->root, "keep_only_token_ids");
    yyjson_val *task = yyjson_is_arr(tasks) && yyjson_arr_size(tasks) == 1 ? yyjson_arr_get_first(tasks) : tasks;
    NIB_TRY(read_words(r));
    if (r->c->skip[0] && tasks && !yyjson_is_null(tasks) && !yyjson_equals_str(task, "document"))
        NIB_FAIL(r->err, NIB_UNSUPPORTED, "%s: skiplist_tasks other than document, which nib does not apply", r->file);
    if (only && !yyjson_is_null(only) && !(yyjson_is_arr(only) && yyjson_arr_size(only) == 0))
        NIB_FAIL(r->err, NIB_UNSUPPORTED, "%s: keep_only_token_ids, which nib does not apply", r->file);
fail:
    return status;
}

/* What queries are filled up with and to which length, which is their longest, too. */
static nib_status read_expansion(const reading *r) {
    nib_status status = NIB_OK;
    hf_colbert *c = r->c;
    yyjson_val *said = yyjson_obj_get(r->root, "query_expansion");
    const reading of = {.root = said, .file = r->file, .c = c, .err = r->err};
    if (!said || yyjson_is_null(said)) return NIB_OK;
    if (strcmp(hf_json_string(said, "strategy", ""), "fixed") != 0)
        NIB_FAIL(r->err, NIB_UNSUPPORTED, "%s: query_expansion of another strategy than fixed, which nib does not apply",
                 r->file);
    NIB_TRY(read_length(&of, "length", &c->expand));
    if (!c->expand) NIB_FAIL(r->err, NIB_BAD_MODEL, "%s: query_expansion has no length", r->file);
    NIB_TRY(read_flag(&of, "attend", false, &c->attends));
    NIB_TRY(read_text(&of, "token", "", c->mask, sizeof c->mask));
    if (c->lengths[HF_QUERY] && c->lengths[HF_QUERY] < c->expand)
        NIB_FAIL(r->err, NIB_BAD_MODEL, "%s: query_length is less than the length of query_expansion", r->file);
    c->lengths[HF_QUERY] = c->expand;
fail:
    return status;
}

static nib_status read_native(nib_runtime *runtime, const char *dir, const char *input, const hf_list *list, hf_colbert *c,
                              nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    char file[200];
    int at = 0, unit = 0;
    while (at < list->count && strcmp(list->items[at].type, "MultiVectorMask") != 0) at++;
    while (unit < list->count && strcmp(list->items[unit].type, "Normalize") != 0) unit++;
    if (at == list->count) return NIB_OK;
    c->there = true;
    if (unit == list->count)
        NIB_FAIL(err, NIB_UNSUPPORTED, "modules.json has a MultiVectorMask and no Normalize, without which nib gives no rows of tokens");
    snprintf(file, sizeof file, "%s/config.json", list->items[at].path);
    reading r = {.file = file, .c = c, .err = err};
    NIB_TRY(hf_json_open(runtime, dir, file, false, &doc, err));
    r.root = yyjson_doc_get_root(doc);
    NIB_TRY(read_score_mask(&r));
    base_json_free(&runtime->heap, doc);
    doc = NULL;
    r.file = "sentence_bert_config.json";
    NIB_TRY(hf_json_open(runtime, input, r.file, false, &doc, err));
    r.root = yyjson_doc_get_root(doc);
    NIB_TRY(read_length(&r, "query_length", &c->lengths[HF_QUERY]));
    NIB_TRY(read_length(&r, "document_length", &c->lengths[HF_DOCUMENT]));
    NIB_TRY(read_expansion(&r));
    NIB_TRY(read_mask(runtime, input, c, err));
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

static bool has_colbert(yyjson_val *config) {
    size_t i, n;
    yyjson_val *v;
    yyjson_arr_foreach(yyjson_obj_get(config, "architectures"), i, n,
                       v) if (yyjson_equals_str(v, "HF_ColBERT")) return true;
    return false;
}

nib_status hf_colbert_load(nib_runtime *runtime, const char *folder, const char *dir, const hf_list *list, hf_colbert *out,
                           nib_error *err) {
    static const struct {
        const char *file;
        bool (*is)(yyjson_val *root);
        nib_status (*read)(const reading *r);
        const char *more; /* whose keys are read; NULL: the file's own */
    } layouts[] = {{"config_sentence_transformers.json", is_pylates, read_pylate, NULL},
                   {"onnx_config.json", is_pylates, read_pylate, NULL},
                   {"config.json", has_colbert, read_stanford, "artifact.metadata"}};
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL, *more = NULL;
    NIB_TRY(read_native(runtime, folder, dir, list, out, err));
    for (size_t i = 0; i < BASE_COUNT(layouts) && !out->there; i++) {
        reading r = {.file = layouts[i].file, .c = out, .err = err, .usual_words = true};
        NIB_TRY(hf_json_open(runtime, dir, r.file, false, &doc, err));
        r.root = yyjson_doc_get_root(doc);
        out->there = layouts[i].is(r.root);
        if (out->there && layouts[i].more) {
            r.file = layouts[i].more;
            NIB_TRY(hf_json_open(runtime, dir, r.file, false, &more, err));
            r.root = yyjson_doc_get_root(more);
        }
        if (out->there) NIB_TRY(layouts[i].read(&r));
        if (out->there) NIB_TRY(read_mask(runtime, dir, out, err));
        base_json_free(&runtime->heap, doc);
        doc = NULL;
    }
fail:
    base_json_free(&runtime->heap, doc);
    base_json_free(&runtime->heap, more);
    return status;
}
