/* SPDX-License-Identifier: Apache-2.0
 *
 * What quantizing did, as lines for a person and as JSON.
 */
#include "quantize.h"

static void put_quality(nib_report *r, const char *key, const char *title, const quantize_quality *q) {
    yyjson_mut_doc *doc = r->draft.doc;
    yyjson_mut_val *o = base_json_put_object(&r->draft, r->draft.root, key);
    if (!q->known) {
        base_str_printf(&r->text, "%-24s not measured: %s\n", title, q->why);
        base_json_put_text(&r->draft, o, "not_measured", q->why);
        return;
    }
    base_str_printf(&r->text, "%-24s cosine to f32: mean %.5f, 5 %% below %.5f, worst %.5f", title, q->mean, q->fifth, q->worst);
    if (q->overlap >= 0) base_str_printf(&r->text, "; %.1f %% of the nearest %d stay", 100 * q->overlap, QUANTIZE_NEIGHBOURS);
    if (q->lost) base_str_printf(&r->text, "; %zu of %zu texts give what is no number", q->lost, q->texts);
    base_str_add(&r->text, "\n");
    yyjson_mut_obj_add_uint(doc, o, "texts", q->texts);
    yyjson_mut_obj_add_uint(doc, o, "texts_without_numbers", q->lost);
    yyjson_mut_obj_add_real(doc, o, "cosine_mean", q->mean);
    yyjson_mut_obj_add_real(doc, o, "cosine_fifth_percentile", q->fifth);
    yyjson_mut_obj_add_real(doc, o, "cosine_worst", q->worst);
    if (q->overlap >= 0) yyjson_mut_obj_add_real(doc, o, "neighbours_kept", q->overlap);
}

static const char *left_why(const quantize_layer *l, const nib_quantize_options *o) {
    const bool blocks = o->type == NIB_QUANTIZE_INT4 || o->type == NIB_QUANTIZE_MIXED;
    if (l->why) return l->why;
    if (l->kept) return "asked to stay";
    if (blocks && l->K % o->block) return "its rows are no multiple of the block";
    if (o->type == NIB_QUANTIZE_FP16) return "what reads it stays f32";
    return o->most_bytes ? "raised, for the size allows it" : "raised, to reach the cosine that was asked for";
}

static const char *raised_why(const nib_quantize_options *o) {
    if (!o->most_bytes) return "to reach the cosine that was asked for";
    return o->min_cosine > 0 ? "to reach the cosine that was asked for, within the size" : "as far as the size allows";
}

#define TYPE_TEXT(name, number, text) [number] = (text),
static const char *const types[] = {NIB_QUANTIZE_MAP(TYPE_TEXT)};

