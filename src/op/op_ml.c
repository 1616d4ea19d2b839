/* SPDX-License-Identifier: Apache-2.0
 *
 * Of ai.onnx.ml, https://onnx.ai/onnx/operators/#ai-onnx-ml: ArrayFeatureExtractor Binarizer CategoryMapper LabelEncoder
 * TreeEnsemble;
 * what works on maps (CastMap DictVectorizer ZipMap) is refused: nib has no maps.
 */
#include "op_ml.h"

/* ---- ArrayFeatureExtractor: columns of the last axis */

static nib_status eval_extract(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *which = op_arg(c, 1);
    op_dims dims = op_dims_of(x);
    char *y;
    if (x->rank < 1 || which->dtype != NIB_DTYPE_I64) return op_bad(c, NIB_SHAPE, "input of rank %d", x->rank);
    int64_t n = op_count(which->rank, which->dims), width = x->dims[x->rank - 1], rows = op_count(x->rank - 1, x->dims);
    size_t size = op_size(x->dtype);
    dims.d[dims.rank - 1] = n;
    if (x->rank == 1) dims = (op_dims){2, {1, n}};
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    for (int64_t k = 0; k < n; k++)
        if (op_index(which, k) < 0 || op_index(which, k) >= width)
            return op_bad(c, NIB_SHAPE, "column %lld of %lld", (long long)op_index(which, k), (long long)width);
    for (int64_t r = 0; y && r < rows; r++)
        for (int64_t k = 0; k < n; k++)
            memcpy(y + (size_t)(r * n + k) * size, (const char *)x->data + (size_t)(r * width + op_index(which, k)) * size, size);
    return NIB_OK;
}

static nib_status infer_extract(op_infer *c) { return op_set(c, 0, op_in_type(c, 0)->dtype, -1, NULL); }

/* ---- Binarizer */

static nib_status eval_binarize(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    float threshold = graph_attr_float(c->node, "threshold", 0);
    double *v;
    void *y;
    OP_TRY(op_reals(c, x, &v));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    int64_t n = op_count(dims.rank, dims.d);
    for (int64_t i = 0; y && i < n; i++) op_put(x->dtype, y, i, v[i] > threshold);
    return NIB_OK;
}

/* ---- LabelEncoder: a list of keys and one of values, each a tensor or a list attribute */

/* `c` NULL: its type alone is of interest. */
static nib_status list_of(op_eval *c, const graph_node *n, const char *what, graph_tensor *out) {
    static const struct {
        const char *ending;
        graph_attr_kind kind;
        nib_dtype dtype;
    } forms[] = {{"strings", GRAPH_ATTR_STRINGS, NIB_DTYPE_STRING},
                 {"int64s", GRAPH_ATTR_INTS, NIB_DTYPE_I64},
                 {"floats", GRAPH_ATTR_FLOATS, NIB_DTYPE_F32}};
    char name[40];
    graph_tensor t = {.rank = 1};
    const graph_tensor *tensor = NULL;
    strcpy(name, what);
    strcat(name, "_tensor");
    const graph_attr *a = graph_find_attr(n, name);
    if (c) OP_TRY(op_attr_tensor(c, name, &tensor));
    else if (a && a->kind == GRAPH_ATTR_TENSOR) tensor = a->u.tensor;
    if (tensor) return *out = *tensor, NIB_OK;
    for (size_t i = 0; i < BASE_COUNT(forms); i++) {
        strcpy(name, what);
        strcat(name, "_");
        strcat(name, forms[i].ending);
        a = graph_find_attr(n, name);
        if (!a || a->kind != forms[i].kind) continue;
        t.dtype = forms[i].dtype;
        t.dims[0] = (int64_t)a->count;
        t.data = (void *)(uintptr_t)(t.dtype == NIB_DTYPE_STRING ? (const void *)a->u.strings
                                     : t.dtype == NIB_DTYPE_I64  ? (const void *)a->u.ints
                                                                 : a->u.floats);
        t.bytes = graph_type_bytes(t.dtype, a->count);
    }
    *out = t;
    return NIB_OK;
}

