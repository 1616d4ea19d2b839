/* SPDX-License-Identifier: Apache-2.0
 *
 * What torch.save writes of a state dict: tensors by name, in a zip with a pickle.
 *
 *     NAME/data.pkl      a pickle: {"weight": tensor(storage "0", offset, shape, strides), ...}
 *     NAME/data/0        the bytes of storage "0", little endian
 *     NAME/byteorder     "little"; files from before 2.1 lack it
 *
 * A pickle is a program of a stack machine, and Python's runs whatever function it names. This reader has no functions:
 * it knows the few steps that make dicts of tensors, and the names in them are rows of a table, that stand for a
 * storage's type or for putting a tensor together. Anything else is refused, with its name and the byte where it stands
 * (https://docs.python.org/3/library/pickletools.html lists the steps). Nothing in it recurses, every step takes bytes
 * of the file, and values are shared, never copied: work and memory stay below a small multiple of the pickle.
 */
#ifndef HF_TORCH_H
#define HF_TORCH_H

#include "hf_build.h"

typedef struct hf_torch_tensor {
    const char *name;
    graph_tensor tensor; /* of f32, f16, bf16 or f64, C order; its data lies in the file */
} hf_torch_tensor;

/* The tensors of a file's bytes, which outlive them; names and the list are the arena's. BAD_MODEL: it is no such file,
 * or a broken one. UNSUPPORTED: what is no dict of tensors, other types, strides of another order, big endian, the
 * format before torch 1.6. LIMIT: a pickle of more than 256 KiB. Messages have the byte offset in data.pkl. */
nib_status hf_torch_read(base_arena *arena, const void *bytes, size_t size, hf_torch_tensor **out, size_t *count,
                         nib_error *err);

/* The tensors called names[i] of a file beneath the folder, in out[i], zeroed where there is none; the file becomes the
 * graph's. NOT_FOUND: there is no such file. */
nib_status hf_torch_open(nib_runtime *runtime, const char *dir, const char *file, const char *const *names, size_t n,
                         graph_tensor *out, graph *g, nib_error *err);

#endif
