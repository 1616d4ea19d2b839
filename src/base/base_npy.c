/* SPDX-License-Identifier: Apache-2.0
 *
 * In: bytes of a .npy file, not trusted. Out: a tensor. And the header of a file to write.
 */
#include "base_npy.h"
#include "base_str.h"
#include <stdio.h>
#include <string.h>

static const struct {
    char kind;          /* NumPy's letter */
    uint8_t size, part; /* bytes of an element, and of what byte order turns round */
    uint16_t dtype;
} types[] = {
    {'b', 1, 1, NIB_DTYPE_BOOL}, {'i', 1, 1, NIB_DTYPE_I8},    {'i', 2, 2, NIB_DTYPE_I16}, {'i', 4, 4, NIB_DTYPE_I32},
    {'i', 8, 8, NIB_DTYPE_I64},  {'u', 1, 1, NIB_DTYPE_U8},    {'u', 2, 2, NIB_DTYPE_U16}, {'u', 4, 4, NIB_DTYPE_U32},
    {'u', 8, 8, NIB_DTYPE_U64},  {'f', 2, 2, NIB_DTYPE_F16},   {'f', 4, 4, NIB_DTYPE_F32}, {'f', 8, 8, NIB_DTYPE_F64},
    {'c', 8, 4, NIB_DTYPE_C64},  {'c', 16, 8, NIB_DTYPE_C128},
};

bool base_npy_is(const void *bytes, size_t size) { return size >= 6 && memcmp(bytes, BASE_NPY_MAGIC, 6) == 0; }

/* ---- the header */

typedef struct npy {
    nib_dtype dtype;
    char strings; /* 'U' or 'S': strings of that kind */
    size_t item, part;
    bool swapped, fortran, has_descr, has_order, has_shape;
    int rank;
    int64_t dims[NIB_MAX_RANK];
} npy;

typedef struct cursor {
    const char *p, *end;
} cursor;

static void blank(cursor *c) {
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r')) c->p++;
}

static bool eat(cursor *c, char what) {
    blank(c);
    if (c->p >= c->end || *c->p != what) return false;
    c->p++;
    return true;
}

/* A quoted word without escapes, which is all that NumPy writes. */
static bool word(cursor *c, char out[24]) {
    size_t n = 0;
    blank(c);
    if (c->p >= c->end || (*c->p != '\'' && *c->p != '"')) return false;
    char quote = *c->p++;
    while (c->p < c->end && *c->p != quote && n < 23) out[n++] = *c->p++;
    out[n] = 0;
    return eat(c, quote);
}

static bool number(cursor *c, int64_t *out) {
    int64_t n = 0;
    blank(c);
    if (c->p >= c->end || *c->p < '0' || *c->p > '9') return false;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        if (!base_mul_i64(n, 10, &n) || __builtin_add_overflow(n, *c->p - '0', &n)) return false;
    if (c->p < c->end && *c->p == 'L') c->p++; /* of Python 2 */
    *out = n;
    return true;
}

static nib_status read_descr(npy *n, const char *text, nib_error *err) {
    const union {
        uint16_t number;
        uint8_t first;
    } order = {1};
    bool little = order.first == 1;
    char at = text[0];
    int64_t size;
    cursor c = {text + 2, text + strlen(text)};
    if ((at != '<' && at != '>' && at != '|' && at != '=') || !text[1])
        return base_error_set(err, NIB_UNSUPPORTED, "NumPy's type '%s' is not supported", text);
    n->swapped = (at == '<' && !little) || (at == '>' && little);
    if (text[1] == 'O') return base_error_set(err, NIB_UNSUPPORTED, "Python objects in a .npy file are not read");
    if (!number(&c, &size) || c.p != c.end) return base_error_set(err, NIB_UNSUPPORTED, "NumPy's type '%s' is not supported", text);
    if (text[1] == 'U' || text[1] == 'S') {
        n->strings = text[1];
        n->dtype = NIB_DTYPE_STRING;
        n->part = text[1] == 'U' ? 4 : 1;
        if (!base_mul_size((size_t)size, n->part, &n->item))
            return base_error_set(err, NIB_BAD_MODEL, "strings of '%s' are longer than memory", text);
        return NIB_OK;
    }
    for (size_t i = 0; i < BASE_COUNT(types); i++)
        if (types[i].kind == text[1] && types[i].size == size) {
            n->dtype = (nib_dtype)types[i].dtype;
            n->item = types[i].size;
            n->part = types[i].part;
            return NIB_OK;
        }
    return base_error_set(err, NIB_UNSUPPORTED, "NumPy's type '%s' is not supported", text);
}

