/* SPDX-License-Identifier: Apache-2.0
 *
 * The device table: all that plan/ and run/ know of a device. A device claims nodes, with a reason for each refusal,
 * compiles what it claimed into steps, and owns memory and weights. `cpu` claims everything and stands last in every list.
 *
 * compile() gets a convex region: nodes in order, all claimed by this device. It fills one plan_step for each (or for
 * several, in which case the others' run is NULL and they are dropped). Weights are packed then, once; a device keeps what it
 * packed and gives it again to a later plan that asks for the same constant. close() frees them, after all plans.
 *
 * A plug-in exports one symbol that returns this table, and is refused if `build_id` is not the library's own.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include "plan.h"

typedef struct device device;

typedef struct device_table {
    const char *name; /* "cpu" */
    const char *build_id;
    /* Whether it can run the node; if not, one line why. */
    bool (*claim)(device *d, const graph *g, const graph_node *n, char *why, size_t capacity);
    nib_status (*compile)(device *d, plan *p, graph_node *const *nodes, int n, plan_step *steps, nib_error *err);
    /* Memory of the device; the cpu's is the runtime's heap. */
    void *(*allocate)(device *d, size_t bytes);
    void (*release)(device *d, void *memory);
    nib_status (*upload)(device *d, void *to, const void *from, size_t bytes, nib_error *err);
    nib_status (*copy)(device *d, void *to, const void *from, size_t bytes, bool to_host, nib_error *err);
    nib_status (*synchronize)(device *d, nib_error *err);
    size_t (*weight_bytes)(const device *d); /* packed so far */
    /* What it computes with, for people: "avx512vnni". Static storage. */
    const char *(*instructions)(const device *d);
    /* How fast it is, as the sum over so many threads at work at the same time. Takes about 100 ms. */
    nib_status (*measure)(device *d, int threads, plan_speed *out, nib_error *err);
    void (*close)(device *d);
} device_table;

struct device {
    const device_table *table;
    nib_runtime *runtime;
};

#endif
