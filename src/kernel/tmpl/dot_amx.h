/* SPDX-License-Identifier: Apache-2.0
 *
 * dot_avx512vnni.h's names, and the same products of whole tiles (gemm_tiles.h): exact sums of s32, too.
 */
#ifndef DOT_AMX_H
#define DOT_AMX_H

#include "dot_avx512vnni.h"

#define GEMM_TILE_MADD _tile_dpbusd
VEC_INLINE dot_acc gemm_tile_sum(dot_acc begin, const char *sums) { return _mm512_add_epi32(begin, _mm512_loadu_si512(sums)); }

#endif
