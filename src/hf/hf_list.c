/* SPDX-License-Identifier: Apache-2.0
 *
 * In: modules.json, and what stands in a Router's folder. Out: the modules that texts go through, in order, as one
 * list.
 *
 * sentence-transformers lists modules in modules.json, in the order in which they run. Older versions name their
 * classes "sentence_transformers.models.Pooling", newer ones
 * "sentence_transformers.sentence_transformer.modules.pooling.Pooling": the last word decides. A Router (of older
 * versions: Asym) holds a list for each of its routes; the modules of the route that was chosen stand in its place
 * here. Its folder has router_config.json, or config.json as older versions wrote it:
 *
 *     {"types": {ID: class, ...}, "structure": {route: [ID, ...], ...},
 *      "parameters": {"default_route": ..., "allow_empty_key": ..., "route_mappings": {"('query', None)": route, ...}}}
 *
 * A folder of Model2Vec has no list, or one that says less than its config.json, which then counts.
 */
#include "hf_json.h"
#include "hf_keys.h"
#include "hf_modules.h"
#include <stdio.h>
#include <string.h>

#define MOST_ROUTES 64

const char *hf_last_word(const char *type) {
    const char *dot = strrchr(type, '.');
    return dot ? dot + 1 : type;
}

/* A folder beside modules.json: one plain name; "" is the model's own. */
static bool is_plain_name(const char *path) {
    return !strchr(path, '/') && !strchr(path, '\\') && strcmp(path, ".") != 0 && strcmp(path, "..") != 0;
}

static nib_status add(hf_list *list, const char *file, const char *type, const char *folder, const char *path,
                      nib_error *err) {
    hf_listed *item = &list->items[list->count];
    if (strcmp(hf_last_word(type), "StaticEmbedding") == 0 && strcmp(path, ".") == 0)
        path = ""; /* as Model2Vec writes it */
    if (!is_plain_name(path) || strlen(folder) + strlen(path) + 2 > sizeof item->path)
        return base_error_set(err, NIB_BAD_MODEL, "%s: the path '%s' is no folder's name", file, path);
    if (list->count == HF_MOST_LISTED)
        return base_error_set(err, NIB_LIMIT, "%s: more than %d modules", file, HF_MOST_LISTED);
    snprintf(item->type, sizeof item->type, "%s", hf_last_word(type));
    if (strcmp(item->type, "MLMTransformer") == 0) snprintf(item->type, sizeof item->type, "Transformer"); /* its older name */
    snprintf(item->path, sizeof item->path, "%s%s%s", folder, *folder && *path ? "/" : "", path);
    list->count++;
    return NIB_OK;
}

/* ---------------------------------------------------------------- a Router's routes */

/* What route_mappings has for a task and texts: keys are Python's tuples. NULL: nothing. */
static const char *mapped(yyjson_val *mappings, const char *task, bool any_task, bool any_modality) {
    char key[160];
    if (any_task) snprintf(key, sizeof key, "(None, %s)", any_modality ? "None" : "'text'");
    else snprintf(key, sizeof key, "('%.100s', %s)", task, any_modality ? "None" : "'text'");
    return hf_json_string(mappings, key, NULL);
}

static const char *first_key(yyjson_val *object) {
    yyjson_obj_iter keys = yyjson_obj_iter_with(object);
    return yyjson_get_str(yyjson_obj_iter_next(&keys));
}

/* The route of a task, which may be NULL, as Router._resolve_route finds it; NULL: there is none. */
static const char *resolve(yyjson_val *structure, yyjson_val *parameters, const char *task) {
    yyjson_val *mappings = yyjson_obj_get(parameters, "route_mappings");
    const char *route = NULL;
    for (int step = task ? 0 : 2; step < 4 && !route; step++) route = mapped(mappings, task, step >= 2, step % 2 == 1);
    if (!route && task && yyjson_obj_get(structure, task)) route = task;
    if (!route && yyjson_obj_get(structure, "text")) route = "text";
    if (route || task) return route;
    route = hf_json_string(parameters, "default_route", NULL);
    return !route && hf_json_bool(parameters, "allow_empty_key", true) ? first_key(structure) : route;
}

static void name_routes(yyjson_val *structure, char *out, size_t size) {
    size_t i, n, used = 0;
    yyjson_val *key, *v;
    out[0] = 0;
    yyjson_obj_foreach(structure, i, n, key, v) {
        if (used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%.60s", i ? ", " : "", yyjson_get_str(key));
    }
}

static nib_status choose_route(hf_list *list, const char *file, yyjson_val *root, const char *task,
                               yyjson_val **modules, nib_error *err) {
    yyjson_val *structure = yyjson_obj_get(root, "structure"), *parameters = yyjson_obj_get(root, "parameters");
    if (!yyjson_is_obj(structure) || yyjson_obj_size(structure) == 0 || yyjson_obj_size(structure) > MOST_ROUTES)
        return base_error_set(err, NIB_BAD_MODEL, "%s: structure names no routes, or more than %d", file, MOST_ROUTES);
    name_routes(structure, list->routes, sizeof list->routes);
    const char *route = resolve(structure, parameters, task);
    if (!route && task)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "%s: there is no route '%.60s'; there are: %s", file, task,
                              list->routes);
    if (!route)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "%s: no default route; one must be chosen of: %s", file,
                              list->routes);
    *modules = yyjson_obj_get(structure, route);
    if (!yyjson_is_arr(*modules) || strlen(route) >= sizeof list->route)
        return base_error_set(err, NIB_BAD_MODEL, "%s: the route '%.60s' is no list of modules", file, route);
    snprintf(list->route, sizeof list->route, "%s", route);
    return NIB_OK;
}

