/* SPDX-License-Identifier: Apache-2.0
 *
 * See hf_torch.h. In: a file of torch.save, not trusted. Out: tensors, or why not and where.
 */
#include "hf_torch.h"
#include "base/base_zip.h"
#include <stdio.h>
#include <string.h>

#define MEMBERS 4096 /* of the zip: a storage each, and a few more */
#define PICKLE_MOST (256 << 10)
#define STACK_MOST 4096
#define MEMO_MOST 65536
#define NAME_MOST 256 /* characters of a key or a path */

/* ---- values */

typedef enum kind { NOTHING, MARK, BOOL, WHOLE, TEXT, TUPLE, DICT, GLOBAL, STORAGE, TENSOR } kind;

typedef struct value {
    kind kind;
    int64_t number; /* BOOL, WHOLE; GLOBAL: a row of globals; STORAGE: elements */
    const char *text;
    size_t length;        /* TEXT; TUPLE: items */
    struct value **items; /* TUPLE */
    struct entry *first;  /* DICT, in order; others than tensors are not kept */
    nib_dtype dtype;      /* STORAGE */
    const graph_tensor *tensor;
    const uint8_t *data; /* STORAGE */
} value;

typedef struct entry {
    const char *name;
    const graph_tensor *tensor;
    struct entry *next;
} entry;

enum { ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER, STORAGES };

/* All names that a pickle may have. */
static const struct {
    const char *module, *name;
    nib_dtype dtype; /* of a storage */
} globals[] = {
    {"collections", "OrderedDict", NIB_DTYPE_UNDEFINED},
    {"torch._utils", "_rebuild_tensor_v2", NIB_DTYPE_UNDEFINED},
    {"torch._utils", "_rebuild_parameter", NIB_DTYPE_UNDEFINED},
    {"torch", "FloatStorage", NIB_DTYPE_F32},
    {"torch", "HalfStorage", NIB_DTYPE_F16},
    {"torch", "BFloat16Storage", NIB_DTYPE_BF16},
    {"torch", "DoubleStorage", NIB_DTYPE_F64},
};

typedef struct machine {
    base_arena *arena;
    const base_zip *zip;
    const char *root; /* of the zip's members: NAME */
    size_t root_length;
    const uint8_t *p;
    size_t at, size, begin; /* begin: of the step at hand */
    value *stack[STACK_MOST];
    size_t depth;
    value **memo; /* [memo_count] */
    size_t memo_count;
    bool *checked; /* [zip->count] members whose bytes were looked at */
    nib_error *err;
} machine;

static nib_status refuse(const machine *m, nib_status status, const char *what) {
    nib_status failed = base_error_set(m->err, status, "data.pkl: %.200s at byte %zu", what, m->begin);
    base_error_at_offset(m->err, (int64_t)m->begin);
    return failed;
}

static nib_status no_memory(const machine *m) {
    return base_error_set(m->err, NIB_OUT_OF_MEMORY, "out of memory for a pickle");
}

/* ---- the stack */

static nib_status push(machine *m, value *v) {
    if (!v) return no_memory(m);
    if (m->depth == STACK_MOST) return refuse(m, NIB_LIMIT, "a stack of more than 4096 values");
    m->stack[m->depth++] = v;
    return NIB_OK;
}

static nib_status push_new(machine *m, value made) {
    value *v = base_arena_alloc(m->arena, sizeof *v);
    if (v) *v = made;
    return push(m, v);
}

/* What is on top; NULL: nothing, or a mark. */
static value *pop(machine *m) {
    if (m->depth == 0 || m->stack[m->depth - 1]->kind == MARK) return NULL;
    return m->stack[--m->depth];
}

static nib_status empty(const machine *m) { return refuse(m, NIB_BAD_MODEL, "too few values on the stack"); }

/* How many values stand above the last mark; SIZE_MAX: there is none. */
static size_t above_mark(const machine *m) {
    for (size_t n = 0; n < m->depth; n++)
        if (m->stack[m->depth - 1 - n]->kind == MARK) return n;
    return SIZE_MAX;
}

static nib_status push_tuple(machine *m, size_t n, bool marked) {
    if (m->depth < n + marked) return empty(m);
    value made = {.kind = TUPLE, .length = n, .items = base_arena_alloc(m->arena, (n + 1) * sizeof(value *))};
    if (!made.items) return no_memory(m);
    for (size_t i = 0; i < n; i++) {
        made.items[i] = m->stack[m->depth - n + i];
        if (made.items[i]->kind == MARK) return empty(m);
    }
    m->depth -= n + marked;
    return push_new(m, made);
}

