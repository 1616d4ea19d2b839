/* SPDX-License-Identifier: Apache-2.0
 *
 * Strings, https://onnx.ai/onnx/operators/: StringConcat StringSplit StringNormalizer RegexFullMatch TfIdfVectorizer, and
 * ai.onnx.ml's LabelEncoder. Strings are bytes of UTF-8 with a length. Outputs may point to inputs and scratch: op_eval_node
 * copies the bytes.
 */
#include "op_local.h"
#include "base/base_regex.h"

static nib_status strings_in(op_eval *c, int i, const graph_string **out) {
    const graph_tensor *x = op_arg(c, i);
    *out = NULL;
    if (x->dtype != NIB_DTYPE_STRING) return op_bad(c, NIB_TYPE, "input %d is %s, not strings", i, nib_dtype_name(x->dtype));
    *out = x->data;
    return NIB_OK;
}

static bool equal(graph_string a, graph_string b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* ---- StringConcat */

static nib_status eval_concat(op_eval *c) {
    const graph_string *in[2];
    const graph_tensor *x[2] = {op_arg(c, 0), op_arg(c, 1)};
    op_dims dims;
    graph_string *y;
    int64_t strides[2][GRAPH_MAX_RANK];
    for (int j = 0; j < 2; j++) OP_TRY(strings_in(c, j, &in[j]));
    OP_TRY(op_broadcast_dims(c, 2, c->in, &dims));
    OP_TRY(op_out(c, 0, NIB_DTYPE_STRING, &dims, &y));
    for (int j = 0; j < 2; j++) op_broadcast_strides(x[j], &dims, strides[j]);
    int64_t n = op_count(dims.rank, dims.d);
    for (int64_t i = 0; y && i < n; i++) {
        graph_string part[2];
        for (int j = 0; j < 2; j++) {
            int64_t at = 0, rest = i;
            for (int k = dims.rank - 1; k >= 0; k--) at += rest % dims.d[k] * strides[j][k], rest /= dims.d[k];
            part[j] = in[j][at];
        }
        char *text;
        size_t length;
        if (!base_add_size(part[0].length, part[1].length, &length)) return op_bad(c, NIB_LIMIT, "a string is too long");
        OP_TRY(op_text(c, length, &text));
        if (part[0].length) memcpy(text, part[0].data, part[0].length);
        if (part[1].length) memcpy(text + part[0].length, part[1].data, part[1].length);
        y[i] = (graph_string){text, length};
    }
    return NIB_OK;
}

static nib_status infer_concat(op_infer *c) { return op_infer_broadcast_as(c, 0, 2, NIB_DTYPE_STRING); }

/* ---- StringSplit */

static bool is_space(char ch) { return ch == ' ' || (ch >= '\t' && ch <= '\r'); }

/* The next part of s from *at, or false. At white space if the delimiter is empty: runs of it count as one. */
static bool next_part(graph_string s, graph_string delimiter, int64_t left, size_t *at, bool *more, graph_string *out) {
    if (delimiter.length == 0) {
        while (*at < s.length && is_space(s.data[*at])) ++*at;
        if (*at >= s.length) return false;
        size_t end = *at;
        while (end < s.length && (left == 0 || !is_space(s.data[end]))) end++;
        *out = (graph_string){s.data + *at, end - *at};
        *at = end;
        return true;
    }
    if (!*more) return false;
    size_t end = *at;
    bool found = false;
    while (left != 0 && !found && s.length >= delimiter.length && end <= s.length - delimiter.length) {
        found = memcmp(s.data + end, delimiter.data, delimiter.length) == 0;
        end += !found;
    }
    if (!found) end = s.length;
    *out = (graph_string){s.length ? s.data + *at : "", end - *at};
    *at = end + delimiter.length;
    *more = found;
    return true;
}

static nib_status eval_split(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    const graph_attr *d = graph_find_attr(c->node, "delimiter");
    graph_string delimiter = d && d->kind == GRAPH_ATTR_STRING ? d->u.s : (graph_string){"", 0}, *y = NULL;
    int64_t limit = graph_attr_int(c->node, "maxsplit", -1), most = 0, *counts, n = op_count(x->rank, x->dims);
    const graph_string *in;
    op_dims dims = op_dims_of(x);
    if (limit < 0) limit = -1;
    OP_TRY(strings_in(c, 0, &in));
    if (x->rank + 1 > GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "rank %d", x->rank + 1);
    OP_TRY(op_scratch(c, n, sizeof *counts, &counts));
    for (int pass = 0; pass < 2; pass++) { /* count, then fill */
        for (int64_t i = 0; i < n; i++) {
            size_t at = 0;
            bool more = true;
            graph_string part;
            counts[i] = 0;
            while (next_part(in[i], delimiter, limit < 0 ? -1 : limit - counts[i], &at, &more, &part)) {
                if (y) y[i * most + counts[i]] = part;
                counts[i]++;
            }
            if (counts[i] > most) most = counts[i];
        }
        if (pass > 0) break;
        dims.d[dims.rank++] = most;
        OP_TRY(op_out(c, 0, NIB_DTYPE_STRING, &dims, &y));
        if (!y) break;
    }
    int64_t *told;
    dims.rank--;
    OP_TRY(op_out(c, 1, NIB_DTYPE_I64, &dims, &told));
    if (told && n > 0) memcpy(told, counts, sizeof *told * (size_t)n);
    return NIB_OK;
}

static nib_status infer_split(op_infer *c) {
    graph_type t = *op_in_type(c, 0);
    if (t.rank >= GRAPH_MAX_RANK) return op_fail(c, NIB_LIMIT, "rank %d", t.rank + 1);
    OP_TRY(op_set_like(c, 1, NIB_DTYPE_I64, &t));
    if (t.rank >= 0) t.dims[t.rank++] = NULL;
    return op_set_like(c, 0, NIB_DTYPE_STRING, &t);
}

/* ---- StringNormalizer */

/* Case of letters in Latin (ASCII, Latin-1, Extended-A), Greek and Cyrillic; others stay as they are. */
static uint32_t change_case(uint32_t u, bool upper) {
    static const struct {
        uint32_t first, last; /* upper case */
        int32_t step;         /* to lower case; 1: pairs, upper case at the parity of `first` */
    } ranges[] = {{'A', 'Z', 32},     {0xc0, 0xd6, 32},   {0xd8, 0xde, 32},  {0x100, 0x12e, 1},  {0x132, 0x136, 1},
                  {0x139, 0x147, 1},  {0x14a, 0x176, 1},  {0x179, 0x17d, 1}, {0x391, 0x3a1, 32}, {0x3a3, 0x3ab, 32},
                  {0x400, 0x40f, 80}, {0x410, 0x42f, 32}, {0x460, 0x480, 1}, {0x48a, 0x4be, 1}};
    for (size_t i = 0; i < BASE_COUNT(ranges); i++) {
        uint32_t from = ranges[i].first, to = ranges[i].last, shift = upper ? (uint32_t)ranges[i].step : 0;
        if (u < from + shift || u > to + shift) continue;
        bool pair = ranges[i].step == 1;
        if (pair && (u - from) % 2 != shift) continue;
        return upper ? u - (uint32_t)ranges[i].step : u + (uint32_t)ranges[i].step;
    }
    return u;
}

static nib_status cased(op_eval *c, graph_string s, bool upper, graph_string *out) {
    char *text;
    size_t used = 0;
    OP_TRY(op_text(c, s.length, &text));
    for (size_t i = 0; i < s.length;) {
        unsigned char b = (unsigned char)s.data[i];
        if (b >= 0xc2 && b < 0xe0 && i + 1 < s.length) { /* two bytes: everything with a case that is changed here */
            uint32_t u = change_case((uint32_t)(b & 31) << 6 | ((unsigned char)s.data[i + 1] & 63), upper);
            text[used++] = (char)(0xc0 | u >> 6);
            text[used++] = (char)(0x80 | (u & 63));
            i += 2;
        } else {
            text[used++] = b < 128 ? (char)change_case(b, upper) : s.data[i];
            i++;
        }
    }
    *out = (graph_string){text, used};
    return NIB_OK;
}

static nib_status eval_normalizer(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    const graph_attr *stop = graph_find_attr(c->node, "stopwords");
    const char *action = graph_attr_string(c->node, "case_change_action", "NONE");
    bool exact = graph_attr_int(c->node, "is_case_sensitive", 0) != 0, change = strcmp(action, "NONE") != 0;
    size_t n_stop = stop && stop->kind == GRAPH_ATTR_STRINGS ? stop->count : 0;
    const graph_string *in;
    graph_string *kept, *stops, *y;
    int64_t n = op_count(x->rank, x->dims), count = 0;
    OP_TRY(strings_in(c, 0, &in));
    if (x->rank < 1 || x->rank > 2 || (x->rank == 2 && x->dims[0] != 1)) return op_bad(c, NIB_SHAPE, "input is neither [C] nor [1, C]");
    OP_TRY(op_scratch(c, n + 1, sizeof *kept, &kept));
    OP_TRY(op_scratch(c, (int64_t)n_stop + 1, sizeof *stops, &stops));
    for (size_t k = 0; k < n_stop; k++) {
        stops[k] = stop->u.strings[k];
        if (!exact) OP_TRY(cased(c, stops[k], false, &stops[k]));
    }
    for (int64_t i = 0; i < n; i++) {
        graph_string key = in[i];
        bool drop = false;
        if (!exact && n_stop) OP_TRY(cased(c, key, false, &key));
        OP_TRY(op_spend(c, (int64_t)n_stop, 1));
        for (size_t k = 0; k < n_stop && !drop; k++) drop = equal(key, stops[k]);
        if (drop) continue;
        kept[count] = in[i];
        if (change) OP_TRY(cased(c, in[i], action[0] == 'U', &kept[count]));
        count++;
    }
    if (count == 0) kept[count++] = (graph_string){"", 0};
    op_dims dims = {x->rank, {count}};
    if (x->rank == 2) dims = (op_dims){2, {1, count}};
    OP_TRY(op_out(c, 0, NIB_DTYPE_STRING, &dims, &y));
    if (y) memcpy(y, kept, sizeof *y * (size_t)count);
    return NIB_OK;
}

static nib_status infer_normalizer(op_infer *c) { return op_set(c, 0, NIB_DTYPE_STRING, op_in_type(c, 0)->rank, NULL); }

/* ---- RegexFullMatch */

static nib_status regex_take(void *user, size_t bytes, void **out) { return op_scratch(user, (int64_t)bytes, 1, out); }

static nib_status regex_spend(void *user, int64_t steps) { return op_spend(user, steps, 16); }

/* A pattern in the eval's scratch; what op_scratch refuses has its message already. */
static nib_status make_regex(op_eval *c, const base_regex_host *host, graph_string pattern, base_regex **out, void **scratch) {
    nib_error err = {0};
    nib_status status = base_regex_make(host, BASE_REGEX_RE2, pattern.data, pattern.length, out, &err);
    if (status != NIB_OK) return err.message[0] ? op_bad(c, status, "%s", err.message) : status;
    OP_TRY(op_scratch(c, (int64_t)base_regex_scratch(*out), 1, scratch));
    memset(*scratch, 0, base_regex_scratch(*out));
    return NIB_OK;
}

static nib_status eval_regex(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    const graph_attr *pattern = graph_find_attr(c->node, "pattern");
    const graph_string *in;
    op_dims dims = op_dims_of(x);
    const base_regex_host host = {c, regex_take, regex_spend};
    base_regex *regex;
    void *scratch;
    uint8_t *y;
    OP_TRY(strings_in(c, 0, &in));
    if (!pattern || pattern->kind != GRAPH_ATTR_STRING) return op_bad(c, NIB_BAD_MODEL, "attribute `pattern` is missing");
    OP_TRY(make_regex(c, &host, pattern->u.s, &regex, &scratch));
    OP_TRY(op_out(c, 0, NIB_DTYPE_BOOL, &dims, &y));
    int64_t n = op_count(x->rank, x->dims);
    for (int64_t i = 0; y && i < n; i++) {
        bool matched;
        OP_TRY(base_regex_full_match(regex, scratch, &host, in[i].data, in[i].length, &matched));
        y[i] = matched;
    }
    return NIB_OK;
}

static nib_status infer_regex(op_infer *c) { return op_set_like(c, 0, NIB_DTYPE_BOOL, op_in_type(c, 0)); }

/* ---- TfIdfVectorizer */

typedef struct grams {
    const graph_string *strings; /* of the pool; NULL: numbers */
    const int64_t *numbers;
    const graph_tensor *x;
} grams;

static bool gram_is(const grams *g, int64_t pool, int64_t at) {
    if (g->strings) return equal(g->strings[pool], ((const graph_string *)g->x->data)[at]);
    return g->numbers[pool] == op_index(g->x, at);
}

/* How often the n items of the pool at `pool` stand in the row of `width` items at `row`, `step` apart. */
static int64_t count_gram(const grams *g, int64_t pool, int64_t n, int64_t row, int64_t width, int64_t step) {
    int64_t found = 0;
    for (int64_t i = 0; i + (n - 1) * step < width; i++) {
        int64_t k = 0;
        while (k < n && gram_is(g, pool + k, row + i + k * step)) k++;
        found += k == n;
    }
    return found;
}

static nib_status eval_tf_idf(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    const graph_node *node = c->node;
    const graph_attr *strings = graph_find_attr(node, "pool_strings"), *weights = graph_find_attr(node, "weights");
    const char *mode = graph_attr_string(node, "mode", "");
    int64_t least = graph_attr_int(node, "min_gram_length", 1), most = graph_attr_int(node, "max_gram_length", 1),
            skips = graph_attr_int(node, "max_skip_count", 0);
    const int64_t *starts, *indexes;
    int64_t n_starts = graph_attr_ints(node, "ngram_counts", &starts), n_indexes = graph_attr_ints(node, "ngram_indexes", &indexes);
    grams g = {.x = x, .strings = strings && strings->kind == GRAPH_ATTR_STRINGS ? strings->u.strings : NULL};
    int64_t items = g.strings ? (int64_t)strings->count : graph_attr_ints(node, "pool_int64s", &g.numbers), size = 0;
    bool strings_fit = g.strings ? x->dtype == NIB_DTYPE_STRING : x->dtype == NIB_DTYPE_I64 || x->dtype == NIB_DTYPE_I32;
    if (items < 0 || n_starts < 0 || n_indexes < 1 || skips < 0) return op_bad(c, NIB_BAD_MODEL, "an attribute is missing");
    if (!strings_fit || x->rank < 1 || x->rank > 2)
        return op_bad(c, NIB_TYPE, "input of type %s and rank %d", nib_dtype_name(x->dtype), x->rank);
    for (int64_t i = 0; i < n_indexes; i++) {
        if (indexes[i] < 0 || indexes[i] >= INT32_MAX) return op_bad(c, NIB_BAD_MODEL, "an index is out of range");
        if (indexes[i] >= size) size = indexes[i] + 1;
    }
    int64_t rows = x->rank == 2 ? x->dims[0] : 1, width = x->dims[x->rank - 1];
    op_dims dims = {x->rank, {rows, size}};
    if (x->rank == 1) dims.d[0] = size;
    float *y;
    OP_TRY(op_out(c, 0, NIB_DTYPE_F32, &dims, &y));
    if (!y) return NIB_OK;
    memset(y, 0, sizeof *y * (size_t)(rows * size));
    for (int64_t row = 0; row < rows; row++)
        for (int64_t n = 1, id = 0; n <= n_starts; n++) {
            int64_t begin = starts[n - 1], end = n < n_starts ? starts[n] : items;
            if (begin < 0 || end > items || begin > end) return op_bad(c, NIB_BAD_MODEL, "the starts of the n-grams are out of range");
            for (int64_t at = begin; at + n <= end; at += n, id++) {
                if (n < least || n > most) continue;
                if (id >= n_indexes) return op_bad(c, NIB_BAD_MODEL, "more n-grams than indexes");
                int64_t found = 0;
                OP_TRY(op_spend(c, skips < width ? skips + 1 : width, width));
                for (int64_t skip = 0; skip <= (n == 1 ? 0 : skips) && (n - 1) * (skip + 1) < width; skip++)
                    found += count_gram(&g, at, n, row * width, width, skip + 1);
                float weight = weights && weights->kind == GRAPH_ATTR_FLOATS && (size_t)id < weights->count ? weights->u.floats[id] : 1;
                float v = strcmp(mode, "TF") == 0    ? (float)found
                          : strcmp(mode, "IDF") == 0 ? (found > 0 ? weight : 0)
                                                     : (float)found * weight;
                y[row * size + indexes[id]] += v;
            }
        }
    return NIB_OK;
}

static nib_status infer_tf_idf(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    const int64_t *indexes;
    int64_t n = graph_attr_ints(c->node, "ngram_indexes", &indexes), size = 0;
    for (int64_t i = 0; i < n; i++)
        if (indexes[i] >= size && indexes[i] < INT32_MAX) size = indexes[i] + 1;
    graph_dim dims[2] = {x->rank == 2 ? x->dims[0] : op_const(c, size), op_const(c, size)};
    return op_set(c, 0, NIB_DTYPE_F32, x->rank == 1 || x->rank == 2 ? x->rank : -1, dims);
}

const op op_family_string[] = {
    {"RegexFullMatch", "", 20, 1, 1, 1, OP_ROWS_ELEMENT, infer_regex, eval_regex, NULL},
    {"StringConcat", "", 20, 2, 2, 1, OP_ROWS_ELEMENT, infer_concat, eval_concat, NULL},
    {"StringNormalizer", "", 10, 1, 1, 1, OP_ROWS_MIXED, infer_normalizer, eval_normalizer, NULL},
    {"StringSplit", "", 20, 1, 1, 2, OP_ROWS_MIXED, infer_split, eval_split, NULL},
    {"TfIdfVectorizer", "", 9, 1, 1, 1, OP_ROWS_MIXED, infer_tf_idf, eval_tf_idf, NULL},
    {0},
};
