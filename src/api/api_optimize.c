/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's optimizing of files: argument checks; src/rewrite does the work.
 */
#include "api_options.h"
#include "hub/hub.h"
#include "rewrite/rewrite.h"
#include <stdlib.h>

const char *nib_report_text(const nib_report *r) { return r && r->text.data ? r->text.data : ""; }
const char *nib_report_json(const nib_report *r) { return r && r->json.data ? r->json.data : ""; }

void nib_report_free(nib_report *r) {
    rewrite_report_free(r);
}

/* Options as given, over the defaults; a runtime that the caller of this releases. */
static nib_status begin(const nib_optimize_options *given, nib_optimize_options *o, nib_runtime **runtime, nib_report **report,
                        nib_error *err) {
    *runtime = NULL;
    if (report) *report = NULL;
    nib_status status = api_options_take(API_OPTIMIZE_OPTIONS, o, given, err);
    if (status != NIB_OK) return status;
    if ((o->shape_count && !o->shapes) || (o->disabled_count && !o->disabled))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "a count without a list");
    if (o->runtime) *runtime = base_runtime_retain(o->runtime);
    else return base_runtime_create(NULL, runtime, err);
    return NIB_OK;
}

static void hand_over(nib_report *made, nib_report **report) {
    if (report) *report = made;
    else nib_report_free(made);
}

static nib_status try_optimize_file(const char *in, const char *out, const nib_optimize_options *options, nib_report **report,
                                    nib_error *err) {
    nib_optimize_options o;
    base_stop stop;
    nib_runtime *runtime;
    nib_report *made = NULL;
    char room[HUB_PATH];
    if (!in || !*in || !out || !*out) return base_error_set(err, NIB_INVALID_ARGUMENT, "a model and where to write it must be named");
    nib_status status = begin(options, &o, &runtime, report, err);
    base_stop_begin(&stop, o.stop, o.stop_user, REWRITE_STAGES);
    if (status == NIB_OK) status = base_stop_check(err);
    if (status == NIB_OK) status = hub_resolve(in, room, &in, err);
    if (status == NIB_OK) status = rewrite_optimize_file(runtime, in, out, &o, &made, err);
    base_stop_end(&stop);
    hand_over(made, report);
    base_runtime_release(runtime);
    return status;
}

static nib_status try_diff_files(const char *a, const char *b, const nib_optimize_options *options, nib_report **report, nib_error *err) {
    nib_optimize_options o;
    base_stop stop;
    nib_runtime *runtime;
    nib_report *made = NULL;
    char rooms[2][HUB_PATH];
    if (!a || !*a || !b || !*b) return base_error_set(err, NIB_INVALID_ARGUMENT, "two models must be named");
    nib_status status = begin(options, &o, &runtime, report, err);
    base_stop_begin(&stop, o.stop, o.stop_user, REWRITE_STAGES);
    if (status == NIB_OK) status = base_stop_check(err);
    if (status == NIB_OK) status = hub_resolve(a, rooms[0], &a, err);
    if (status == NIB_OK) status = hub_resolve(b, rooms[1], &b, err);
    if (status == NIB_OK) status = rewrite_diff_files(runtime, a, b, &o, &made, err);
    base_stop_end(&stop);
    hand_over(made, report);
    base_runtime_release(runtime);
    return status;
}

static nib_status try_graph_of_file(const char *path, const nib_optimize_options *options, nib_graph_format format, nib_report **report,
                                    nib_error *err) {
    nib_optimize_options o;
    base_stop stop;
    nib_runtime *runtime;
    nib_report *made = NULL;
    char room[HUB_PATH];
    if (!path || !*path) return base_error_set(err, NIB_INVALID_ARGUMENT, "no model was named");
    nib_status status = begin(options, &o, &runtime, report, err);
    base_stop_begin(&stop, o.stop, o.stop_user, REWRITE_STAGES);
    if (status == NIB_OK) status = base_stop_check(err);
    if (status == NIB_OK) status = hub_resolve(path, room, &path, err);
    if (status == NIB_OK) status = rewrite_graph_text(runtime, path, &o, format, &made, err);
    base_stop_end(&stop);
    hand_over(made, report);
    base_runtime_release(runtime);
    return status;
}

static nib_status try_export_folder(const char *in, const char *out, const nib_export_options *options, nib_error *err) {
    nib_status status = NIB_OK;
    nib_export_options o;
    base_stop stop;
    char room[HUB_PATH];
    nib_runtime *runtime = NULL;
    if (!in || !*in || !out || !*out) return base_error_set(err, NIB_INVALID_ARGUMENT, "a model and where to write it must be named");
    NIB_TRY(api_options_take(API_EXPORT_OPTIONS, &o, options, err));
    if (o.runtime) runtime = base_runtime_retain(o.runtime);
    else NIB_TRY(base_runtime_create(NULL, &runtime, err));
    base_stop_begin(&stop, o.stop, o.stop_user, REWRITE_EXPORT_STAGES);
    if (status == NIB_OK) status = base_stop_check(err);
    if (status == NIB_OK) status = hub_resolve(in, room, &in, err);
    if (status == NIB_OK) status = rewrite_export_folder(runtime, in, out, &o, err);
    base_stop_end(&stop);
fail:
    base_runtime_release(runtime);
    return status;
}

/* ---- the calls, as nib.h has them */

nib_status nib_optimize_file(const char *in, const char *out, const nib_optimize_options *options, nib_report **report, nib_error *err) {
    return API_CALL(err, try_optimize_file(in, out, options, report, err));
}
nib_status nib_diff_files(const char *a, const char *b, const nib_optimize_options *options, nib_report **report, nib_error *err) {
    return API_CALL(err, try_diff_files(a, b, options, report, err));
}
nib_status nib_graph_of_file(const char *path, const nib_optimize_options *options, nib_graph_format format, nib_report **report,
                             nib_error *err) {
    return API_CALL(err, try_graph_of_file(path, options, format, report, err));
}
nib_status nib_export_folder(const char *in, const char *out, const nib_export_options *options, nib_error *err) {
    return API_CALL(err, try_export_folder(in, out, options, err));
}
