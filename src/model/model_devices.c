/* SPDX-License-Identifier: Apache-2.0
 *
 * The devices of a model. In: a list as nib_model_options.device has it. Out: devices in that order, opened, the cpu last; and what
 * plug-ins may call of the library.
 *
 *     list     = entry { "," entry }
 *     entry    = device { "+" device } [ "@" policy ]      several of one kind are a pool
 *     device   = "cpu" | plug-in [ ":" argument ]   a name, or a path, which has a slash in it (device_load)
 */
#include "model.h"
#include "onnx/onnx.h"
#include "pass/pass.h"
#include <string.h>

/* ---- what plug-ins may call */

static void call_log(nib_runtime *runtime, nib_log_level level, const char *message) { base_log(runtime, level, "%s", message); }
static void *call_allocate(nib_runtime *runtime, size_t bytes) { return base_alloc(&runtime->heap, bytes); }
static void call_release(nib_runtime *runtime, void *memory) { base_free(&runtime->heap, memory); }
static nib_status call_error(nib_error *err, nib_status status, const char *message) { return base_error_set(err, status, "%s", message); }

static nib_status put_bytes(void *user, const void *bytes, size_t size, nib_error *err) {
    base_str *s = user;
    base_str_add_bytes(s, bytes, size);
    return s->failed ? base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a region's ONNX bytes") : NIB_OK;
}

static nib_status call_region_as_onnx(nib_runtime *runtime, const graph *region, bool onnxruntime, void **bytes, size_t *size,
                                      nib_error *err) {
    nib_status status = NIB_OK;
    pass_notes notes;
    kernels ks;
    graph *g = NULL;
    base_str text;
    *bytes = NULL;
    *size = 0;
    base_str_init(&notes.text, &runtime->heap);
    base_str_init(&text, &runtime->heap);
    kernel_table_init(&ks, runtime->isas);
    NIB_TRY(graph_clone(region, &g, err));
    pass_context ctx = {.g = g,
                        .runtime = runtime,
                        .kernels = &ks,
                        .level = 2,
                        .mode = onnxruntime ? PASS_MODE_FILE_ONNXRUNTIME : PASS_MODE_FILE,
                        .notes = &notes,
                        .err = err};
    NIB_TRY(pass_expand(&ctx));
    NIB_TRY(graph_verify(g, err));
    NIB_TRY(onnx_write_compiled(runtime, g, NULL, 0, put_bytes, &text, err));
    *size = text.length;
    *bytes = text.data;
    text.data = NULL;
fail:
    base_str_free(&text);
    base_str_free(&notes.text);
    graph_free(g);
    return status;
}

const device_host_calls model_host_calls = {
    .size = sizeof model_host_calls,
    .log = call_log,
    .allocate = call_allocate,
    .release = call_release,
    .error = call_error,
    .region_as_onnx = call_region_as_onnx,
};

/* ---- the list */

static const char *end_of(const char *from, const char *end, char c) {
    const char *at = memchr(from, c, (size_t)(end - from));
    return at ? at : end;
}

static nib_status open_plugin(nib_runtime *rt, const char *from, const char *end, device **out, nib_error *err) {
    base_heap *heap = &rt->heap;
    const char *slash = end; /* an argument may follow behind the last part of the path */
    while (slash > from && slash[-1] != '/') slash--;
    const char *colon = end_of(slash, end, ':');
    char *name = base_strndup(heap, from, (size_t)(colon - from));
    char *argument = base_strndup(heap, colon < end ? colon + 1 : end, colon < end ? (size_t)(end - colon - 1) : 0);
    nib_status status = name && argument ? device_load(rt, &model_host_calls, name, argument, out, err)
                                         : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    base_free(heap, name);
    base_free(heap, argument);
    return status;
}

static bool is_cpu(const char *from, const char *end) { return end - from == 3 && memcmp(from, "cpu", 3) == 0; }

