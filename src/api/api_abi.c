/* SPDX-License-Identifier: Apache-2.0
 *
 * Which library this is, and the layouts that nib.h calls frozen, on machines with 64-bit pointers. Whoever has to
 * change a line here changes NIB_ABI_VERSION, too.
 */
#include <nib/nib.h>

const char *nib_version(void) { return NIB_VERSION; }
int nib_abi_version(void) { return NIB_ABI_VERSION; }

#if UINTPTR_MAX == UINT64_MAX
#define IS_AT(type, member, offset) _Static_assert(offsetof(type, member) == (offset), #type "." #member)
#define HAS_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)

IS_AT(nib_error, status, 0);
IS_AT(nib_error, message, 4);
IS_AT(nib_error, node, 404);
IS_AT(nib_error, offset, 528);
HAS_SIZE(nib_error, 536);

IS_AT(nib_string, data, 0);
IS_AT(nib_string, length, 8);
HAS_SIZE(nib_string, 16);

IS_AT(nib_device, kind, 0);
IS_AT(nib_device, index, 4);
HAS_SIZE(nib_device, 8);

IS_AT(nib_sparse, width, 8);
IS_AT(nib_sparse, offsets, 16);
IS_AT(nib_sparse, values, 32);
HAS_SIZE(nib_sparse, 40);

IS_AT(nib_ranked, index, 0);
IS_AT(nib_ranked, score, 8);
HAS_SIZE(nib_ranked, 16);

IS_AT(nib_entity, label, 0);
IS_AT(nib_entity, word, 8);
IS_AT(nib_entity, score, 16);
IS_AT(nib_entity, token, 20);
IS_AT(nib_entity, begin, 24);
IS_AT(nib_entity, end, 32);
HAS_SIZE(nib_entity, 40);

IS_AT(nib_tensor, dtype, 0);
IS_AT(nib_tensor, rank, 4);
IS_AT(nib_tensor, dims, 8);
IS_AT(nib_tensor, data, 136);
IS_AT(nib_tensor, bytes, 144);
IS_AT(nib_tensor, place, 152);
IS_AT(nib_tensor, release, 160);
IS_AT(nib_tensor, owner, 168);
HAS_SIZE(nib_tensor, 176);
#endif
