/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes the checksums of a compiled file agree with its bytes again, so that what was changed is looked at by more than them.
 */
#ifndef NIB_SIGN_H
#define NIB_SIGN_H

#include "base/base_checksum.h"
#include "compiled/compiled.h"

static inline void nib_sign(uint8_t *data, size_t size) {
    compiled_head h;
    if (size < sizeof h) return;
    memcpy(&h, data, sizeof h);
    for (int k = 1; k < COMPILED_KINDS; k++) {
        compiled_entry *e = &h.table[k];
        if (e->offset <= size && e->length <= size - e->offset) e->checksum = base_checksum_of(data + e->offset, (size_t)e->length);
    }
    h.length = size;
    h.checksum = 0;
    h.checksum = base_checksum_of(&h, sizeof h);
    memcpy(data, &h, sizeof h);
}

#endif
