/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a tokenizer.json's bytes and the folder's settings. Out: the model's tokenizer, and a warning where the small files name tokens
 * otherwise than tokenizer.json does.
 */
#include "model.h"
#include "hf/hf_tokenizer_build.h"
#include <string.h>

static text_settings settings_of(const nib_model *m) {
    const hf_tokenizer *t = &m->settings.tokenizer;
    return (text_settings){.runtime = m->compiled ? NULL : m->runtime, /* it was said when the file was compiled */
                           .rebuilt = t->rebuilt,
                           .lowercase = t->lowercase,
                           .chinese = t->chinese,
                           .strip_accents = t->strip_accents,
                           .cls = t->cls,
                           .sep = t->sep,
                           .unknown = t->unknown,
                           .bare = t->bare,
                           .no_unknown = t->no_unknown,
                           .lower_first = m->settings.lower_case,
                           .prefix_space = t->prefix_space,
                           .truncation_left = t->truncation_left};
}

static int flags_of(const text_added *a) {
    return (a->lstrip ? HF_LSTRIP : 0) | (a->rstrip ? HF_RSTRIP : 0) | (a->single_word ? HF_SINGLE_WORD : 0) |
           (a->normalized ? HF_NORMALIZED : 0) | (a->special ? HF_SPECIAL : 0);
}

static bool is_same(const text_added *a, const hf_token *t, bool loose) {
    return a->length == strlen(t->content) && memcmp(a->content, t->content, a->length) == 0 && (t->id < 0 || t->id == a->id) &&
           (loose || t->flags < 0 || t->flags == flags_of(a));
}

/* transformers adds a token that the small files name and tokenizer.json does not, and of a class that it builds anew drops one that
 * added_tokens_decoder does not have. */
static void check_tokens(const nib_model *m) {
    const hf_tokenizer *named = &m->settings.tokenizer;
    text_added a;
    size_t wrong = 0;
    for (size_t i = 0; i < named->count && wrong < 4; i++) {
        bool found = false;
        for (size_t k = 0; !found && text_added_at(m->tokenizer, k, &a); k++) found = is_same(&a, &named->tokens[i], false);
        if (found || ++wrong > 3) continue;
        base_log(m->runtime, NIB_LOG_WARN,
                 "tokenizer_config.json: the token \"%.60s\" is not among the added tokens of tokenizer.json as it "
                 "is named there, and is not applied",
                 named->tokens[i].content);
    }
    for (size_t k = 0; named->rebuilt && named->has_decoder && wrong < 4 && text_added_at(m->tokenizer, k, &a); k++) {
        bool found = false;
        for (size_t i = 0; !found && i < named->count; i++) found = is_same(&a, &named->tokens[i], true);
        if (found || ++wrong > 3) continue;
        base_log(m->runtime, NIB_LOG_WARN,
                 "tokenizer.json: the added token \"%.60s\" is applied, though added_tokens_decoder of "
                 "tokenizer_config.json does not have it",
                 a.content);
    }
    if (wrong > 3) base_log(m->runtime, NIB_LOG_WARN, "tokenizer_config.json: more tokens are not applied");
}

/* A class whose constructor transformers follows, and nib does not. */
static void check_class(const nib_model *m) {
    const hf_tokenizer *t = &m->settings.tokenizer;
    if (t->other_class[0] && text_is_wordpiece(m->tokenizer))
        base_log(m->runtime, NIB_LOG_WARN,
                 "%s: transformers builds another kind of tokenizer by that class; tokenizer.json is taken as it is",
                 t->other_class);
    if (t->own_class[0] &&
        !text_normalizes_as(m->tokenizer, t->lowercase || m->settings.lower_case, t->chinese, t->strip_accents))
        base_log(m->runtime, NIB_LOG_WARN,
                 "tokenizer_config.json: %s makes its normalizer of do_lower_case, tokenize_chinese_chars and "
                 "strip_accents, and "
                 "tokenizer.json has another one, which is taken",
                 t->own_class);
}

/* Says where texts were looked for in vain. */
static nib_status set_none(nib_model *m, nib_status why, const char *message, nib_error *err) {
    m->no_tokenizer_status = why;
    m->no_tokenizer = base_strndup(&m->runtime->heap, message, strlen(message));
    return m->no_tokenizer ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
}

/* A kind of tokenizer that nib lacks is no failure: the model still takes token ids. */
static nib_status take(nib_model *m, nib_status status, const char *path, nib_error *why, nib_error *err) {
    if (status == NIB_OK) return status;
    base_error_in_file(why, path);
    if (status == NIB_UNSUPPORTED) {
        base_log(m->runtime, NIB_LOG_WARN, "texts cannot be read: %s: not supported", why->message);
        return set_none(m, NIB_UNSUPPORTED, why->message, err);
    }
    if (err) *err = *why;
    return status;
}

static bool ends_in(const char *path, const char *end) {
    const size_t n = strlen(path), k = strlen(end);
    return n > k && strcmp(path + n - k, end) == 0;
}

