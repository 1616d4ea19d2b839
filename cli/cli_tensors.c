/* SPDX-License-Identifier: Apache-2.0
 *
 * In: NAME=FILE and NAME=SHAPE, or a folder of the backend suite. Out: a session whose inputs are all bound.
 */
#include "cli_tensors.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_BYTES (1ll << 32) /* of a random input */

/* The value of a pair of that name (names may hold '=', and so may files); NULL if it is another's. */
static const char *value_of(const char *pair, const char *name) {
    size_t n = strlen(name);
    return strncmp(pair, name, n) == 0 && pair[n] == '=' && pair[n + 1] ? pair + n + 1 : NULL;
}

static const char *find_pair(const cli_list *p, const char *name) {
    for (size_t i = 0; i < p->count; i++)
        if (value_of(p->items[i], name)) return value_of(p->items[i], name);
    return NULL;
}

/* Gives a tensor away: the session frees it, or this does. */
static int bind(nib_session *s, size_t i, nib_tensor *tensor, void (*release)(void *owner), void *owner) {
    nib_error error;
    tensor->release = release;
    tensor->owner = owner;
    if (nib_session_set_input(s, nib_session_input_name(s, i), tensor, &error) == NIB_OK) return 0;
    release(owner);
    return cli_fail(&error);
}

static void free_read(void *tensor) { nib_tensor_free(tensor); }

/* info gets the sizes that the file has. */
static int bind_file(nib_session *s, size_t i, const char *path, nib_value_info *info) {
    nib_error error;
    nib_tensor *tensor;
    if (nib_tensor_read(path, info->dtype, &tensor, &error) != NIB_OK)
        return cli_fail(&error), error.status == NIB_OUT_OF_MEMORY ? 1 : 2;
    for (int k = 0; k < info->rank && k < tensor->rank; k++) info->dims[k] = tensor->dims[k];
    return bind(s, i, tensor, free_read, tensor);
}

/* ---- shapes of random inputs */

static int parse_shape(const char *name, const char *value, nib_value_info *info) {
    const char *p = value;
    int rank = 0;
    int64_t dims[NIB_MAX_RANK];
    for (; *p && rank < NIB_MAX_RANK; rank++) {
        char *end;
        if (*p < '0' || *p > '9') break;
        dims[rank] = strtoll(p, &end, 10);
        p = end;
        if (*p == 'x' && p[1]) p++;
    }
    if (*p && strcmp(value, "scalar") != 0) return cli_usage(&cli_run, "--shape %s=%s: it takes NAME=2x8 or NAME=scalar", name, value);
    if (info->rank >= 0 && info->rank != rank)
        return cli_usage(&cli_run, "--shape %s=%s: the model wants %d dimensions", name, value, info->rank);
    for (int k = 0; k < rank; k++) {
        if (info->rank >= 0 && info->dims[k] >= 0 && info->dims[k] != dims[k])
            return cli_usage(&cli_run, "--shape %s=%s: dimension %d is %lld in the model", name, value, k, (long long)info->dims[k]);
        info->dims[k] = dims[k];
    }
    info->rank = rank;
    return 0;
}

/* Equal names, equal sizes: what one input knows, the others get. */
static void spread(nib_value_info *all, size_t n, const nib_value_info *from) {
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < all[i].rank; k++)
            for (int j = 0; j < from->rank; j++)
                if (all[i].dims[k] < 0 && all[i].symbols[k] && from->dims[j] >= 0 && from->symbols[j] &&
                    strcmp(all[i].symbols[k], from->symbols[j]) == 0)
                    all[i].dims[k] = from->dims[j];
}

/* "past_sequence_length + 1": a name to the file, and to exporters the sum of other inputs' sizes. */
typedef struct named_sum {
    int terms, missing;  /* of which so many have no size yet */
    int64_t known;       /* the others' sum */
    const char *unknown; /* the last one that is missing, [length]; if it has a minus sign: */
    size_t length;
    bool negative, sound; /* each is a number or the name of an input's size */
} named_sum;

static void add_term(named_sum *r, const nib_value_info *all, size_t n, const char *term, size_t length, bool minus) {
    char *end;
    int64_t size = strtoll(term, &end, 10);
    bool found = length > 0 && end == term + length && size >= 0 && size <= INT32_MAX;
    if (!found) size = -1;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < all[i].rank; k++) {
            const char *name = all[i].symbols[k];
            if (!name || strlen(name) != length || memcmp(name, term, length) != 0) continue;
            found = true;
            if (all[i].dims[k] >= 0) size = all[i].dims[k];
        }
    r->terms++;
    r->sound &= found;
    if (size >= 0) r->known += minus ? -size : size;
    else r->missing++, r->unknown = term, r->length = length, r->negative = minus;
}