static bool same_key(const graph_tensor *keys, int64_t k, const graph_tensor *x, int64_t i) {
    if (x->dtype == NIB_DTYPE_STRING) {
        graph_string a = ((const graph_string *)keys->data)[k], b = ((const graph_string *)x->data)[i];
        return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
    }
    double a = op_number(keys, k), b = op_number(x, i);
    return a == b || (a != a && b != b);
}

/* What stands for a key that is not listed: one element of the values' type. */
typedef struct otherwise {
    graph_string s;
    int64_t i;
    float f;
} otherwise;

static const void *default_of(const graph_node *n, const graph_tensor *values, otherwise *room) {
    const graph_attr *a = graph_find_attr(n, "default_tensor"), *s = graph_find_attr(n, "default_string");
    if (a && a->kind == GRAPH_ATTR_TENSOR && a->u.tensor->dtype == values->dtype && graph_tensor_elements(a->u.tensor) == 1)
        return a->u.tensor->data;
    room->s = s && s->kind == GRAPH_ATTR_STRING ? s->u.s : (graph_string){"_Unused", 7};
    room->i = graph_attr_int(n, "default_int64", -1);
    room->f = graph_attr_float(n, "default_float", -0.0f);
    return values->dtype == NIB_DTYPE_STRING ? (const void *)&room->s
           : values->dtype == NIB_DTYPE_I64  ? (const void *)&room->i
           : values->dtype == NIB_DTYPE_F32  ? &room->f
                                             : NULL;
}

static nib_status eval_label(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    graph_tensor keys, values;
    otherwise room;
    op_dims dims = op_dims_of(x);
    char *y;
    OP_TRY(list_of(c, c->node, "keys", &keys));
    OP_TRY(list_of(c, c->node, "values", &values));
    int64_t n = op_count(x->rank, x->dims), count = graph_tensor_elements(&keys);
    if (keys.dtype != x->dtype || values.dtype == NIB_DTYPE_UNDEFINED) return op_bad(c, NIB_TYPE, "keys are not of the input's type");
    if (graph_tensor_elements(&values) != count) return op_bad(c, NIB_BAD_MODEL, "keys and values differ in number");
    const void *missing = default_of(c->node, &values, &room);
    size_t size = op_size(values.dtype);
    if (!missing) return op_bad(c, NIB_UNSUPPORTED, "values of type %s without a default", nib_dtype_name(values.dtype));
    OP_TRY(op_out(c, 0, values.dtype, &dims, &y));
    for (int64_t i = 0; y && i < n; i++) {
        int64_t k = count; /* the last of equal keys holds */
        OP_TRY(op_spend(c, count, 1));
        while (k > 0 && !same_key(&keys, k - 1, x, i)) k--;
        memcpy(y + (size_t)i * size, k > 0 ? (const char *)values.data + (size_t)(k - 1) * size : missing, size);
    }
    return NIB_OK;
}

static nib_status infer_label(op_infer *c) {
    graph_tensor values;
    OP_TRY(list_of(NULL, c->node, "values", &values));
    return op_set_like(c, 0, values.dtype, op_in_type(c, 0));
}

/* ---- CategoryMapper, and LabelEncoder before version 2: words to numbers or back, both of one place in two lists */

static nib_status map_words(op_eval *c, const graph_attr *words, const int64_t *numbers) {
    const graph_tensor *x = op_arg(c, 0);
    const graph_attr *a = graph_find_attr(c->node, "default_string");
    graph_string unknown = a && a->kind == GRAPH_ATTR_STRING ? a->u.s : (graph_string){"_Unused", 7};
    int64_t number = graph_attr_int(c->node, "default_int64", -1), n = op_count(x->rank, x->dims);
    bool text = x->dtype == NIB_DTYPE_STRING;
    op_dims dims = op_dims_of(x);
    void *y;
    if (!text && x->dtype != NIB_DTYPE_I64) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    OP_TRY(op_out(c, 0, text ? NIB_DTYPE_I64 : NIB_DTYPE_STRING, &dims, &y));
    for (int64_t i = 0; y && i < n; i++) {
        size_t k = 0;
        OP_TRY(op_spend(c, (int64_t)words->count, 1));
        for (; k < words->count; k++) {
            graph_string w = words->u.strings[k];
            if (text ? w.length == ((const graph_string *)x->data)[i].length &&
                           (w.length == 0 || memcmp(w.data, ((const graph_string *)x->data)[i].data, w.length) == 0)
                     : op_index(x, i) == (numbers ? numbers[k] : (int64_t)k))
                break;
        }
        bool found = k < words->count;
        if (text) ((int64_t *)y)[i] = !found ? number : numbers ? numbers[k] : (int64_t)k;
        else ((graph_string *)y)[i] = found ? words->u.strings[k] : unknown;
    }
    return NIB_OK;
}