/* One entry of the list. */
static nib_status open_entry(nib_runtime *rt, const char *from, const char *end, device **out, nib_error *err) {
    nib_status status = NIB_OK;
    device_pool pool = {.n = 0};
    const char *at = end;
    while (at > from && at[-1] != '@' && at[-1] != '/') at--;
    const bool policy = at > from && at[-1] == '@';
    if (policy && !device_policy_from_name(at, (size_t)(end - at), &pool.policy))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "device list: %.*s is no policy; there are least-loaded, round-robin, by-speed and random", (int)(end - at), at);
    if (policy) end = at - 1;
    for (const char *one = from, *stop; one <= end; one = stop + 1) {
        stop = end_of(one, end, '+');
        if (is_cpu(one, stop)) NIB_FAIL(err, NIB_UNSUPPORTED, "device list: the cpu is in no pool, and stands last");
        if (pool.n == DEVICE_POOL_MOST) NIB_FAIL(err, NIB_LIMIT, "more than %d devices in a pool", DEVICE_POOL_MOST);
        NIB_TRY(open_plugin(rt, one, stop, &pool.devices[pool.n], err));
        pool.n++;
        if (pool.n > 1 && strcmp(pool.devices[0]->table->kind, pool.devices[pool.n - 1]->table->kind) != 0)
            NIB_FAIL(err, NIB_INVALID_ARGUMENT, "a pool is of devices of one kind, not of %s and %s", pool.devices[0]->table->kind,
                     pool.devices[pool.n - 1]->table->kind);
    }
    if (device_is_host(pool.devices[0]))
        NIB_FAIL(err, NIB_UNSUPPORTED, "%s is a plug-in for the host, whose device is the cpu", pool.devices[0]->table->kind);
    if (pool.n > 1 || policy) {
        device_pool *kept = base_alloc(&rt->heap, sizeof *kept);
        if (!kept) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
        memcpy(kept, &pool, sizeof pool);
        pool.devices[0]->pool = kept;
    }
    *out = pool.devices[0];
    return NIB_OK;
fail:
    while (pool.n-- > 0) pool.devices[pool.n]->table->close(pool.devices[pool.n]);
    return status;
}

nib_status model_open_devices(nib_runtime *rt, struct device *host, const char *list, struct device **devices, int *n, nib_error *err) {
    nib_status status = NIB_OK;
    const char *all = list ? list : "cpu", *stop = all + strlen(all);
    bool cpu = false;
    for (const char *from = all, *end; from <= stop && !cpu; from = end + 1) { /* behind the cpu nothing is left for others */
        end = end_of(from, stop, ',');
        cpu = is_cpu(from, end);
        if (cpu && end < stop)
            NIB_FAIL(err, NIB_INVALID_ARGUMENT, "device list %s: behind the cpu, which takes everything, nothing is left", all);
        if (cpu) break;
        if (*n == MODEL_DEVICES - 1) NIB_FAIL(err, NIB_LIMIT, "more than %d devices", MODEL_DEVICES - 1);
        NIB_TRY(open_entry(rt, from, end, &devices[*n], err));
        ++*n;
    }
    devices[(*n)++] = host;
fail:
    return status;
}

void model_close_devices(nib_runtime *rt, struct device *host, struct device *const *devices, int n) {
    for (int i = 0; i < n; i++) {
        struct device *d = devices[i];
        device_pool *pool = d->pool;
        if (d == host) continue;
        for (int k = pool ? pool->n - 1 : 0; k >= 0; k--) {
            struct device *one = pool ? pool->devices[k] : d;
            one->table->close(one);
        }
        base_free(&rt->heap, pool);
    }
    if (host) host->table->close(host);
}

/* ---- what weights are rounded for */

void model_product_rows(const nib_model *m, kernel_input rows[KERNEL_WEIGHTS]) {
    device_props host = {.row_bucket = 1}, first = {.row_bucket = 1};
    m->device->table->props(m->device, &host);
    m->devices[0]->table->props(m->devices[0], &first);
    for (int k = 0; k < KERNEL_WEIGHTS; k++) {
        const int said = first.rows[k] && first.rows[k] <= KERNEL_INPUTS ? first.rows[k] : host.rows[k];
        rows[k] = (kernel_input)(said - 1);
    }
}

nib_precision model_auto_precision(const nib_model *m, const char **why) {
    device_props first = {.row_bucket = 1};
    m->devices[0]->table->props(m->devices[0], &first);
    if (first.fastest == NIB_PRECISION_FILE) return quant_auto(m->runtime->isas, why);
    return *why = "the device computes fastest in it", first.fastest;
}
