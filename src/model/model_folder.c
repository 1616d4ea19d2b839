/* SPDX-License-Identifier: Apache-2.0
 *
 * The small files of a model's folder: what a tokenizer, pooling and other settings need, and nothing that holds the model
 * itself. In: two folders. Out: those files in the second, too.
 */
#include "model_optimize.h"
#include <string.h>

#define SMALL_FILE (256u << 20) /* bytes; a tokenizer.json has up to 30 MB */

static const char *const small_files[] = {
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "modules.json",
    "generation_config.json",
    "chat_template.jinja",
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
    "config_sentence_transformers.json",
};
static const char *const module_files[] = {"config.json", "model.safetensors", "pytorch_model.bin", "sentence_bert_config.json"};

static nib_status copy_file(nib_runtime *runtime, const char *from, const char *to, const char *name, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    base_file file = {0};
    base_writer *w = NULL;
    char *source = base_path_join(heap, from, name), *target = base_path_join(heap, to, name);
    if (!source || !target) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a path");
    if (!base_path_is_file(source)) goto fail; /* there is none: fine */
    NIB_TRY(base_file_open(heap, source, runtime->private_reads, &file, err));
    if (file.size > SMALL_FILE) NIB_FAIL(err, NIB_LIMIT, "%s has %zu bytes: no settings' file is as large", source, file.size);
    NIB_TRY(base_writer_open(heap, target, &w, err));
    NIB_TRY(base_writer_write(w, file.data, file.size, err));
    status = base_writer_commit(w, err);
    w = NULL;
fail:
    base_writer_abort(w);
    base_file_close(&file);
    base_free(heap, source);
    base_free(heap, target);
    return status;
}

/* One folder of modules.json, such as 1_Pooling. */
static nib_status copy_module(nib_runtime *runtime, const char *from, const char *to, const char *name, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    char *source = base_path_join(heap, from, name), *target = base_path_join(heap, to, name);
    if (!source || !target) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a path");
    if (!base_path_is_dir(source)) goto fail;
    NIB_TRY(base_dir_create(target, err));
    for (size_t i = 0; i < BASE_COUNT(module_files); i++) NIB_TRY(copy_file(runtime, source, target, module_files[i], err));
fail:
    base_free(heap, source);
    base_free(heap, target);
    return status;
}

static nib_status copy_modules(nib_runtime *runtime, const char *from, const char *to, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    base_file file = {0};
    yyjson_doc *doc = NULL;
    size_t i, n;
    yyjson_val *item;
    char *path = base_path_join(heap, from, "modules.json");
    if (!path) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a path");
    if (!base_path_is_file(path)) goto fail;
    NIB_TRY(base_file_open(heap, path, runtime->private_reads, &file, err));
    NIB_TRY(base_json_parse(heap, (const char *)file.data, file.size, path, NIB_BAD_MODEL, &doc, err));
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, item) {
        const char *name = yyjson_get_str(yyjson_obj_get(item, "path"));
        if (!name || !*name) continue;
        if (strchr(name, '/') || strcmp(name, "..") == 0 || strcmp(name, ".") == 0)
            NIB_FAIL(err, NIB_BAD_MODEL, "%s: the path \"%s\" is not a folder of this one", path, name);
        NIB_TRY(copy_module(runtime, from, to, name, err));
    }
fail:
    base_json_free(heap, doc);
    base_file_close(&file);
    base_free(heap, path);
    return status;
}

nib_status model_copy_small_files(nib_runtime *runtime, const char *from, const char *to, nib_error *err) {
    nib_status status = NIB_OK;
    for (size_t i = 0; i < BASE_COUNT(small_files); i++) NIB_TRY(copy_file(runtime, from, to, small_files[i], err));
    NIB_TRY(copy_modules(runtime, from, to, err));
fail:
    return status;
}
