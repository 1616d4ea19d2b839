/* SPDX-License-Identifier: Apache-2.0
 *
 * What decoders work on: a list of strings, and the list that one makes of it.
 */
#ifndef TEXT_DECODE_H
#define TEXT_DECODE_H

#include "text_internal.h"

struct text_decoding {
    base_heap *heap;
    const text_tokenizer *t;
    base_str bytes; /* of all strings, one after the other */
    size_t *ends;   /* [count] where each ends */
    size_t count, cap;
    text_decoding *next; /* what a decoder writes: bytes, then text_decoding_end for each string */
};

/* Ends the string that was written to d->bytes; false: memory ran out, which d->bytes.failed says. */
bool text_decoding_end(text_decoding *d);

static inline text_entry text_decoding_at(const text_decoding *d, size_t i) {
    const size_t begin = i ? d->ends[i - 1] : 0;
    return (text_entry){.bytes = d->bytes.data ? d->bytes.data + begin : "", .length = (uint32_t)(d->ends[i] - begin)};
}

#endif
