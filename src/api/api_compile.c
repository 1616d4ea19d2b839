/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's compiling of models: argument checks; src/model does the work.
 */
#include "api.h"
#include "compiled/compiled.h"
#include <string.h>

void nib_compile_defaults(nib_compile_options *o) {
    if (!o) return;
    memset(o, 0, sizeof *o);
    o->size = sizeof *o;
}

static nib_status try_compile_file(const char *in, const char *out, const nib_compile_options *options, nib_error *err) {
    nib_status status = NIB_OK;
    nib_compile_options o;
    nib_model_options model;
    nib_runtime *runtime = NULL;
    if (!in || !*in || !out || !*out) return base_error_set(err, NIB_INVALID_ARGUMENT, "a model and where to write it must be named");
    nib_compile_defaults(&o);
    if (options && (options->size < sizeof(size_t) || options->size > sizeof o))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "the options were not filled by nib_compile_defaults");
    if (options) memcpy(&o, options, options->size);
    nib_model_defaults(&model);
    if (o.model && (o.model->size < sizeof(size_t) || o.model->size > sizeof model))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "the model's options were not filled by nib_model_defaults");
    if (o.model) memcpy(&model, o.model, o.model->size);
    if ((unsigned)model.pooling > NIB_POOLING_LAST || (unsigned)model.precision > NIB_PRECISION_Q4 || model.max_tokens < 0 ||
        model.batch_tokens < 0 || model.optimize > 2)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    o.model = &model;
    if (model.runtime) runtime = base_runtime_retain(model.runtime);
    else NIB_TRY(base_runtime_create(NULL, &runtime, err));
    status = compiled_write(runtime, in, out, &o, err);
fail:
    base_runtime_release(runtime);
    return status;
}

static nib_status try_compiled_verify(const char *path, nib_error *err) {
    nib_status status = NIB_OK;
    nib_runtime *runtime = NULL;
    if (!path || !*path) return base_error_set(err, NIB_INVALID_ARGUMENT, "no file was named");
    NIB_TRY(base_runtime_create(NULL, &runtime, err));
    status = compiled_verify(runtime, path, err);
fail:
    base_runtime_release(runtime);
    return status;
}

/* ---- the calls, as nib.h has them */

nib_status nib_compile_file(const char *in, const char *out, const nib_compile_options *options, nib_error *err) {
    return API_CALL(err, try_compile_file(in, out, options, err));
}
nib_status nib_compiled_verify(const char *path, nib_error *err) { return API_CALL(err, try_compiled_verify(path, err)); }
