/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's comparing of tensors. In: what was got and what was wanted, of any type. Out: whether and how they differ.
 */
#include "api_options.h"
#include "base/base_half.h"
#include "base/base_number.h"
#include "base/base_minifloat.h"
#include "graph/graph.h"
#include <stdio.h>
#include <string.h>

static unsigned packed(const nib_tensor *t, int64_t i, int bits) {
    return ((const uint8_t *)t->data)[i * bits / 8] >> (i * bits % 8) & ((1u << bits) - 1);
}

/* Element i of a type with bytes of its own, which need not be aligned. */
static double wide(const nib_tensor *t, int64_t i) {
    union {
        float f;
        double d;
        int16_t i16;
        uint16_t u16;
        int32_t i32;
        uint32_t u32;
        int64_t i64;
        uint64_t u64;
    } v;
    bool complex = t->dtype == NIB_DTYPE_C64 || t->dtype == NIB_DTYPE_C128; /* of which i counts the parts */
    size_t width = (size_t)nib_dtype_bits(t->dtype) / 8 / (complex ? 2 : 1);
    memcpy(&v, (const char *)t->data + (size_t)i * width, width);
    switch (t->dtype) {
    case NIB_DTYPE_F32:
    case NIB_DTYPE_C64: return v.f;
    case NIB_DTYPE_F64:
    case NIB_DTYPE_C128: return v.d;
    case NIB_DTYPE_F16: return base_f16_to_f32(v.u16);
    case NIB_DTYPE_BF16: return base_bf16_to_f32(v.u16);
    case NIB_DTYPE_I16: return v.i16;
    case NIB_DTYPE_U16: return v.u16;
    case NIB_DTYPE_I32: return v.i32;
    case NIB_DTYPE_U32: return v.u32;
    case NIB_DTYPE_I64: return (double)v.i64;
    default: return (double)v.u64;
    }
}

static double number(const nib_tensor *t, int64_t i) {
    if (nib_dtype_bits(t->dtype) > 8) return wide(t, i);
    uint8_t code = nib_dtype_bits(t->dtype) == 8 ? ((const uint8_t *)t->data)[i] : 0;
    switch (t->dtype) {
    case NIB_DTYPE_I8: return (int8_t)code;
    case NIB_DTYPE_U8: return code;
    case NIB_DTYPE_BOOL: return code != 0;
    case NIB_DTYPE_F8E4M3FN: return base_minifloat_decode(BASE_E4M3FN, code);
    case NIB_DTYPE_F8E4M3FNUZ: return base_minifloat_decode(BASE_E4M3FNUZ, code);
    case NIB_DTYPE_F8E5M2: return base_minifloat_decode(BASE_E5M2, code);
    case NIB_DTYPE_F8E5M2FNUZ: return base_minifloat_decode(BASE_E5M2FNUZ, code);
    case NIB_DTYPE_F8E8M0: return base_e8m0_decode(code);
    case NIB_DTYPE_F4E2M1: return base_minifloat_decode(BASE_E2M1, (uint8_t)packed(t, i, 4));
    case NIB_DTYPE_U4: return packed(t, i, 4);
    case NIB_DTYPE_I4: return (int)(packed(t, i, 4) ^ 8) - 8;
    case NIB_DTYPE_U2: return packed(t, i, 2);
    case NIB_DTYPE_I2: return (int)(packed(t, i, 2) ^ 2) - 2;
    default: return NAN;
    }
}

static bool close_enough(double got, double want, double relative, double absolute) {
    if (want != want || got != got) return want != want && got != got;
    if (isinf(want) || isinf(got)) return got == want;
    return fabs(got - want) <= absolute + relative * fabs(want);
}

static void shape_text(const nib_tensor *t, char *out, size_t room) {
    size_t n = (size_t)snprintf(out, room, "%s[", nib_dtype_name(t->dtype));
    for (int i = 0; i < t->rank && n + 32 < room; i++)
        n += (size_t)snprintf(out + n, room - n, "%s%lld", i ? "," : "", (long long)t->dims[i]);
    snprintf(out + n, room - n, "]");
}

