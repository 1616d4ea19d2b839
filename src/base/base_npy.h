/* SPDX-License-Identifier: Apache-2.0
 *
 * NumPy's .npy files, one tensor each: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1 to 3.
 *
 *     \x93NUMPY, version, length of the header | header: a Python dict of descr, fortran_order, shape | data
 *
 * Read: every type that has a nib_dtype, either byte order, C or Fortran order; U and S strings. Written: version 1.0, little endian,
 * C order, data at a multiple of 64.
 */
#ifndef BASE_NPY_H
#define BASE_NPY_H

#include "base_mem.h"

#define BASE_NPY_MAGIC "\x93NUMPY"
#define BASE_NPY_HEADER_MOST 512 /* of what is written, for every rank */

/* True if the bytes begin as an .npy file does. */
bool base_npy_is(const void *bytes, size_t size);

/* The tensor in the bytes of a file: its data lies in them where type and alignment allow, else in the arena. BAD_MODEL if the
 * bytes are no such file, exactly; UNSUPPORTED for Python objects, dates, long doubles and records. */
nib_status base_npy_read(base_arena *arena, const void *bytes, size_t size, nib_tensor *out, nib_error *err);

/* The header of a file for a tensor of that type, of `least` bytes at least; its length goes to *length. UNSUPPORTED for types that
 * NumPy does not have. */
nib_status base_npy_header(nib_dtype dtype, int rank, const int64_t *dims, size_t least, char header[BASE_NPY_HEADER_MOST], size_t *length,
                           nib_error *err);

#endif
