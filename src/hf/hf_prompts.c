/* SPDX-License-Identifier: Apache-2.0
 *
 * In: config_sentence_transformers.json. Out: the prompts that a text may be given, and which it is given where none is asked for.
 */
#include "hf_json.h"
#include "hf_keys.h"
#include <string.h>

#define MOST_PROMPTS 4096 /* models have a dozen; names are looked up one by one */
#define FILE_NAME "config_sentence_transformers.json"

int64_t hf_settings_find_prompt(const hf_settings *s, const char *name) {
    for (size_t i = 0; i < s->prompt_count; i++)
        if (strcmp(s->prompts[i].name, name) == 0) return (int64_t)i;
    return -1;
}

nib_status hf_settings_add_prompt(base_heap *heap, hf_settings *s, const char *name, const char *text, nib_error *err) {
    hf_prompt p = {base_strndup(heap, name, strlen(name)), base_strndup(heap, text, strlen(text))};
    if (!p.name || !p.text || !base_grow(heap, (void **)&s->prompts, &s->prompt_cap, s->prompt_count + 1, sizeof *s->prompts)) {
        base_free(heap, p.name);
        base_free(heap, p.text);
        return base_error_set(err, NIB_OUT_OF_MEMORY, "no memory for the prompts");
    }
    s->prompts[s->prompt_count++] = p;
    return NIB_OK;
}

/* sentence-transformers' SimilarityFunction. */
static nib_status read_similarity(nib_runtime *runtime, yyjson_val *root, hf_settings *s, nib_error *err) {
    static const char *const known[] = {"cosine", "dot", "euclidean", "manhattan", "MaxSim", "maxsim"};
    yyjson_val *said = yyjson_obj_get(root, "similarity_fn_name");
    const char *name = hf_json_string(root, "similarity_fn_name", "");
    if (said && !yyjson_is_null(said) && !*name) return base_error_set(err, NIB_BAD_MODEL, FILE_NAME ": similarity_fn_name is no name");
    bool is_known = !*name;
    for (size_t i = 0; i < BASE_COUNT(known); i++) is_known |= strcmp(known[i], name) == 0;
    base_clean_copy(s->similarity, sizeof s->similarity, name);
    if (!is_known)
        base_log(runtime, NIB_LOG_WARN, FILE_NAME ": similarity_fn_name '%s' is none that sentence-transformers has", s->similarity);
    return NIB_OK;
}

static nib_status read_prompt(nib_runtime *runtime, hf_settings *s, yyjson_val *key, yyjson_val *v, nib_error *err) {
    nib_status status = NIB_OK;
    const char *name = yyjson_get_str(key), *text = yyjson_is_null(v) ? "" : yyjson_get_str(v);
    if (!text) NIB_FAIL(err, NIB_BAD_MODEL, FILE_NAME ": the prompt '%s' is no text", name);
    if (strlen(name) != yyjson_get_len(key) || (!yyjson_is_null(v) && strlen(text) != yyjson_get_len(v)))
        NIB_FAIL(err, NIB_BAD_MODEL, FILE_NAME ": the prompt '%s' has a NUL inside", name);
    if (hf_settings_find_prompt(s, name) >= 0) NIB_FAIL(err, NIB_BAD_MODEL, FILE_NAME ": the prompt '%s' stands there twice", name);
    NIB_TRY(hf_settings_add_prompt(&runtime->heap, s, name, text, err));
fail:
    return status;
}

nib_status hf_prompts_load(nib_runtime *runtime, const char *dir, hf_settings *s, nib_error *err) {
    static const char *const usual[] = {"query", "document"}; /* sentence-transformers knows these, empty, where a file does not */
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    size_t i, n;
    yyjson_val *key, *v;
    NIB_TRY(hf_json_open(runtime, dir, FILE_NAME, false, &doc, err));
    if (!doc) return NIB_OK;
    yyjson_val *root = yyjson_doc_get_root(doc), *prompts = yyjson_obj_get(root, "prompts"), *chosen;
    hf_keys_check(runtime, FILE_NAME, FILE_NAME, root);
    NIB_TRY(read_similarity(runtime, root, s, err));
    if ((v = yyjson_obj_get(root, "truncate_dim")) != NULL && !yyjson_is_null(v)) {
        if (!yyjson_is_int(v) || yyjson_get_sint(v) < 1 || yyjson_get_sint(v) > INT32_MAX)
            NIB_FAIL(err, NIB_BAD_MODEL, FILE_NAME ": truncate_dim is no number of columns");
        s->truncate_dim = yyjson_get_sint(v);
    }
    if ((v = yyjson_obj_get(root, "max_active_dims")) != NULL && !yyjson_is_null(v)) {
        if (!yyjson_is_int(v) || yyjson_get_sint(v) < 1 || yyjson_get_sint(v) > INT32_MAX)
            NIB_FAIL(err, NIB_BAD_MODEL, FILE_NAME ": max_active_dims is no number of words");
        s->sparse.top = yyjson_get_sint(v);
    }
    if (prompts && !yyjson_is_obj(prompts)) NIB_FAIL(err, NIB_BAD_MODEL, FILE_NAME ": prompts is no object");
    if (yyjson_obj_size(prompts) > MOST_PROMPTS) NIB_FAIL(err, NIB_LIMIT, FILE_NAME ": more than %d prompts", MOST_PROMPTS);
    yyjson_obj_foreach(prompts, i, n, key, v) NIB_TRY(read_prompt(runtime, s, key, v, err));
    for (i = 0; i < BASE_COUNT(usual); i++)
        if (hf_settings_find_prompt(s, usual[i]) < 0) NIB_TRY(hf_settings_add_prompt(&runtime->heap, s, usual[i], "", err));
    chosen = yyjson_obj_get(root, "default_prompt_name");
    if (!chosen || yyjson_is_null(chosen)) goto fail;
    if (!yyjson_is_str(chosen)) NIB_FAIL(err, NIB_BAD_MODEL, FILE_NAME ": default_prompt_name is no name");
    s->default_prompt = hf_settings_find_prompt(s, yyjson_get_str(chosen));
    if (s->default_prompt < 0)
        NIB_FAIL(err, NIB_BAD_MODEL, FILE_NAME ": default_prompt_name '%s' is none of the prompts", yyjson_get_str(chosen));
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

void hf_settings_free(base_heap *heap, hf_settings *s) {
    for (size_t i = 0; i < s->prompt_count; i++) {
        base_free(heap, s->prompts[i].name);
        base_free(heap, s->prompts[i].text);
    }
    for (size_t i = 0; i < s->tokenizer.count; i++) base_free(heap, s->tokenizer.tokens[i].content);
    base_free(heap, s->tokenizer.tokens);
    base_free(heap, s->prompts);
    s->prompts = NULL;
    s->tokenizer.tokens = NULL;
    s->tokenizer.count = s->tokenizer.cap = 0;
    s->prompt_count = s->prompt_cap = 0;
}