static nib_status add_route(nib_runtime *runtime, const char *dir, const char *folder, const char *task, bool say,
                            hf_list *list, nib_error *err) {
    static const char *const names[] = {"router_config.json", "config.json"};
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    yyjson_val *modules = NULL, *id;
    char file[200];
    size_t i, n;
    for (i = 0; i < BASE_COUNT(names) && !doc; i++) {
        snprintf(file, sizeof file, "%s%s%s", folder, *folder ? "/" : "", names[i]);
        NIB_TRY(hf_json_open(runtime, dir, file, false, &doc, err));
    }
    if (!doc) NIB_FAIL(err, NIB_BAD_MODEL, "modules.json: a Router without a router_config.json");
    yyjson_val *root = yyjson_doc_get_root(doc), *types = yyjson_obj_get(root, "types");
    if (list->route[0]) NIB_FAIL(err, NIB_UNSUPPORTED, "%s: a second Router", file);
    if (say) hf_keys_check(runtime, file, "Router", root);
    NIB_TRY(choose_route(list, file, root, task, &modules, err));
    yyjson_arr_foreach(modules, i, n, id) {
        const char *path = yyjson_get_str(id), *type = path ? hf_json_string(types, path, NULL) : NULL;
        if (!type) NIB_FAIL(err, NIB_BAD_MODEL, "%s: a module of the route '%s' without a type", file, list->route);
        NIB_TRY(add(list, file, type, folder, path, err));
    }
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

/* ---------------------------------------------------------------- modules.json */

static nib_status read_module(nib_runtime *runtime, const char *dir, yyjson_val *module, const char *task, bool say,
                              hf_list *list, nib_error *err) {
    nib_status status = NIB_OK;
    const char *type = hf_json_string(module, "type", NULL), *path = hf_json_string(module, "path", "");
    if (!yyjson_is_obj(module) || !type) NIB_FAIL(err, NIB_BAD_MODEL, "modules.json: a module without a type");
    if (yyjson_obj_get(module, "path") && !hf_json_string(module, "path", NULL))
        NIB_FAIL(err, NIB_BAD_MODEL, "modules.json: the path of a %s is no text", type);
    NIB_TRY(add(list, "modules.json", type, "", path, err));
    if (strcmp(list->items[list->count - 1].type, "Router") != 0 &&
        strcmp(list->items[list->count - 1].type, "Asym") != 0)
        return NIB_OK;
    char folder[sizeof list->items[0].path];
    memcpy(folder, list->items[--list->count].path, sizeof folder);
    NIB_TRY(add_route(runtime, dir, folder, task, say, list, err));
fail:
    return status;
}

/* Whether the list says no more than Model2Vec's own does. */
static bool is_plain_static(const hf_list *list) {
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->items[i].type, i ? "Normalize" : "StaticEmbedding") != 0) return false;
    return list->count <= 2;
}

/* Model2Vec reads its config.json, and neither modules.json nor what stands beside it. */
static nib_status read_model2vec(nib_runtime *runtime, const char *dir, hf_list *list, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    if (list->there && (!is_plain_static(list) || list->items[0].path[0])) return NIB_OK;
    NIB_TRY(hf_json_open(runtime, dir, "config.json", false, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    list->model2vec = strcmp(hf_json_string(root, "model_type", ""), "model2vec") == 0;
    if (list->model2vec) {
        list->count = 0;
        NIB_TRY(add(list, "config.json", "StaticEmbedding", "", "", err));
        if (hf_json_bool(root, "normalize", false)) NIB_TRY(add(list, "config.json", "Normalize", "", "", err));
    }
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

nib_status hf_list_load(nib_runtime *runtime, const char *dir, const char *route, bool say, hf_list *out,
                        nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    yyjson_val *module;
    size_t i, n;
    memset(out, 0, sizeof *out);
    if (!dir) return NIB_OK;
    NIB_TRY(hf_json_open(runtime, dir, "modules.json", true, &doc, err));
    out->there = doc != NULL;
    if (doc && say) hf_keys_check(runtime, "modules.json", "modules.json", yyjson_doc_get_root(doc));
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, module)
        NIB_TRY(read_module(runtime, dir, module, route, say, out, err));
    NIB_TRY(read_model2vec(runtime, dir, out, err));
    out->is_sparse = out->count > 0 && strcmp(out->items[0].type, "SparseStaticEmbedding") == 0;
    out->is_static = out->is_sparse || (out->count > 0 && strcmp(out->items[0].type, "StaticEmbedding") == 0);
    if (route && *route && !out->route[0])
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "the route '%.60s' was asked for, and the model has no routes", route);
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

const char *hf_list_input(const hf_list *list) {
    const bool reads = list->count > 0 && (list->is_static || strcmp(list->items[0].type, "Transformer") == 0);
    return reads ? list->items[0].path : "";
}

char *hf_folder(nib_runtime *runtime, const char *dir, const char *input) {
    return *input ? base_path_join(&runtime->heap, dir, input) : base_strndup(&runtime->heap, dir, strlen(dir));
}