/* ---- bytes of the step */

static const uint8_t *take(machine *m, size_t n) {
    if (m->size - m->at < n) return NULL;
    m->at += n;
    return m->p + m->at - n;
}

static nib_status cut(const machine *m) { return refuse(m, NIB_BAD_MODEL, "a step that is cut off"); }

/* A whole number of n <= 8 bytes; of 4 and more with a sign. */
static nib_status take_whole(machine *m, size_t n, bool sign, int64_t *out) {
    uint64_t x = 0;
    const uint8_t *p = n <= 8 ? take(m, n) : NULL;
    if (!p) return n > 8 ? refuse(m, NIB_UNSUPPORTED, "a number of more than 64 bits") : cut(m);
    for (size_t i = n; i-- > 0;) x = x << 8 | p[i];
    if (sign && n && n < 8 && p[n - 1] & 0x80) x |= UINT64_MAX << (8 * n);
    memcpy(out, &x, sizeof x);
    return NIB_OK;
}

static nib_status take_text(machine *m, size_t bytes_of_length) {
    nib_status status = NIB_OK;
    int64_t n;
    NIB_TRY(take_whole(m, bytes_of_length, false, &n));
    const uint8_t *p = n < 0 ? NULL : take(m, (size_t)n);
    if (!p) return cut(m);
    NIB_TRY(push_new(m, (value){.kind = TEXT, .text = (const char *)p, .length = (size_t)n}));
fail:
    return status;
}

/* A line, without its end; NULL: it is cut off. */
static const char *take_line(machine *m, size_t *n) {
    const uint8_t *p = m->p + m->at, *end = memchr(p, '\n', m->size - m->at);
    if (!end) return NULL;
    *n = (size_t)(end - p);
    m->at += *n + 1;
    return (const char *)p;
}

static bool is_text(const char *p, size_t n, const char *text) { return n == strlen(text) && memcmp(p, text, n) == 0; }

static nib_status take_global(machine *m) {
    size_t nm, nn;
    const char *module = take_line(m, &nm), *name = module ? take_line(m, &nn) : NULL;
    char what[160];
    if (!name) return cut(m);
    for (size_t i = 0; i < BASE_COUNT(globals); i++)
        if (is_text(module, nm, globals[i].module) && is_text(name, nn, globals[i].name))
            return push_new(m, (value){.kind = GLOBAL, .number = (int64_t)i});
    snprintf(what, sizeof what, "it wants %.*s of %.*s, which is none of a state dict's,", nn > 50 ? 50 : (int)nn, name,
             nm > 50 ? 50 : (int)nm, module);
    return refuse(m, NIB_UNSUPPORTED, what);
}

/* ---- the memo */

static nib_status memo_put(machine *m, int64_t i) {
    if (m->depth == 0 || m->stack[m->depth - 1]->kind == MARK) return empty(m);
    if (i < 0 || (size_t)i >= m->memo_count)
        return refuse(m, NIB_LIMIT, "a memo of more values than the pickle has bytes");
    m->memo[i] = m->stack[m->depth - 1];
    return NIB_OK;
}

static nib_status memo_get(machine *m, int64_t i) {
    if (i < 0 || (size_t)i >= m->memo_count || !m->memo[i])
        return refuse(m, NIB_BAD_MODEL, "a value that nobody has kept");
    return push(m, m->memo[i]);
}

/* ---- dicts */

/* A pair into a dict; what is neither a tensor nor has a name is dropped, as the versions beside the weights are. */
static nib_status set_item(machine *m, value *dict, const value *key, const value *v) {
    if (key->kind != TEXT) return refuse(m, NIB_UNSUPPORTED, "a key that is no text");
    if (v->kind == MARK || v->kind == STORAGE || v->kind == GLOBAL)
        return refuse(m, NIB_UNSUPPORTED, "a value that is no tensor");
    if (v->kind != TENSOR) return NIB_OK;
    if (key->length > NAME_MOST || memchr(key->text, 0, key->length))
        return refuse(m, NIB_BAD_MODEL, "a name that is none");
    entry *e = base_arena_alloc(m->arena, sizeof *e);
    const char *name = base_arena_strndup(m->arena, key->text, key->length);
    if (!e || !name) return no_memory(m);
    *e = (entry){.name = name, .tensor = v->tensor, .next = dict->first};
    dict->first = e;
    return NIB_OK;
}