static named_sum read_sum(const nib_value_info *all, size_t n, const char *text) {
    named_sum r = {.sound = strlen(text) < 200}; /* longer ones are names */
    for (bool minus = false; r.sound;) {
        while (*text == ' ') text++;
        const char *plus = strchr(text, '+'), *less = strstr(text, " - "), *end = !plus || (less && less < plus) ? less : plus;
        size_t length = end ? (size_t)(end - text) : strlen(text);
        while (length && text[length - 1] == ' ') length--;
        add_term(&r, all, n, text, length, minus);
        if (!end) return r;
        minus = end == less;
        text = end + (minus ? 3 : 1);
    }
    return r;
}

/* Sums of sizes that are known, and what is missing in one that is known itself. */
static void solve_sums(nib_value_info *all, size_t n) {
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < all[i].rank; k++) {
            named_sum r = all[i].symbols[k] ? read_sum(all, n, all[i].symbols[k]) : (named_sum){0};
            if (r.terms < 2 || !r.sound) continue;
            if (!r.missing && all[i].dims[k] < 0 && r.known >= 0) all[i].dims[k] = r.known;
            if (r.missing != 1 || all[i].dims[k] < 0) continue;
            char name[200];
            snprintf(name, sizeof name, "%.*s", (int)r.length, r.unknown);
            int64_t size = r.negative ? r.known - all[i].dims[k] : all[i].dims[k] - r.known;
            if (size >= 0) spread(all, n, &(nib_value_info){.rank = 1, .dims = {size}, .symbols = {name}});
        }
    for (size_t i = 0; i < n; i++) spread(all, n, &all[i]);
}

static int find_shapes(const cli_tensors *t, const nib_session *s, nib_value_info *all, size_t n) {
    int code = 0;
    for (size_t i = 0; i < n && code == 0; i++) {
        const char *name = nib_session_input_name(s, i), *value = find_pair(&t->shapes, name);
        if (value) code = parse_shape(name, value, &all[i]);
    }
    for (size_t i = 0; i < n; i++) spread(all, n, &all[i]);
    solve_sums(all, n);
    for (int round = 0; round < 2; round++, solve_sums(all, n)) /* sizes that have a name of their own first */
        for (size_t i = 0; i < n && code == 0; i++)
            for (int k = 0; k < all[i].rank; k++) {
                named_sum r = all[i].symbols[k] && round == 0 ? read_sum(all, n, all[i].symbols[k]) : (named_sum){0};
                if (r.terms > 1 && r.sound) continue;
                if (all[i].dims[k] < 0) all[i].dims[k] = k == 0 ? 2 : 8;
                spread(all, n, &all[i]);
            }
    return code;
}

/* ---- random values */

