/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a folder would open, from its small files alone. In: a folder, whose weights need not be there yet. Out: lines as nib inspect
 * has them, of what the small files say; an error where a file of them is malformed, or says something that nib does not do.
 */
#include "model.h"
#include <string.h>

static void say_pooling(const nib_model *m, base_str *out) {
    const hf_settings *s = &m->settings;
    if (!s->has_modules && !s->pooling_from[0]) return; /* no folder of sentence-transformers */
    base_str_printf(out, "pooling       %s (%s)%s%s\n",
                    s->pooling_said[0]                ? s->pooling_said
                    : s->pooling == NIB_POOLING_MODEL ? "mean"
                                                      : nib_pooling_name(s->pooling),
                    s->pooling_from[0] ? s->pooling_from : "nothing was said: mean", s->modules_said, s->normalize ? ", normalized" : "");
}

static void say_tokenizer(const nib_model *m, base_str *out) {
    char text[400];
    if (!m->tokenizer) {
        base_str_printf(out, "tokenizer     none: %s\n", m->no_tokenizer ? m->no_tokenizer : "");
        return;
    }
    text_describe(m->tokenizer, text, sizeof text);
    base_str_printf(out, "tokenizer     %s\n", text);
}

/* How a query and a document are judged. */
static void say_judge(const hf_judge *j, base_str *out) {
    const char *why = j->no_head[0] ? j->no_head : j->wrong;
    if (why[0]) base_str_printf(out, "ranks         no: %s\n", why);
    else
        base_str_printf(out, "ranks         by the word that would come next (%s); pairs are as %s says\n",
                        j->words_from, j->from[0] ? j->from : "the tokenizer");
}

nib_status model_check(nib_runtime *runtime, const char *path, base_str *out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_model *m = NULL;
    char *folder = NULL;
    const nib_model_options options = {.runtime = runtime};
    if (!base_path_is_dir(path))
        NIB_FAIL(err, base_path_is_file(path) ? NIB_INVALID_ARGUMENT : NIB_NOT_FOUND,
                 "%s is no folder: without weights there is only a folder's config.json to look at", path);
    NIB_TRY(model_create(&(model_source){.path = path}, &options, &m, err));
    m->folder = base_strndup(&m->runtime->heap, path, strlen(path));
    if (!m->folder) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(hf_settings_load(m->runtime, m->folder, NULL, &m->settings, err));
    const hf_settings *s = &m->settings;
    folder = hf_folder(m->runtime, m->folder, s->input);
    if (!folder) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    if (!s->tokenizer.bare) NIB_TRY(hf_check_config(m->runtime, folder, err)); /* a StaticEmbedding has no config.json */
    if (s->unsupported[0]) NIB_FAIL(err, NIB_UNSUPPORTED, "modules.json lists a module nib cannot run: %s", s->unsupported);
    NIB_TRY(model_find_tokenizer(m, err));
    if (s->tokenizer.bare) base_str_add(out, "family        static embeddings, a table of rows\n");
    else
        base_str_printf(out, "family        %s %s, %lld layers, hidden size %lld (config.json)\n", s->model_type, s->architecture,
                        (long long)s->layers, (long long)s->hidden);
    say_tokenizer(m, out);
    if (s->judge.words_from[0]) say_judge(&s->judge, out);
    else say_pooling(m, out);
    if (s->max_tokens > 0) base_str_printf(out, "longest text  %lld tokens (%s)\n", (long long)s->max_tokens, s->max_tokens_from);
    else if (s->positions > 0)
        base_str_printf(out, "longest text  %lld tokens (max_position_embeddings of config.json)\n", (long long)s->positions);
    base_str_add(out, "opens         yes, as far as these files say; weights were not looked at\n");
    if (out->failed) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
fail:
    if (m) base_free(&m->runtime->heap, folder);
    model_release(m);
    return status;
}
