/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's measuring: machines, devices and profiles.
 */
#include "api_options.h"
#include "task/task.h"
#include <stdio.h>
#include <string.h>

static nib_status try_machine_measure(nib_runtime *runtime, nib_machine *out, size_t size, nib_error *err) {
    nib_status status = NIB_OK;
    nib_runtime *rt = runtime ? base_runtime_retain(runtime) : NULL;
    nib_machine m = {0};
    kernels k;
    plan_speed sum;
    if (!out) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "nowhere to put the figures");
    api_fill(out, size, &m, sizeof m);
    if (!rt) NIB_TRY(base_runtime_create(NULL, &rt, err));
    kernel_table_init(&k, rt->isas);
    NIB_TRY(cpu_measure(rt, &k, base_pool_threads(rt->pool), &sum, err));
    m = (nib_machine){.threads = base_pool_threads(rt->pool),
                      .f32 = sum.operations[KERNEL_INPUT_F32],
                      .bf16 = sum.operations[KERNEL_INPUT_BF16],
                      .q8 = sum.operations[KERNEL_INPUT_U8],
                      .cache_bytes = sum.cache_bytes,
                      .memory_bytes = sum.memory_bytes,
                      .cache_size = sum.cache_size};
    api_fill(out, size, &m, sizeof m);
fail:
    base_runtime_release(rt);
    return status;
}

static void describe_device(const struct device *d, int entry, nib_device_info *out) {
    device_props props = {.row_bucket = 1};
    d->table->props(d, &props);
    *out = (nib_device_info){.entry = entry,
                             .host = device_is_host(d),
                             .row_bucket = props.row_bucket > 1 ? props.row_bucket : 1,
                             .group_tokens = props.group_tokens};
    snprintf(out->name, sizeof out->name, "%s", props.name);
    snprintf(out->kind, sizeof out->kind, "%s", d->table->kind);
}

static nib_status try_devices_get(nib_runtime *runtime, const char *list, nib_device_info *out, size_t size, size_t capacity,
                                  size_t *count, nib_error *err) {
    nib_status status = NIB_OK;
    nib_runtime *rt = NULL;
    struct device *host = NULL, *devices[MODEL_DEVICES];
    int n = 0;
    if (!count || (capacity && !out)) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the devices");
    *count = 0;
    if (runtime) rt = base_runtime_retain(runtime);
    else NIB_TRY(base_runtime_create(NULL, &rt, err));
    NIB_TRY(cpu_open(rt, &host, err));
    NIB_TRY(model_open_devices(rt, host, list, devices, &n, err));
    for (int i = 0; i < n; i++) {
        const device_pool *pool = devices[i]->pool;
        for (int k = 0; k < (pool ? pool->n : 1); k++, ++*count) {
            nib_device_info made;
            describe_device(pool ? pool->devices[k] : devices[i], i, &made);
            if (*count < capacity) api_fill((char *)out + *count * size, size, &made, sizeof made);
        }
    }
fail:
    if (rt) model_close_devices(rt, host, devices, n);
    base_runtime_release(rt);
    return status;
}

static nib_status try_profile_create(nib_model *model, nib_profile **out, nib_error *err) {
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the profile");
    *out = NULL;
    if (!model) return base_error_set(err, NIB_INVALID_ARGUMENT, "no model was given");
    const model_program *program;
    nib_status status = model_get_program(model, (int)model->task, &program, err);
    return status == NIB_OK ? task_profile_create(model, program->p, out, err) : status;
}

void nib_profile_free(nib_profile *f) { task_profile_free(f); }

void nib_profile_reset(nib_profile *f) {
    run_profile_reset(f->steps);
    atomic_store(&f->texts, 0);
    atomic_store(&f->tokens, 0);
    atomic_store(&f->tokenize_ns, 0);
}

size_t nib_profile_step_count(const nib_profile *f) { return (size_t)run_profile_rows(f->steps); }

/* The least time that the work of a step takes on that machine, and what it computes at most, for one thread. */
static void add_bound(const plan *p, const run_counts *c, kernel_input input, const nib_machine *machine,
                      nib_profile_step *s) {
    double n = machine->threads;
    plan_speed one = {.operations = {[KERNEL_INPUT_F32] = machine->f32 / n,
                                     [KERNEL_INPUT_BF16] = machine->bf16 / n,
                                     [KERNEL_INPUT_U8] = machine->q8 / n},
                      .cache_bytes = machine->cache_bytes / n,
                      .memory_bytes = machine->memory_bytes / n,
                      .cache_size = (size_t)machine->cache_size};
    plan_work work = {(double)c->operations, (double)c->weight_bytes, (double)c->value_bytes, input};
    s->peak = one.operations[input];
    s->bound_nanoseconds = 1e9 * plan_bound(&one, &work, plan_weight_bytes(p));
}

/* What a row of a profile is called. */
static nib_profile_step name_row(const run_profile_row *row) {
    const plan_step *s = row->step;
    if (s)
        return (nib_profile_step){.op = s->node->op,
                                  .name = s->node->n_outputs && s->node->outputs[0] ? s->node->outputs[0]->name : "",
                                  .kernel = s->kernel,
                                  .kind = plan_step_kind(s)};
    const graph *g = row->region->g;
    return (nib_profile_step){.op = row->copies ? "copies" : "region",
                              .name = g->n_outputs ? g->outputs[0]->name : "",
                              .kernel = row->region->name,
                              .kind = row->copies ? "copies" : "region"};
}

nib_status nib_profile_step_get(const nib_profile *f, size_t i, const nib_machine *machine, size_t machine_size,
                                nib_profile_step *out, size_t size) {
    run_counts c;
    nib_machine m = {0};
    if (!f || !out || i >= nib_profile_step_count(f)) return NIB_INVALID_ARGUMENT;
    if (machine) memcpy(&m, machine, machine_size < sizeof m ? machine_size : sizeof m);
    const run_profile_row row = run_profile_row_at(f->steps, (int)i);
    run_profile_sum(f->steps, (int)i, &c);
    nib_profile_step made = name_row(&row);
    made.calls = c.calls;
    made.rows = c.rows;
    made.nanoseconds = c.ns;
    made.operations = (double)c.operations;
    made.bytes = (double)c.weight_bytes + (double)c.value_bytes;
    if (m.threads > 0 && row.step) add_bound(row.p, &c, plan_step_input(row.step), &m, &made);
    api_fill(out, size, &made, sizeof made);
    return NIB_OK;
}

void nib_profile_totals_get(const nib_profile *f, nib_profile_totals *out, size_t size) {
    nib_profile *p = (nib_profile *)(uintptr_t)f;
    const nib_profile_totals made = {atomic_load(&p->texts), atomic_load(&p->tokens), atomic_load(&p->tokenize_ns)};
    api_fill(out, size, &made, sizeof made);
}

/* ---- the calls, as nib.h has them */

nib_status nib_machine_measure(nib_runtime *runtime, nib_machine *out, size_t size, nib_error *err) {
    return API_CALL(err, try_machine_measure(runtime, out, size, err));
}
nib_status nib_devices_get(nib_runtime *runtime, const char *list, nib_device_info *out, size_t size, size_t capacity, size_t *count,
                           nib_error *err) {
    return API_CALL(err, try_devices_get(runtime, list, out, size, capacity, count, err));
}
nib_status nib_profile_create(nib_model *model, nib_profile **out, nib_error *err) {
    return API_CALL(err, try_profile_create(model, out, err));
}