void quantize_receipt_put(nib_report *r, const quantize_receipt *t) {
    const nib_quantize_options *o = t->options;
    yyjson_mut_doc *doc = r->draft.doc;
    base_json_put_text(&r->draft, r->draft.root, "nib", NIB_VERSION);
    base_json_put_text(&r->draft, r->draft.root, "type", types[o->type]);
    base_json_put_text(&r->draft, r->draft.root, "target", nib_target_name(o->target));
    yyjson_mut_obj_add_uint(doc, r->draft.root, "calibration_texts", o->calibrate_count);
    yyjson_mut_obj_add_bool(doc, r->draft.root, "own_check_texts", !o->check_count);
    put_quality(r, "in_nib", "in nib", &t->nib);
    put_quality(r, "as_onnx", "as ONNX means the file", &t->file);
    base_str_printf(&r->text, "%-24s %zu %s; %s\n", "texts", t->nib.texts, o->check_count ? "given" : "of nib's own",
                    o->calibrate_count ? "calibrated on others" : "not calibrated");
    base_str_printf(&r->text, "%-24s %.1f MB, were %.1f: %.2f times smaller\n", "weights", (double)t->bytes[1] / 1e6,
                    (double)t->bytes[0] / 1e6, t->bytes[1] ? (double)t->bytes[0] / (double)t->bytes[1] : 0);
    yyjson_mut_obj_add_uint(doc, r->draft.root, "weight_bytes_before", t->bytes[0]);
    yyjson_mut_obj_add_uint(doc, r->draft.root, "weight_bytes_after", t->bytes[1]);
    base_str_printf(&r->text, "%-24s %s\n", "layers", "bits, share of the output's energy that is lost; what the mean cosine lost with fewer bits, if measured");
    yyjson_mut_val *list = base_json_put_array(&r->draft, r->draft.root, "layers");
    for (int i = 0; i < t->layers->count; i++) {
        const quantize_layer *l = &t->layers->items[i];
        yyjson_mut_val *one = yyjson_mut_arr_add_obj(doc, list);
        base_json_put_text(&r->draft, one, "name", quantize_name(l));
        yyjson_mut_obj_add_int(doc, one, "bits", (int)l->codes.bits);
        if (l->effect >= 0) yyjson_mut_obj_add_real(doc, one, "effect", l->effect);
        if (l->codes.q) yyjson_mut_obj_add_real(doc, one, "error", l->codes.error);
        else if (l->codes.bits == QUANTIZE_NONE) base_json_put_text(&r->draft, one, "why", left_why(l, o));
        base_str_printf(&r->text, "  %-58.58s %2d  ", quantize_name(l), (int)l->codes.bits);
        if (l->codes.q) base_str_printf(&r->text, "%.2e", l->codes.error);
        else if (l->codes.bits == QUANTIZE_NONE) base_str_add(&r->text, left_why(l, o));
        if (l->effect >= 0) base_str_printf(&r->text, "  %.1e", l->effect);
        base_str_add(&r->text, "\n");
    }
    if (t->notes) rewrite_report_notes(r, t->notes);
    if (t->rest) base_str_printf(&r->text, "%-24s %s\n", "left as they are", t->rest);
    if (t->rest) base_json_put_text(&r->draft, r->draft.root, "left_as_they_are", t->rest);
    if (t->raised) base_str_printf(&r->text, "%-24s in %d steps, %s\n", "layers were raised", t->raised, raised_why(o));
    yyjson_mut_obj_add_int(doc, r->draft.root, "raised", t->raised);
    base_str_printf(&r->text, "%-24s %.1f s\n", "quantized in", t->seconds);
}

void quantize_receipt_cost(nib_report *r, const quantize_cost cost[2], size_t texts, int threads, const char *why) {
    static const char *const keys[2] = {"before", "after"};
    yyjson_mut_val *all = base_json_put_object(&r->draft, r->draft.root, "on_this_machine");
    if (why) {
        base_str_printf(&r->text, "%-24s not measured: %s\n", "speed and memory", why);
        base_json_put_text(&r->draft, all, "not_measured", why);
        return;
    }
    const double a = (double)texts / cost[0].seconds, b = (double)texts / cost[1].seconds;
    base_str_printf(&r->text, "%-24s %.0f texts/s, were %.0f in f32: %.2f times; %d %s\n", "speed here", b, a, b / a, threads,
                    threads == 1 ? "thread" : "threads");
    base_str_printf(&r->text, "%-24s %.1f MB, were %.1f in f32\n", "resident memory", (double)cost[1].bytes / 1e6,
                    (double)cost[0].bytes / 1e6);
    yyjson_mut_obj_add_int(r->draft.doc, all, "threads", threads);
    for (int i = 0; i < 2; i++) {
        yyjson_mut_val *one = base_json_put_object(&r->draft, all, keys[i]);
        yyjson_mut_obj_add_real(r->draft.doc, one, "texts_per_second", (double)texts / cost[i].seconds);
        yyjson_mut_obj_add_uint(r->draft.doc, one, "resident_bytes", cost[i].bytes);
    }
}
