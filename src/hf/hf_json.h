/* SPDX-License-Identifier: Apache-2.0
 *
 * The small JSON files of a model's folder.
 */
#ifndef HF_JSON_H
#define HF_JSON_H

#include "hf.h"

/* Parses dir/name. A file that is not there is no error: *out is NULL. Its root is an object or, if `array`, an array. One in a folder of
 * the folder must lie there, or go along with where config.json leads (base_file_open_beneath). */
nib_status hf_json_open(nib_runtime *runtime, const char *dir, const char *name, bool array, yyjson_doc **out, nib_error *err);

/* A member that is a whole number: `otherwise` if it is absent, null or no integer. */
int64_t hf_json_int(yyjson_val *object, const char *key, int64_t otherwise);
double hf_json_real(yyjson_val *object, const char *key, double otherwise);
bool hf_json_bool(yyjson_val *object, const char *key, bool otherwise);
/* `otherwise` also for one with a NUL inside, of which whoever reads it would see but the beginning. */
const char *hf_json_string(yyjson_val *object, const char *key, const char *otherwise);

#endif
