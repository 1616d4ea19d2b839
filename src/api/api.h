/* SPDX-License-Identifier: Apache-2.0
 *
 * How every public call with a nib_error ends, whatever went on inside: on success the error is clear, though something may have been
 * tried that did not work; on failure it is complete. In: the caller's error, which may hold anything, and what the call's own function
 * answers. Out: that, and such an error.
 */
#ifndef API_H
#define API_H

#include "base/base_error.h"
#include "base/base_runtime.h"

static inline nib_status api_end(nib_error *err, nib_status status) {
    if (status == NIB_OK) base_error_clear(err);
    else if (err && (err->status != status || !err->message[0])) base_error_set(err, status, "%s", nib_status_text(status));
    return status;
}

#define API_CALL(err, call) (base_error_clear(err), api_end((err), (call)))

/* Whether a tensor of the caller's, and each element of a container, is memory of the CPU; UNSUPPORTED says where else:
 * "input x is on device cuda 0". */
nib_status api_check_place(const nib_tensor *t, const char *kind, const char *name, nib_error *err);

/* A tensor of the caller's, to be freed with nib_tensor_free, with the data of *t, a block of the runtime's heap, which
 * it takes: on failure it is freed. */
nib_status api_tensor_own(nib_runtime *runtime, const nib_tensor *t, nib_tensor **out, nib_error *err);

#endif