static void compare_strings(const nib_tensor *got, const nib_tensor *want, int64_t n, nib_difference *d) {
    const nib_string *a = got->data, *b = want->data;
    for (int64_t i = 0; i < n; i++) {
        d->elements++;
        if (a[i].length == b[i].length && (b[i].length == 0 || memcmp(a[i].data, b[i].data, b[i].length) == 0)) continue;
        if (d->wrong++ > 0) continue;
        d->first = (uint64_t)i;
        snprintf(d->message, sizeof d->message, "element %lld is '%.*s', not '%.*s'", (long long)i,
                 (int)(a[i].length < 80 ? a[i].length : 80), a[i].length ? a[i].data : "", (int)(b[i].length < 80 ? b[i].length : 80),
                 b[i].length ? b[i].data : "");
    }
}

static void compare_numbers(const nib_tensor *got, const nib_tensor *want, int64_t n, double relative, double absolute, nib_difference *d) {
    uint64_t wrong = 0;
    int64_t first = 0;
    if (want->dtype == NIB_DTYPE_BF16 && relative < 0.015625) relative = 0.015625;
    if (want->dtype == NIB_DTYPE_C64 || want->dtype == NIB_DTYPE_C128) n *= 2;
    for (int64_t i = 0; i < n; i++) {
        double a = number(got, i), b = number(want, i), x = fabs(a - b);
        if (x > d->largest && isfinite(x)) d->largest = x;
        if (b != 0 && isfinite(x) && x / fabs(b) > d->largest_relative) d->largest_relative = x / fabs(b);
        bool exact = got->dtype == NIB_DTYPE_I64 || got->dtype == NIB_DTYPE_U64; /* doubles do not tell large ones apart */
        bool equal = close_enough(a, b, relative, absolute);
        if (equal && exact && x == 0 && relative == 0 && absolute < 1)
            equal = memcmp((const char *)got->data + i * 8, (const char *)want->data + i * 8, 8) == 0;
        if (!equal && wrong++ == 0) first = i;
    }
    d->elements += (uint64_t)n;
    if (wrong && !d->wrong) {
        d->first = (uint64_t)first;
        base_snprintf(d->message, sizeof d->message, "%llu of %lld elements differ: element %lld is %.9g, not %.9g",
                      (unsigned long long)wrong, (long long)n, (long long)first, number(got, first), number(want, first));
    }
    d->wrong += wrong;
}

static void compare(const nib_tensor *got, const nib_tensor *want, double relative, double absolute, int depth, nib_difference *d) {
    char a[140], b[140];
    bool fits = got->dtype == want->dtype && got->rank == want->rank && depth < 16;
    for (int k = 0; fits && k < want->rank; k++) fits = got->dims[k] == want->dims[k];
    if (!fits) {
        shape_text(got, a, sizeof a);
        shape_text(want, b, sizeof b);
        if (!d->message[0]) snprintf(d->message, sizeof d->message, "is %s, not %s", a, b);
        d->same = 0;
        return;
    }
    int64_t n = graph_tensor_elements(want);
    if (n < 0 || graph_type_bytes(want->dtype, (size_t)n) > got->bytes || graph_type_bytes(want->dtype, (size_t)n) > want->bytes) {
        if (!d->message[0]) snprintf(d->message, sizeof d->message, "has fewer bytes than its shape needs");
        d->same = 0;
        return;
    }
    if (want->dtype >= NIB_DTYPE_SEQUENCE)
        for (int64_t i = 0; i < n; i++)
            compare((const nib_tensor *)got->data + i, (const nib_tensor *)want->data + i, relative, absolute, depth + 1, d);
    else if (want->dtype == NIB_DTYPE_STRING) compare_strings(got, want, n, d);
    else compare_numbers(got, want, n, relative, absolute, d);
}

nib_status nib_tensor_compare(const nib_tensor *got, const nib_tensor *want, double relative, double absolute,
                              nib_difference *out, size_t size) {
    nib_difference d = {.same = 1};
    if (!got || !want || !out || got->rank < 0 || got->rank > NIB_MAX_RANK || want->rank < 0 || want->rank > NIB_MAX_RANK)
        return NIB_INVALID_ARGUMENT;
    nib_status status = api_check_place(got, "the", "tensor", NULL);
    if (status == NIB_OK) status = api_check_place(want, "the", "tensor", NULL);
    if (status != NIB_OK) return status;
    compare(got, want, relative, absolute, 0, &d);
    if (d.wrong) d.same = 0;
    for (char *p = d.message; *p; p++) /* strings are the model's: nothing that a terminal obeys */
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    api_fill(out, size, &d, sizeof d);
    return NIB_OK;
}