static bool read_shape(npy *n, cursor *c) {
    if (!eat(c, '(')) return false;
    while (!eat(c, ')')) {
        if (n->rank == NIB_MAX_RANK || !number(c, &n->dims[n->rank])) return false;
        n->rank++;
        if (!eat(c, ',')) return eat(c, ')');
    }
    return true;
}

static bool read_order(npy *n, cursor *c) {
    static const char *const names[] = {"False", "True"};
    blank(c);
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(names[i]);
        if ((size_t)(c->end - c->p) < length || memcmp(c->p, names[i], length) != 0) continue;
        c->p += length;
        n->fortran = i == 1;
        return true;
    }
    return false;
}

static nib_status read_header(npy *n, const char *text, size_t length, nib_error *err) {
    nib_status status = NIB_OK;
    cursor c = {text, text + length};
    char key[24], value[24];
    bool ok = eat(&c, '{');
    while (ok && !eat(&c, '}')) {
        bool *seen = NULL;
        ok = word(&c, key) && eat(&c, ':');
        if (!ok) break;
        if (strcmp(key, "descr") == 0) {
            seen = &n->has_descr;
            blank(&c);
            if (c.p < c.end && *c.p == '[') NIB_FAIL(err, NIB_UNSUPPORTED, "records in a .npy file are not read");
            ok = word(&c, value);
            if (ok) NIB_TRY(read_descr(n, value, err));
        } else if (strcmp(key, "fortran_order") == 0) {
            seen = &n->has_order;
            ok = read_order(n, &c);
        } else if (strcmp(key, "shape") == 0) {
            seen = &n->has_shape;
            if (!n->has_shape) ok = read_shape(n, &c);
        }
        ok = ok && seen && !*seen;
        if (!ok) break;
        *seen = true;
        if (!eat(&c, ',')) {
            ok = eat(&c, '}');
            break;
        }
    }
    blank(&c);
    if (!ok || c.p != c.end || !n->has_descr || !n->has_order || !n->has_shape)
        NIB_FAIL(err, NIB_BAD_MODEL, "the header of the .npy file is no dict of descr, fortran_order and a shape of at most %d axes",
                 NIB_MAX_RANK);
fail:
    return status;
}

/* ---- the data */

static void turn_round(uint8_t *p, size_t bytes, size_t part) {
    for (size_t i = 0; i + part <= bytes; i += part)
        for (size_t a = 0, b = part - 1; a < b; a++, b--) {
            uint8_t t = p[i + a];
            p[i + a] = p[i + b];
            p[i + b] = t;
        }
}

/* Element i in C order is where, in Fortran order? */
static size_t fortran_place(const npy *n, size_t i) {
    size_t place = 0, stride[NIB_MAX_RANK], step = 1;
    for (int k = 0; k < n->rank; k++) stride[k] = step, step *= (size_t)n->dims[k];
    for (int k = n->rank - 1; k >= 0; k--) {
        place += i % (size_t)n->dims[k] * stride[k];
        i /= (size_t)n->dims[k];
    }
    return place;
}

static nib_status read_string(base_arena *arena, const npy *n, const uint8_t *from, nib_string *to, nib_error *err) {
    size_t units = n->item / n->part, length = 0;
    char *text = base_arena_alloc(arena, n->item + 1); /* a code point takes no more in UTF-8 than its four bytes */
    if (!text) return base_error_set(err, NIB_OUT_OF_MEMORY, "no memory for strings");
    while (units > 0) { /* NumPy pads with NUL */
        const uint8_t *last = from + (units - 1) * n->part;
        if (last[0] || (n->part == 4 && (last[1] || last[2] || last[3]))) break;
        units--;
    }
    for (size_t i = 0; i < units; i++) {
        uint8_t b[4] = {from[i * n->part]};
        if (n->strings == 'S') {
            text[length++] = (char)b[0];
            continue;
        }
        memcpy(b, from + i * 4, 4);
        if (n->swapped) turn_round(b, 4, 4);
        uint32_t cp;
        memcpy(&cp, b, 4);
        if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) return base_error_set(err, NIB_BAD_MODEL, "a string with the character %u", cp);
        length += (size_t)base_utf8_encode(cp, text + length);
    }
    *to = (nib_string){text, length};
    return NIB_OK;
}

