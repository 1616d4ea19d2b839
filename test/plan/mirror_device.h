/* SPDX-License-Identifier: Apache-2.0
 *
 * `mirror`: a device that is a second cpu behind the contract of plan/device.h, so that everything there is proven without a GPU.
 *
 * Its addresses are no addresses of the host, its streams are threads of their own, and it does what the contract allows and a kind
 * device does not: it fills what belongs to no text with garbage, reads uploads late, and writes downloads late. What breaks the
 * contract (an address outside of its block, one layout number with two layouts) is NIB_INTERNAL.
 *
 * `argument`: NAME=NUMBER, divided by ';'
 *     name=N     what it calls itself: mirror:N
 *     seed=N refuse=P   it refuses P of 100 nodes, which ones says the seed
 *     bucket=N   rows are rounded up to a multiple; 16
 *     die=K after=N     its call K (mirror_calls) fails with NIB_DEVICE after N that did not, and from then on all do
 *     oom=K after=N     that one call is OUT_OF_MEMORY
 *     onnx=1     (as a plug-in) it compiles what a region is as the bytes of an ONNX file, in the library's words
 *     slow=N     microseconds that a launch takes longer
 *     rows=N     device_props.rows of bf16 weights
 *     fast=N     device_props.fastest
 *     mute=1     it does not tell what its work took
 */
#ifndef MIRROR_DEVICE_H
#define MIRROR_DEVICE_H

#include "plan/device.h"

#define MIRROR_CALL_MAP(X)                                                                                                                 \
    X(COMPILE) X(ARENA_BYTES) X(STREAM_OPEN) X(ALLOCATE) X(EVENT_CREATE) X(UPLOAD) X(LAUNCH) X(DOWNLOAD) X(RECORD) X(WAIT) X(WORK)

typedef enum mirror_call {
#define MIRROR_CALL_ENUM(name) MIRROR_CALL_##name,
    MIRROR_CALL_MAP(MIRROR_CALL_ENUM)
#undef MIRROR_CALL_ENUM
        MIRROR_CALLS /* WORK: in the stream's thread, told by wait */
} mirror_call;

nib_status mirror_open(nib_runtime *runtime, const char *argument, struct device **out, nib_error *err);
/* How often it was called so far. */
int mirror_count(const struct device *d, mirror_call call);

#endif