static nib_status eval_category(op_eval *c) {
    const graph_attr *words = graph_find_attr(c->node, "cats_strings");
    const int64_t *numbers;
    if (!words || words->kind != GRAPH_ATTR_STRINGS || graph_attr_ints(c->node, "cats_int64s", &numbers) != (int64_t)words->count)
        return op_bad(c, NIB_BAD_MODEL, "categories are not two lists of one length");
    return map_words(c, words, numbers);
}

static nib_status eval_label_old(op_eval *c) {
    const graph_attr *words = graph_find_attr(c->node, "classes_strings");
    if (!words || words->kind != GRAPH_ATTR_STRINGS) return op_bad(c, NIB_BAD_MODEL, "classes_strings are missing");
    return map_words(c, words, NULL);
}

static nib_status infer_words(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    nib_dtype dtype = x->dtype == NIB_DTYPE_STRING ? NIB_DTYPE_I64 : x->dtype == NIB_DTYPE_I64 ? NIB_DTYPE_STRING : NIB_DTYPE_UNDEFINED;
    return op_set_like(c, 0, dtype, x);
}

/* ---- scores */

void op_ml_transform(double *v, int64_t n, int64_t how) {
    double most = -INFINITY, sum = 0;
    for (int64_t k = 0; how == OP_ML_LOGISTIC && k < n; k++) v[k] = 1 / (1 + exp(-v[k]));
    if (how != OP_ML_SOFTMAX && how != OP_ML_SOFTMAX_ZERO) return;
    for (int64_t k = 0; k < n; k++) most = fmax(most, v[k]);
    for (int64_t k = 0; k < n; k++) sum += how == OP_ML_SOFTMAX_ZERO && v[k] == 0 ? 0 : exp(v[k] - most);
    for (int64_t k = 0; k < n; k++) v[k] = how == OP_ML_SOFTMAX_ZERO && v[k] == 0 ? 0 : exp(v[k] - most) / sum;
}

/* ---- maps */

static nib_status eval_map(op_eval *c) { return op_bad(c, NIB_UNSUPPORTED, "maps"); }
static nib_status infer_map(op_infer *c) { return op_fail(c, NIB_UNSUPPORTED, "maps"); }

const op op_family_ml[] = {
    {"ArrayFeatureExtractor", "ai.onnx.ml", 1, 2, 2, 1, OP_ROWS_MIXED, infer_extract, eval_extract, NULL},
    {"Binarizer", "ai.onnx.ml", 1, 1, 1, 1, OP_ROWS_ELEMENT, op_infer_same, eval_binarize, NULL},
    {"CastMap", "ai.onnx.ml", 1, 1, 1, 1, OP_ROWS_MIXED, infer_map, eval_map, NULL},
    {"CategoryMapper", "ai.onnx.ml", 1, 1, 1, 1, OP_ROWS_ELEMENT, infer_words, eval_category, NULL},
    {"DictVectorizer", "ai.onnx.ml", 1, 1, 1, 1, OP_ROWS_MIXED, infer_map, eval_map, NULL},
    {"LabelEncoder", "ai.onnx.ml", 1, 1, 1, 1, OP_ROWS_ELEMENT, infer_words, eval_label_old, NULL},
    {"LabelEncoder", "ai.onnx.ml", 2, 1, 1, 1, OP_ROWS_ELEMENT, infer_label, eval_label, NULL},
    {"ZipMap", "ai.onnx.ml", 1, 1, 1, 1, OP_ROWS_MIXED, infer_map, eval_map, NULL},
    {0},
};