static nib_status read_data(base_arena *arena, const npy *n, const uint8_t *data, size_t count, nib_tensor *out, nib_error *err) {
    nib_status status = NIB_OK;
    if (n->strings) {
        if (!base_mul_size(count, sizeof(nib_string), &out->bytes)) NIB_FAIL(err, NIB_BAD_MODEL, "more elements than memory has bytes");
        nib_string *strings = base_arena_alloc(arena, out->bytes);
        if (!strings) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "no memory for strings");
        for (size_t i = 0; i < count; i++)
            NIB_TRY(read_string(arena, n, data + (n->fortran ? fortran_place(n, i) : i) * n->item, &strings[i], err));
        out->data = strings;
        return NIB_OK;
    }
    out->bytes = count * n->item;
    bool turned = n->fortran && n->rank > 1;
    if (!turned && !n->swapped && (uintptr_t)data % 16 == 0) {
        out->data = (void *)(uintptr_t)data;
        return NIB_OK;
    }
    uint8_t *to = base_arena_alloc(arena, out->bytes ? out->bytes : 1);
    if (!to) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "no memory for a tensor of %zu bytes", out->bytes);
    if (!turned && out->bytes) memcpy(to, data, out->bytes);
    for (size_t i = 0; turned && i < count; i++) memcpy(to + i * n->item, data + fortran_place(n, i) * n->item, n->item);
    if (n->swapped) turn_round(to, out->bytes, n->part);
    out->data = to;
fail:
    return status;
}

nib_status base_npy_read(base_arena *arena, const void *bytes, size_t size, nib_tensor *out, nib_error *err) {
    nib_status status = NIB_OK;
    const uint8_t *p = bytes;
    npy n = {0};
    size_t count = 1, need;
    memset(out, 0, sizeof *out);
    if (!base_npy_is(bytes, size) || size < 10) NIB_FAIL(err, NIB_BAD_MODEL, "this is no .npy file, or it is cut off");
    if (p[6] < 1 || p[6] > 3) NIB_FAIL(err, NIB_UNSUPPORTED, "version %d of the .npy format is not known", p[6]);
    size_t begin = p[6] == 1 ? 10 : 12;
    if (size < begin) NIB_FAIL(err, NIB_BAD_MODEL, "the .npy file is cut off in its header");
    size_t length = p[8] + 256u * p[9] + (begin == 12 ? 65536u * p[10] + 16777216u * (size_t)p[11] : 0);
    if (length > size - begin) NIB_FAIL(err, NIB_BAD_MODEL, "the .npy file is cut off in its header of %zu bytes", length);
    NIB_TRY(read_header(&n, (const char *)p + begin, length, err));
    bool fits = true;
    for (int k = 0; k < n.rank; k++) fits = fits && (n.dims[k] == 0 || n.item == 0 || (size_t)n.dims[k] <= size);
    for (int k = 0; k < n.rank; k++)
        if (n.dims[k] == 0) count = 0, fits = true;
    for (int k = 0; k < n.rank && count && fits; k++) fits = base_mul_size(count, (size_t)n.dims[k], &count);
    if (!fits || !base_mul_size(count, n.item, &need) || need != size - begin - length || (n.item == 0 && count > size))
        NIB_FAIL(err, NIB_BAD_MODEL, "%zu bytes of data are not what the shape of the .npy file needs", size - begin - length);
    out->dtype = n.dtype;
    out->rank = n.rank;
    memcpy(out->dims, n.dims, sizeof n.dims);
    NIB_TRY(read_data(arena, &n, p + begin + length, count, out, err));
fail:
    return status;
}

nib_status base_npy_header(nib_dtype dtype, int rank, const int64_t *dims, size_t least, char header[BASE_NPY_HEADER_MOST], size_t *length,
                           nib_error *err) {
    char text[BASE_NPY_HEADER_MOST - 64];
    size_t i = 0, n;
    while (i < BASE_COUNT(types) && types[i].dtype != dtype) i++;
    if (i == BASE_COUNT(types))
        return base_error_set(err, NIB_UNSUPPORTED, "NumPy's files have no type for %s; a .pb file holds it", nib_dtype_name(dtype));
    n = (size_t)snprintf(text, sizeof text, "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (", types[i].part == 1 ? '|' : '<',
                         types[i].kind, types[i].size);
    for (int k = 0; k < rank; k++)
        n +=
            (size_t)snprintf(text + n, sizeof text - n, "%s%lld%s", k ? " " : "", (long long)dims[k], k + 1 < rank || rank == 1 ? "," : "");
    n += (size_t)snprintf(text + n, sizeof text - n, "), }");
    size_t total = (10 + n + 1 + 63) / 64 * 64;
    if (total < least) total = least;
    memset(header, ' ', total);
    memcpy(header, BASE_NPY_MAGIC "\x01\x00", 8);
    header[8] = (char)((total - 10) & 0xff);
    header[9] = (char)((total - 10) >> 8);
    memcpy(header + 10, text, n);
    header[total - 1] = '\n';
    *length = total;
    return NIB_OK;
}
