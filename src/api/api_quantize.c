/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's quantizing of files: argument checks; src/quantize does the work.
 */
#include "api_options.h"
#include "hub/hub.h"
#include "quantize/quantize.h"

static nib_status check(const nib_quantize_options *o, nib_error *err) {
    const size_t counts[] = {o->calibrate_count, o->check_count, o->keep_count};
    const char *const *const lists[] = {o->calibrate, o->check, o->keep};
#define IS_TYPE(name, number, text) || o->type == NIB_QUANTIZE_##name
    if (!(false NIB_QUANTIZE_MAP(IS_TYPE)))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "type %d: there is none of that number", (int)o->type);
    if (o->type == NIB_QUANTIZE_INT8_STATIC && !o->calibrate_count)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "type int8-static wants texts to calibrate on: its ranges come from them");
    if ((unsigned)o->ranges > NIB_RANGES_ENTROPY || (o->ranges && o->type != NIB_QUANTIZE_INT8_STATIC))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "ranges %d: there is none of that number, or the type has none", (int)o->ranges);
    const bool eight = o->type == NIB_QUANTIZE_INT8 || o->type == NIB_QUANTIZE_INT8_STATIC;
    if ((unsigned)o->preset > NIB_PRESET_ARM64)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "preset %d: there is none of that number", (int)o->preset);
    if ((o->preset || o->per_tensor || o->reduce_range) && !eight)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "preset, per_tensor and reduce_range are of types int8 and int8-static");
    if (o->most_bytes < 0 || (o->most_bytes && o->type != NIB_QUANTIZE_MIXED))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "most_bytes is of type mixed, and not below 0");
    if (o->type == NIB_QUANTIZE_MIXED && !o->most_bytes && !(o->min_cosine > 0))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "type mixed wants min_cosine or most_bytes: what to reach");
    if (o->target != NIB_TARGET_STANDARD && o->target != NIB_TARGET_ONNXRUNTIME)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "target %d: there is none of that number", (int)o->target);
    if (o->block != 32 && o->block != 64 && o->block != 128)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "block %lld: there are 32, 64 and 128", (long long)o->block);
    if (!(o->min_cosine >= 0 && o->min_cosine <= 1)) return base_error_set(err, NIB_INVALID_ARGUMENT, "min_cosine is not within 0 and 1");
    for (size_t i = 0; i < BASE_COUNT(counts); i++) {
        if (counts[i] && !lists[i]) return base_error_set(err, NIB_INVALID_ARGUMENT, "a count without a list");
        for (size_t k = 0; k < counts[i]; k++)
            if (!lists[i][k]) return base_error_set(err, NIB_INVALID_ARGUMENT, "item %zu of a list is NULL", k);
    }
    return NIB_OK;
}

static nib_status try_quantize_file(const char *in, const char *out, const nib_quantize_options *options, nib_report **report,
                                    nib_error *err) {
    nib_status status = NIB_OK;
    nib_quantize_options o;
    base_stop stop;
    nib_runtime *runtime = NULL;
    nib_report *made = NULL;
    char room[HUB_PATH];
    if (report) *report = NULL;
    if (!in || !*in || !out || !*out) return base_error_set(err, NIB_INVALID_ARGUMENT, "a model and where to write it must be named");
    NIB_TRY(api_options_take(API_QUANTIZE_OPTIONS, &o, options, err));
    NIB_TRY(check(&o, err));
    if (o.runtime) runtime = base_runtime_retain(o.runtime);
    else NIB_TRY(base_runtime_create(NULL, &runtime, err));
    base_stop_begin(&stop, o.stop, o.stop_user, QUANTIZE_STAGES);
    status = base_stop_check(err);
    if (status == NIB_OK) status = hub_resolve(in, room, &in, err);
    if (status == NIB_OK) status = quantize_file(runtime, in, out, &o, &made, err);
    base_stop_end(&stop);
    if (report) *report = made;
    else nib_report_free(made);
fail:
    base_runtime_release(runtime);
    return status;
}

nib_status nib_quantize_file(const char *in, const char *out, const nib_quantize_options *options, nib_report **report, nib_error *err) {
    return API_CALL(err, try_quantize_file(in, out, options, report, err));
}
