/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's compiling of models: argument checks; src/compiled does the work.
 */
#include "api_options.h"
#include "compiled/compiled.h"
#include "hub/hub.h"
#include "quantize/quantize.h"

static nib_status try_compile_file(const char *in, const char *out, const nib_compile_options *options, nib_error *err) {
    nib_status status = NIB_OK;
    nib_compile_options o;
    nib_model_options model;
    nib_runtime *runtime = NULL;
    nib_model *m = NULL;
    base_stop stop;
    char room[HUB_PATH];
    if (!in || !*in || !out || !*out) return base_error_set(err, NIB_INVALID_ARGUMENT, "a model and where to write it must be named");
    NIB_TRY(api_options_take(API_COMPILE_OPTIONS, &o, options, err));
    NIB_TRY(api_model_options_take(&model, o.model, err));
    o.model = &model;
    if (model.runtime) runtime = base_runtime_retain(model.runtime);
    else NIB_TRY(base_runtime_create(NULL, &runtime, err));
    base_stop_begin(&stop, o.stop, o.stop_user, COMPILED_STAGES);
    if (status == NIB_OK) status = base_stop_check(err);
    if (status == NIB_OK) status = hub_resolve(in, room, &in, err);
    model.runtime = runtime;
    if (status == NIB_OK && base_path_same(in, out))
        status = base_error_set(err, NIB_INVALID_ARGUMENT, "%s is the model itself: the compiled one needs a name of its own", out);
    if (status == NIB_OK) status = api_open_held(&(model_source){.path = in}, &model, &m, err);
    if (status == NIB_OK) status = compiled_write(m, in, out, &o, err);
    base_stop_end(&stop);
fail:
    model_release(m);
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