static nib_status set_items(machine *m, size_t n, bool marked) {
    nib_status status = NIB_OK;
    if (n == SIZE_MAX || n % 2 || m->depth < n + marked + 1) return empty(m);
    value *dict = m->stack[m->depth - n - marked - 1];
    if (dict->kind != DICT) return refuse(m, NIB_UNSUPPORTED, "pairs of what is no dict");
    for (size_t i = 0; i < n; i += 2)
        NIB_TRY(set_item(m, dict, m->stack[m->depth - n + i], m->stack[m->depth - n + i + 1]));
    m->depth -= n + marked;
fail:
    return status;
}

/* ---- tensors */

static bool is_kind(const value *tuple, size_t i, kind k) { return i < tuple->length && tuple->items[i]->kind == k; }

/* ("storage", type, key, device, elements) -> the bytes of the zip. */
static nib_status load_storage(machine *m) {
    value *t = pop(m);
    char path[2 * NAME_MOST + 16];
    if (!t || t->kind != TUPLE || t->length != 5 || !is_kind(t, 0, TEXT) || !is_kind(t, 1, GLOBAL) ||
        !is_kind(t, 2, TEXT) || !is_kind(t, 4, WHOLE) || !is_text(t->items[0]->text, t->items[0]->length, "storage"))
        return refuse(m, NIB_UNSUPPORTED, "something outside of the pickle that is no storage");
    const nib_dtype dtype = globals[t->items[1]->number].dtype;
    const value *key = t->items[2];
    const int64_t elements = t->items[4]->number;
    size_t bytes;
    if (dtype == NIB_DTYPE_UNDEFINED) return refuse(m, NIB_UNSUPPORTED, "a storage of no type");
    if (key->length > NAME_MOST || memchr(key->text, 0, key->length))
        return refuse(m, NIB_BAD_MODEL, "a storage without a name");
    snprintf(path, sizeof path, "%.*s/data/%.*s", (int)m->root_length, m->root, (int)key->length, key->text);
    const base_zip_member *member = base_zip_find(m->zip, path);
    if (!member) return refuse(m, NIB_BAD_MODEL, "a storage that the file does not have");
    if (elements < 0 || !base_mul_size((size_t)elements, (size_t)nib_dtype_bits(dtype) / 8, &bytes) ||
        bytes > member->size)
        return refuse(m, NIB_BAD_MODEL, "a storage that is larger than its bytes");
    bool *checked = &m->checked[member - m->zip->members]; /* once, however often it is named */
    nib_status status = *checked ? NIB_OK : base_zip_check(member, m->err);
    if (status != NIB_OK) return status;
    *checked = true;
    return push_new(m, (value){.kind = STORAGE, .dtype = dtype, .number = elements, .data = member->data});
}

/* Shape and strides, tuples of whole numbers; C order, which a dimension of one does not tell. */
static nib_status read_shape(machine *m, const value *shape, const value *strides, graph_tensor *t, int64_t *elements) {
    if (shape->length > GRAPH_MAX_RANK || strides->length != shape->length)
        return refuse(m, NIB_BAD_MODEL, "a shape and strides that do not fit");
    *elements = 1;
    t->rank = (int)shape->length;
    for (size_t i = shape->length; i-- > 0;) {
        if (!is_kind(shape, i, WHOLE) || !is_kind(strides, i, WHOLE))
            return refuse(m, NIB_BAD_MODEL, "a shape without numbers");
        const int64_t n = shape->items[i]->number;
        if (n < 0) return refuse(m, NIB_BAD_MODEL, "a dimension below 0");
        if (n > 1 && strides->items[i]->number != *elements)
            return refuse(m, NIB_UNSUPPORTED, "a tensor that is not in C order");
        t->dims[i] = n;
        if (!base_mul_i64(*elements, n, elements))
            return refuse(m, NIB_BAD_MODEL, "more elements than memory has bytes");
    }
    return NIB_OK;
}

/* (storage, offset, shape, strides, requires_grad, hooks, ...) */
static nib_status rebuild_tensor(machine *m, const value *args) {
    graph_tensor *t = base_arena_calloc(m->arena, 1, sizeof *t);
    int64_t elements, end;
    if (!t) return no_memory(m);
    if (args->length < 6 || !is_kind(args, 0, STORAGE) || !is_kind(args, 1, WHOLE) || !is_kind(args, 2, TUPLE) ||
        !is_kind(args, 3, TUPLE))
        return refuse(m, NIB_UNSUPPORTED, "a tensor that is put together otherwise");
    const value *storage = args->items[0];
    const int64_t offset = args->items[1]->number;
    nib_status status = read_shape(m, args->items[2], args->items[3], t, &elements);
    if (status != NIB_OK) return status;
    if (offset < 0 || __builtin_add_overflow(offset, elements, &end) || end > storage->number)
        return refuse(m, NIB_BAD_MODEL, "a tensor that leaves its storage");
    const size_t item = (size_t)nib_dtype_bits(storage->dtype) / 8;
    t->dtype = storage->dtype;
    t->bytes = (size_t)elements * item;
    t->data = (void *)(uintptr_t)(storage->data + (size_t)offset * item);
    return push_new(m, (value){.kind = TENSOR, .tensor = t});
}

