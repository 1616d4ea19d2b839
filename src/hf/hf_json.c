/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a folder and a file's name. Out: the parsed JSON, or NULL where there is no such file.
 */
#include "hf_json.h"
#include <string.h>

nib_status hf_json_open(nib_runtime *runtime, const char *dir, const char *name, bool array, yyjson_doc **out, nib_error *err) {
    nib_status status = NIB_OK;
    base_file file = {0};
    yyjson_doc *doc = NULL;
    char *path = base_path_join(&runtime->heap, dir, name), *config = base_path_join(&runtime->heap, dir, "config.json");
    *out = NULL;
    if (!path || !config) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "no memory for a path");
    if (base_path_is_file(path)) {
        if (strchr(name, '/')) /* modules.json says so */
            NIB_TRY(base_file_open_beneath(&runtime->heap, dir, name, config, runtime->private_reads, &file, err));
        else NIB_TRY(base_file_open(&runtime->heap, path, runtime->private_reads, &file, err));
        NIB_TRY(base_json_parse_python(&runtime->heap, (const char *)file.data, file.size, name, NIB_BAD_MODEL, &doc, err));
        yyjson_val *root = yyjson_doc_get_root(doc);
        if (array ? !yyjson_is_arr(root) : !yyjson_is_obj(root))
            NIB_FAIL(err, NIB_BAD_MODEL, "%s is not a JSON %s", name, array ? "array" : "object");
    }
    *out = doc;
    doc = NULL;
fail:
    base_json_free(&runtime->heap, doc);
    base_file_close(&file);
    base_free(&runtime->heap, config);
    base_free(&runtime->heap, path);
    return status;
}

int64_t hf_json_int(yyjson_val *object, const char *key, int64_t otherwise) {
    yyjson_val *v = yyjson_obj_get(object, key);
    if (yyjson_is_uint(v)) return yyjson_get_uint(v) <= INT64_MAX ? (int64_t)yyjson_get_uint(v) : otherwise;
    return yyjson_is_sint(v) ? yyjson_get_sint(v) : otherwise;
}

double hf_json_real(yyjson_val *object, const char *key, double otherwise) {
    yyjson_val *v = yyjson_obj_get(object, key);
    return yyjson_is_num(v) ? yyjson_get_num(v) : otherwise;
}

bool hf_json_bool(yyjson_val *object, const char *key, bool otherwise) {
    yyjson_val *v = yyjson_obj_get(object, key);
    return yyjson_is_bool(v) ? yyjson_get_bool(v) : otherwise;
}

const char *hf_json_string(yyjson_val *object, const char *key, const char *otherwise) {
    yyjson_val *v = yyjson_obj_get(object, key);
    return yyjson_is_str(v) && strlen(yyjson_get_str(v)) == yyjson_get_len(v) ? yyjson_get_str(v) : otherwise;
}
