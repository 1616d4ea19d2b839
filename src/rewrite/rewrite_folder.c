/* SPDX-License-Identifier: Apache-2.0
 *
 * The small files of a model's folder: what a tokenizer, pooling and other settings need, and nothing that holds the model
 * itself. In: two folders. Out: those files in the second, too. What the first one has but as a link that leads out of it is no file
 * of the model, and is not published: it is refused.
 */
#include "rewrite.h"
#include <string.h>

#define SMALL_FILE (256u << 20) /* bytes; a tokenizer.json has up to 30 MB */
#define MOST_MODULES 64         /* each has files that are copied, maybe the same ones */

static const char *const module_files[] = {"config.json", "model.safetensors", "pytorch_model.bin", "sentence_bert_config.json"};

typedef struct copying {
    nib_runtime *runtime;
    const char *from, *to;
    char *config; /* of `from`: where it is a link, the other files may go along (base_file_open_beneath) */
    nib_error *err;
} copying;

/* `name` may lie in a folder of the folder. Where there is none, *out stays empty. */
static nib_status open_small(const copying *c, const char *name, base_file *out) {
    nib_status status = NIB_OK;
    base_heap *heap = &c->runtime->heap;
    char *path = base_path_join(heap, c->from, name);
    memset(out, 0, sizeof *out);
    if (!path) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a path");
    if (!base_path_is_file(path)) goto fail;
    NIB_TRY(base_file_open_beneath(heap, c->from, name, c->config, c->runtime->private_reads, out, c->err));
    if (out->size > SMALL_FILE) NIB_FAIL(c->err, NIB_LIMIT, "%s has %zu bytes: no settings' file is as large", path, out->size);
fail:
    base_free(heap, path);
    return status;
}

static nib_status copy_file(const copying *c, const char *name) {
    nib_status status = NIB_OK;
    base_heap *heap = &c->runtime->heap;
    base_file file = {0};
    base_writer *w = NULL;
    char *target = base_path_join(heap, c->to, name);
    if (!target) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a path");
    NIB_TRY(open_small(c, name, &file));
    if (!file.path) goto fail; /* there is none: fine */
    NIB_TRY(base_writer_open(heap, target, &w, c->err));
    NIB_TRY(base_writer_write(w, file.data, file.size, c->err));
    status = base_writer_commit(w, c->err);
    w = NULL;
fail:
    base_writer_abort(w);
    base_file_close(&file);
    base_free(heap, target);
    return status;
}

/* One folder of modules.json, such as 1_Pooling. */
static nib_status copy_module(const copying *c, const char *name) {
    nib_status status = NIB_OK;
    base_heap *heap = &c->runtime->heap;
    char *source = base_path_join(heap, c->from, name), *target = base_path_join(heap, c->to, name), *file = NULL;
    if (!source || !target) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a path");
    if (!base_path_is_dir(source)) goto fail;
    NIB_TRY(base_dir_create(target, c->err));
    for (size_t i = 0; i < BASE_COUNT(module_files); i++) {
        base_free(heap, file);
        file = base_path_join(heap, name, module_files[i]);
        if (!file) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a path");
        NIB_TRY(copy_file(c, file));
    }
fail:
    base_free(heap, file);
    base_free(heap, source);
    base_free(heap, target);
    return status;
}

static nib_status copy_modules(const copying *c) {
    nib_status status = NIB_OK;
    base_heap *heap = &c->runtime->heap;
    base_file file = {0};
    yyjson_doc *doc = NULL;
    size_t i, n;
    yyjson_val *item;
    NIB_TRY(open_small(c, "modules.json", &file));
    if (!file.path) goto fail;
    NIB_TRY(base_json_parse(heap, (const char *)file.data, file.size, file.path, NIB_BAD_MODEL, &doc, c->err));
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, item) {
        yyjson_val *path = yyjson_obj_get(item, "path");
        if (i == MOST_MODULES) NIB_FAIL(c->err, NIB_LIMIT, "%s: more than %d modules", file.path, MOST_MODULES);
        const char *name = yyjson_get_str(path);
        if (!name || yyjson_get_len(path) == 0) continue;
        if (strlen(name) != yyjson_get_len(path) || strchr(name, '/') || strcmp(name, "..") == 0 || strcmp(name, ".") == 0)
            NIB_FAIL(c->err, NIB_BAD_MODEL, "%s: the path \"%s\" is not a folder of this one", file.path, name);
        NIB_TRY(copy_module(c, name));
    }
fail:
    base_json_free(heap, doc);
    base_file_close(&file);
    return status;
}

nib_status rewrite_copy_small_files(nib_runtime *runtime, const char *from, const char *to, nib_error *err) {
    nib_status status = NIB_OK;
    copying c = {runtime, from, to, base_path_join(&runtime->heap, from, "config.json"), err};
    if (!c.config) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a path");
    for (const char *const *name = hf_small_files; *name; name++) NIB_TRY(copy_file(&c, *name));
    NIB_TRY(copy_modules(&c));
fail:
    base_free(&runtime->heap, c.config);
    return status;
}

/* ---------------------------------------------------------------- where a result goes */

static bool writes_folder(const char *folder, const char *out) { return folder && !base_ends_with(out, ".onnx"); }

static nib_status write_text(nib_runtime *runtime, const char *dir, const char *name, const base_str *text, nib_error *err) {
    nib_status status = NIB_OK;
    base_writer *w = NULL;
    char *path = base_path_join(&runtime->heap, dir, name);
    if (!path || text->failed) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a report");
    NIB_TRY(base_writer_open(&runtime->heap, path, &w, err));
    NIB_TRY(base_writer_write(w, text->data, text->length, err));
    status = base_writer_commit(w, err);
    w = NULL;
fail:
    base_writer_abort(w);
    base_free(&runtime->heap, path);
    return status;
}

nib_status rewrite_check_out(nib_runtime *runtime, const char *folder, const char *out, nib_error *err) {
    static const char *const weights[] = {"model.safetensors", "model.safetensors.index.json"};
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    char *path = NULL;
    for (size_t i = 0; i < BASE_COUNT(weights) && writes_folder(folder, out); i++) {
        base_free(heap, path);
        path = base_path_join(heap, out, weights[i]);
        if (!path) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
        if (base_path_is_file(path))
            NIB_FAIL(err, NIB_INVALID_ARGUMENT, "%s has %s, and would be opened by it, not by what is written: name another folder", out,
                     weights[i]);
    }
fail:
    base_free(heap, path);
    return status;
}

nib_status rewrite_write_out(nib_runtime *runtime, const graph *g, const rewrite_out *to, const nib_report *report, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    char *path = NULL;
    onnx_save_options save = {.external_over = to->external_over, .mapped = to->mapped};
    if (!writes_folder(to->folder, to->out)) return onnx_save(runtime, g, to->out, &save, err);
    NIB_TRY(base_dir_create(to->out, err));
    path = base_path_join(heap, to->out, "model.onnx");
    if (!path) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(rewrite_copy_small_files(runtime, to->folder, to->out, err));
    NIB_TRY(write_text(runtime, to->out, "nib.json", &report->json, err));
    NIB_TRY(onnx_save(runtime, g, path, &save, err));
fail:
    base_free(heap, path);
    return status;
}