static nib_status reduce(machine *m) {
    value *args = pop(m), *function = args ? pop(m) : NULL;
    if (!function) return empty(m);
    if (function->kind != GLOBAL || args->kind != TUPLE)
        return refuse(m, NIB_UNSUPPORTED, "a call of what is no function");
    switch (function->number) {
    case ORDERED_DICT:
        if (args->length) return refuse(m, NIB_UNSUPPORTED, "a dict that is made of something");
        return push_new(m, (value){.kind = DICT});
    case REBUILD_TENSOR: return rebuild_tensor(m, args);
    case REBUILD_PARAMETER:
        if (!is_kind(args, 0, TENSOR)) return refuse(m, NIB_UNSUPPORTED, "a parameter that is no tensor");
        return push(m, args->items[0]);
    default: return refuse(m, NIB_UNSUPPORTED, "a call of what is no function");
    }
}

/* What a state dict has beside its pairs (_metadata) changes no tensor. */
static nib_status build(machine *m) {
    value *state = pop(m);
    if (!state || m->depth == 0 || m->stack[m->depth - 1]->kind != DICT || state->kind != DICT)
        return refuse(m, NIB_UNSUPPORTED, "a state of what is no dict");
    return NIB_OK;
}

/* ---- the machine */

static nib_status step(machine *m, bool *stop) {
    nib_status status = NIB_OK;
    int64_t n;
    char what[64];
    m->begin = m->at;
    const uint8_t *op = take(m, 1);
    if (!op) return cut(m);
    switch (*op) {
    case 0x80: /* PROTO */
        NIB_TRY(take_whole(m, 1, false, &n));
        return n >= 2 && n <= 5 ? NIB_OK : refuse(m, NIB_UNSUPPORTED, "a pickle of another protocol");
    case 0x95: /* FRAME */ return take_whole(m, 8, false, &n);
    case '.': *stop = true; return NIB_OK;
    case '(': return push_new(m, (value){.kind = MARK});
    case 'N': return push_new(m, (value){.kind = NOTHING});
    case 0x88:
    case 0x89: return push_new(m, (value){.kind = BOOL, .number = *op == 0x88});
    case 'K': NIB_TRY(take_whole(m, 1, false, &n)); return push_new(m, (value){.kind = WHOLE, .number = n});
    case 'M': NIB_TRY(take_whole(m, 2, false, &n)); return push_new(m, (value){.kind = WHOLE, .number = n});
    case 'J': NIB_TRY(take_whole(m, 4, true, &n)); return push_new(m, (value){.kind = WHOLE, .number = n});
    case 0x8a: /* LONG1 */
        NIB_TRY(take_whole(m, 1, false, &n));
        NIB_TRY(take_whole(m, (size_t)n, true, &n));
        return push_new(m, (value){.kind = WHOLE, .number = n});
    case 'X': return take_text(m, 4);
    case 0x8c: return take_text(m, 1);
    case 'c': return take_global(m);
    case 'q': NIB_TRY(take_whole(m, 1, false, &n)); return memo_put(m, n);
    case 'r': NIB_TRY(take_whole(m, 4, false, &n)); return memo_put(m, n);
    case 'h': NIB_TRY(take_whole(m, 1, false, &n)); return memo_get(m, n);
    case 'j': NIB_TRY(take_whole(m, 4, false, &n)); return memo_get(m, n);
    case ')': return push_tuple(m, 0, false);
    case 0x85:
    case 0x86:
    case 0x87: return push_tuple(m, (size_t)(*op - 0x84), false);
    case 't': return above_mark(m) == SIZE_MAX ? empty(m) : push_tuple(m, above_mark(m), true);
    case '}': return push_new(m, (value){.kind = DICT});
    case 's': return set_items(m, 2, false);
    case 'u': return set_items(m, above_mark(m), true);
    case 'Q': return load_storage(m);
    case 'R': return reduce(m);
    case 'b': return build(m);
    default:
        snprintf(what, sizeof what, "a step 0x%02x that is none of a state dict's", *op);
        return refuse(m, NIB_UNSUPPORTED, what);
    }
fail:
    return status;
}