static uint64_t next(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* In the type's own form: a whole number, or one in (-1, 1) with three binary digits after the point, which every type of float holds. */
static void store(void *to, nib_dtype dtype, size_t width, int64_t whole, int eighths) {
    static const uint16_t halves[] = {0, 0x3000, 0x3400, 0x3600, 0x3800, 0x3900, 0x3a00, 0x3b00}; /* 0, 1/8, ... as f16 */
    static const uint16_t brains[] = {0, 0x3e00, 0x3e80, 0x3ec0, 0x3f00, 0x3f20, 0x3f40, 0x3f60}; /* as bf16 */
    float f = (float)eighths / 8;
    double d = eighths / 8.0;
    uint16_t h = (uint16_t)((eighths < 0 ? 0x8000 : 0) | (dtype == NIB_DTYPE_F16 ? halves : brains)[eighths < 0 ? -eighths : eighths]);
    switch (dtype) {
    case NIB_DTYPE_F32:
    case NIB_DTYPE_C64: memcpy(to, &f, 4); break;
    case NIB_DTYPE_F64:
    case NIB_DTYPE_C128: memcpy(to, &d, 8); break;
    case NIB_DTYPE_F16:
    case NIB_DTYPE_BF16: memcpy(to, &h, 2); break;
    default: memcpy(to, &whole, width > 8 ? 8 : width); break; /* little endian */
    }
}

/* As a number that a mask or ids of floats hold. */
static void store_whole(void *to, nib_dtype dtype, size_t width, int64_t whole) {
    float f = (float)whole;
    double d = (double)whole;
    uint16_t one = whole ? (dtype == NIB_DTYPE_F16 ? 0x3c00 : 0x3f80) : 0;
    if (dtype == NIB_DTYPE_F32) memcpy(to, &f, 4);
    else if (dtype == NIB_DTYPE_F64) memcpy(to, &d, 8);
    else if (dtype == NIB_DTYPE_F16 || dtype == NIB_DTYPE_BF16) memcpy(to, &one, 2);
    else memcpy(to, &whole, width > 8 ? 8 : width);
}

/* The values that an encoder's inputs and others may have; row by row, so that a mask is ones and then zeros. */
static void fill(const nib_value_info *info, nib_tensor *t, size_t width, int64_t count, uint64_t *state) {
    int64_t row = t->rank > 0 && t->dims[t->rank - 1] > 0 ? t->dims[t->rank - 1] : 1, ones = row;
    char *to = t->data;
    for (int64_t i = 0; i < count; i++, to += width) {
        uint64_t r = next(state);
        int64_t below = info->below > 0 ? info->below : 2, at = i % row;
        if (at == 0) ones = i == 0 ? row : 1 + (int64_t)(r % (uint64_t)row); /* one text is as long as all of them may be */
        if (info->role == NIB_ROLE_MASK) store_whole(to, t->dtype, width, at < ones);
        else if (info->role == NIB_ROLE_POSITIONS) store_whole(to, t->dtype, width, at < below || info->below == 0 ? at : below - 1);
        else if (info->role == NIB_ROLE_TYPES) store_whole(to, t->dtype, width, 0);
        else if (info->role == NIB_ROLE_IDS || info->below > 0) store_whole(to, t->dtype, width, (int64_t)(r % (uint64_t)below));
        else store(to, t->dtype, width, (int64_t)(r % 2), (int)(r % 15) - 7);
    }
}

static int bind_random(nib_session *s, size_t i, const nib_value_info *info, uint64_t *state) {
    static const nib_string words[] = {{"", 0}, {"a", 1}, {"nib", 3}, {"writes", 6}};
    const char *name = nib_session_input_name(s, i);
    int bits = nib_dtype_bits(info->dtype);
    size_t width = info->dtype == NIB_DTYPE_STRING ? sizeof(nib_string) : (size_t)(bits == 128 || bits == 64 ? 8 : bits / 8);
    int64_t count = 1, parts = 1;
    if (info->rank < 0 || (width == 0 && bits == 0))
        return fprintf(stderr, "nib: input %s: %s; give it with --input\n", name,
                       info->dtype >= NIB_DTYPE_SEQUENCE ? "containers are not made at random"
                                                         : "the model does not say its shape: --shape, or"),
               2;
    nib_tensor tensor = {.dtype = info->dtype, .rank = info->rank};
    for (int k = 0; k < info->rank; k++) {
        tensor.dims[k] = info->dims[k];
        if (info->dims[k] && count > MOST_BYTES / info->dims[k]) return fprintf(stderr, "nib: input %s: its shape is too large\n", name), 2;
        count *= info->dims[k];
    }
    if (info->dtype == NIB_DTYPE_C64) width = 4, parts = 2;
    if (info->dtype == NIB_DTYPE_C128) parts = 2;
    tensor.bytes = width ? (size_t)(count * parts) * width : (size_t)(count * bits + 7) / 8;
    tensor.data = calloc(tensor.bytes + 16, 1);
    if (!tensor.data) return cli_no_memory();
    if (info->dtype == NIB_DTYPE_STRING)
        for (int64_t k = 0; k < count; k++) ((nib_string *)tensor.data)[k] = words[next(state) % 4];
    else if (width) fill(info, &tensor, width, count * parts, state);
    else
        for (size_t k = 0; k < tensor.bytes; k++) ((unsigned char *)tensor.data)[k] = (unsigned char)next(state);
    return bind(s, i, &tensor, free, tensor.data);
}

/* Every NAME must be an input's. */
static int check_names(const cli_list *p, const nib_session *s, const char *option) {
    for (size_t k = 0; k < p->count; k++) {
        size_t i = 0, n = nib_session_input_count(s);
        while (i < n && !value_of(p->items[k], nib_session_input_name(s, i))) i++;
        if (i < n && find_pair(p, nib_session_input_name(s, i)) == value_of(p->items[k], nib_session_input_name(s, i))) continue;
        if (i < n) return fprintf(stderr, "nib: %s %s: this input was given twice\n", option, p->items[k]), 2;
        fprintf(stderr, "nib: %s %s: the model has no such input; it has", option, p->items[k]);
        for (i = 0; i < n; i++) fprintf(stderr, "%s %s", i ? "," : "", nib_session_input_name(s, i));
        fputs(n ? "\n" : " none\n", stderr);
        return 2;
    }
    return 0;
}

int cli_tensors_bind(const cli_tensors *t, nib_session *s) {
    size_t n = nib_session_input_count(s);
    nib_value_info *all = calloc(n + 1, sizeof *all);
    uint64_t state = t->seed;
    int code = all ? 0 : cli_no_memory();
    if (code == 0) code = check_names(&t->files, s, "--input");
    if (code == 0) code = check_names(&t->shapes, s, "--shape");
    for (size_t i = 0; i < n && code == 0; i++) nib_session_input_info(s, i, &all[i], sizeof all[i]);
    for (size_t i = 0; i < n && code == 0; i++) { /* shapes of files are known before any are made up */
        const char *file = find_pair(&t->files, nib_session_input_name(s, i));
        if (file) code = bind_file(s, i, file, &all[i]);
    }
    if (code == 0) code = find_shapes(t, s, all, n);
    for (size_t i = 0; i < n && code == 0; i++) {
        const char *name = nib_session_input_name(s, i);
        if (find_pair(&t->files, name) || (all[i].optional && !find_pair(&t->shapes, name))) continue;
        const bool zeros = all[i].role == NIB_ROLE_TYPES; /* segments that nobody gives are 0 in transformers, too */
        if (!t->random && !zeros) code = cli_usage(&cli_run, "input %s is missing: --input %s=FILE, or --random", name, name);
        else code = bind_random(s, i, &all[i], &state);
    }
    free(all);
    return code;
}

int cli_tensors_suite(nib_session *s, const char *folder) {
    char path[4300];
    nib_value_info info;
    size_t n = nib_session_input_count(s);
    int code = 0;
    for (size_t i = 0; i < n && code == 0; i++) {
        snprintf(path, sizeof path, "%s/input_%zu.npy", folder, i);
        if (access(path, F_OK) != 0) snprintf(path, sizeof path, "%s/input_%zu.pb", folder, i);
        nib_session_input_info(s, i, &info, sizeof info);
        if (info.optional && access(path, F_OK) != 0) continue;
        code = bind_file(s, i, path, &info);
    }
    return code;
}

/* A letter, a digit, '-', '_', or '.' but not in front, stays; anything else is '_'. */
static char plain(const char *p, bool first) {
    bool stays = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-' || (*p == '.' && !first);
    return stays ? *p : '_';
}

static bool same_file(const char *a, const char *b) {
    size_t i = 0;
    for (; a[i] && b[i]; i++)
        if (plain(a + i, i == 0) != plain(b + i, i == 0)) return false;
    return a[i] == b[i];
}

bool cli_tensors_path(char *path, size_t room, const char *folder, const nib_session *s, size_t output, const char *kind) {
    const char *name = nib_session_output_name(s, output);
    size_t n = (size_t)snprintf(path, room, "%s/", folder);
    if (n + strlen(name) + 40 >= room || strlen(name) > 200) {
        fprintf(stderr, "nib: output %.40s...: its name is too long for a file\n", name);
        return false;
    }
    for (const char *p = name; *p; p++, n++) path[n] = plain(p, p == name);
    path[n] = 0;
    for (size_t i = 0; i < output; i++)
        if (same_file(name, nib_session_output_name(s, i))) {
            n += (size_t)snprintf(path + n, room - n, ".%zu", output);
            break;
        }
    snprintf(path + n, room - n, "%s.%s", *name ? "" : "_", kind);
    return true;
}

nib_tensor_format cli_tensors_format(nib_dtype d) {
    bool npy = d != NIB_DTYPE_STRING && d >= NIB_DTYPE_F32 && d <= NIB_DTYPE_C128;
    return npy ? NIB_TENSOR_FORMAT_NPY : NIB_TENSOR_FORMAT_PB;
}

int cli_tensors_folder(const char *path) {
    struct stat st;
    if (mkdir(path, 0777) == 0) return 0;
    int e = errno;
    if (e == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return 0;
    fprintf(stderr, "nib: %s: %s\n", path, e == EEXIST ? "is not a folder" : strerror(e));
    return 1;
}