/* tokenizer.json, or by its name a SentencePiece model or a vocab.txt. */
static nib_status load_file(nib_model *m, const char *path, nib_error *err) {
    nib_status status = NIB_OK;
    base_file file = {0};
    base_str built;
    nib_error why = {0};
    const bool lines = ends_in(path, ".txt");
    base_str_init(&built, &m->runtime->heap);
    NIB_TRY(base_file_open(&m->runtime->heap, path, m->runtime->private_reads, &file, err));
    if (lines || ends_in(path, ".model")) {
        status = hf_tokenizer_build_file(m->runtime, file.data, file.size, lines, &built, &why);
        if (status == NIB_OK) status = model_load_tokenizer(m, built.data, built.length, NULL, 0, &why);
    } else {
        status = model_load_tokenizer(m, file.data, file.size, NULL, 0, &why);
    }
    status = take(m, status, path, &why, err);
fail:
    base_str_free(&built);
    base_file_close(&file);
    return status;
}

/* Of vocabulary files, where there is no tokenizer.json. */
static nib_status load_built(nib_model *m, const char *folder, nib_error *err) {
    base_str built;
    nib_error why = {0};
    base_str_init(&built, &m->runtime->heap);
    nib_status status = hf_tokenizer_build(m->runtime, folder, &m->settings, &built, &why);
    if (status == NIB_OK) status = model_load_tokenizer(m, built.data, built.length, NULL, 0, &why);
    status = status == NIB_NOT_FOUND ? set_none(m, status, why.message, err) : take(m, status, folder, &why, err);
    base_str_free(&built);
    return status;
}

/* onnx/model.onnx of a folder whose other files lie one up: that is the model's folder then. */
static nib_status step_up(nib_model *m, nib_error *err) {
    base_heap *heap = &m->runtime->heap;
    const char *last = strrchr(m->folder, '/');
    char *here = base_path_join(heap, m->folder, "tokenizer.json"), *up = base_path_join(heap, m->folder, "..");
    char *above = up ? base_path_join(heap, up, "tokenizer.json") : NULL;
    const bool there = here && above;
    if (there && !base_path_is_file(here) && strcmp(last ? last + 1 : m->folder, "onnx") == 0 &&
        base_path_is_file(above)) {
        char *old = m->folder;
        m->folder = up;
        up = old;
    }
    base_free(heap, here);
    base_free(heap, above);
    base_free(heap, up);
    return there ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
}

nib_status model_find_tokenizer(nib_model *m, nib_error *err) {
    nib_status status = NIB_OK;
    char *path = NULL, *folder = NULL; /* of the module that reads texts */
    if (!m->folder)
        return set_none(m, NIB_NOT_FOUND, "it came from memory, without a folder that has a tokenizer.json", err);
    NIB_TRY(step_up(m, err));
    folder = hf_folder(m->runtime, m->folder, m->settings.input);
    path = folder ? base_path_join(&m->runtime->heap, folder, "tokenizer.json") : NULL;
    if (!path) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    if (base_path_is_file(path)) NIB_TRY(load_file(m, path, err));
    else NIB_TRY(load_built(m, folder, err));
fail:
    base_free(&m->runtime->heap, folder);
    base_free(&m->runtime->heap, path);
    return status;
}

nib_status model_open_tokenizer(nib_runtime *runtime, const char *path, nib_model **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_model *m = NULL;
    const nib_model_options options = {.runtime = runtime};
    *out = NULL;
    NIB_TRY(model_create(&(model_source){.path = path}, &options, &m, err));
    if (base_path_is_dir(path)) {
        m->folder = base_strndup(&m->runtime->heap, path, strlen(path));
        if (!m->folder) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
        NIB_TRY(hf_settings_load(m->runtime, m->folder, NULL, &m->settings, err));
        NIB_TRY(model_find_tokenizer(m, err));
        m->max_tokens = m->settings.max_tokens;
    } else {
        NIB_TRY(hf_settings_load(m->runtime, NULL, NULL, &m->settings, err));
        NIB_TRY(load_file(m, path, err));
    }
    if (!m->tokenizer) NIB_FAIL(err, m->no_tokenizer_status, "%s: %s", path, m->no_tokenizer);
    *out = m;
    m = NULL;
fail:
    model_release(m);
    return status;
}

nib_status model_load_tokenizer(nib_model *m, const void *json, size_t length, const void *vocab, size_t size, nib_error *err) {
    nib_status status = NIB_OK;
    const text_settings settings = settings_of(m);
    base_heap *heap = &m->runtime->heap;
    NIB_TRY(vocab ? text_tokenizer_load_packed(heap, json, length, vocab, size, &settings, &m->tokenizer, err)
                  : text_tokenizer_load_with(heap, json, length, &settings, &m->tokenizer, err));
    check_tokens(m);
    if (!m->compiled) check_class(m);
fail:
    return status;
}