static nib_status run(machine *m, value **out) {
    nib_status status = NIB_OK;
    bool stop = false;
    if (m->size > PICKLE_MOST)
        return base_error_set(m->err, NIB_LIMIT, "data.pkl has %zu bytes; the limit is %d", m->size, PICKLE_MOST);
    m->memo_count = m->size < MEMO_MOST ? m->size : MEMO_MOST;
    m->memo = base_arena_calloc(m->arena, m->memo_count + 1, sizeof *m->memo);
    m->checked = base_arena_calloc(m->arena, m->zip->count + 1, sizeof *m->checked);
    if (!m->memo || !m->checked) return no_memory(m);
    while (!stop) NIB_TRY(step(m, &stop));
    *out = pop(m);
    if (!*out || (*out)->kind != DICT) return refuse(m, NIB_UNSUPPORTED, "a value that is no dict of tensors");
fail:
    return status;
}

/* ---- the file */

static bool ends_with(const base_zip_member *m, const char *end) {
    const size_t n = strlen(end);
    return m->name_length > n && memcmp(m->name + m->name_length - n, end, n) == 0;
}

static nib_status read_zip(machine *m, hf_torch_tensor **out, size_t *count) {
    nib_status status = NIB_OK;
    const base_zip_member *pickle = NULL, *order = NULL;
    value *root = NULL;
    for (size_t i = 0; i < m->zip->count; i++) {
        if (ends_with(&m->zip->members[i], "/data.pkl")) pickle = &m->zip->members[i];
        if (ends_with(&m->zip->members[i], "/byteorder")) order = &m->zip->members[i];
    }
    if (!pickle || pickle->name_length > NAME_MOST) NIB_FAIL(m->err, NIB_BAD_MODEL, "a zip file without a data.pkl");
    if (order && !is_text((const char *)order->data, order->size, "little"))
        NIB_FAIL(m->err, NIB_UNSUPPORTED, "its numbers are not little endian");
    NIB_TRY(base_zip_check(pickle, m->err));
    m->root = pickle->name;
    m->root_length = pickle->name_length - strlen("/data.pkl");
    m->p = pickle->data;
    m->size = pickle->size;
    NIB_TRY(run(m, &root));
    *count = 0;
    for (const entry *e = root->first; e; e = e->next) ++*count;
    *out = base_arena_calloc(m->arena, *count + 1, sizeof **out);
    if (!*out) NIB_TRY(no_memory(m));
    size_t at = *count;
    for (const entry *e = root->first; e; e = e->next) (*out)[--at] = (hf_torch_tensor){e->name, *e->tensor};
fail:
    return status;
}

nib_status hf_torch_read(base_arena *arena, const void *bytes, size_t size, hf_torch_tensor **out, size_t *count,
                         nib_error *err) {
    const uint8_t *p = bytes;
    base_zip zip;
    *out = NULL;
    *count = 0;
    if (size >= 2 && p[0] == 0x80)
        return base_error_set(err, NIB_UNSUPPORTED, "a bare pickle, as torch.save wrote before 1.6, is not read");
    machine *m = base_arena_calloc(arena, 1, sizeof *m);
    if (!m) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a pickle");
    nib_status status = base_zip_open(arena->heap, bytes, size, MEMBERS, &zip, err);
    if (status != NIB_OK) return status;
    m->arena = arena;
    m->zip = &zip;
    m->err = err;
    status = read_zip(m, out, count);
    base_zip_close(arena->heap, &zip);
    return status;
}

nib_status hf_torch_open(nib_runtime *runtime, const char *dir, const char *file, const char *const *names, size_t n,
                         graph_tensor *out, graph *g, nib_error *err) {
    nib_status status = NIB_OK;
    base_file f = {0};
    base_arena arena;
    hf_torch_tensor *tensors;
    size_t count;
    char *config = base_path_join(&runtime->heap, dir, "config.json");
    base_arena_init(&arena, &runtime->heap);
    memset(out, 0, n * sizeof *out);
    if (!config) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a path");
    NIB_TRY(base_file_open_beneath(&runtime->heap, dir, file, config, runtime->private_reads, &f, err));
    status = hf_torch_read(&arena, f.data ? (const void *)f.data : "", f.size, &tensors, &count, err);
    if (status != NIB_OK) base_error_in_file(err, file);
    NIB_TRY(status);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < count; k++)
            if (strcmp(tensors[k].name, names[i]) == 0) out[i] = tensors[k].tensor;
    NIB_TRY(graph_take_file(g, &f, err));
fail:
    base_file_close(&f);
    base_arena_free(&arena);
    base_free(&runtime->heap, config);
    return status;
}
