/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls of model-local functions, replaced by the function's body.
 *
 * A body is built straight into the caller's graph, in a scope of its own that sees nothing but the call's inputs. Its
 * formal outputs are defined under the names that the call gives them; everything else gets a fresh name that begins with
 * the call's. Attributes that refer to the function's parameters are resolved on the way: an argument remembers the scope it
 * was written in, since its subgraphs see that one.
 *
 * Functions may call functions, not themselves; ONNX_MAX_CALL_DEPTH and limits.expand_bytes bound what a hostile file can make
 * of that (a chain of n functions that each call the next twice would be 2^n nodes).
 */
#include "onnx_build.h"
#include <string.h>

static nib_status key_of(onnx_loader *l, onnx_bytes domain, onnx_bytes name, onnx_bytes overload, onnx_bytes *out) {
    if (onnx_bytes_are(domain, "ai.onnx")) domain.size = 0;
    size_t size = domain.size + name.size + overload.size + 2;
    uint8_t *key = base_arena_alloc(&l->scratch, size), *p = key;
    if (!key) return base_error_set(l->err, NIB_OUT_OF_MEMORY, "no memory for the model's functions");
    const onnx_bytes parts[] = {domain, name, overload};
    for (size_t i = 0; i < BASE_COUNT(parts); i++) {
        if (i > 0) *p++ = 0;
        if (parts[i].size > 0) memcpy(p, parts[i].data, parts[i].size);
        p += parts[i].size;
    }
    *out = (onnx_bytes){key, size};
    return NIB_OK;
}

nib_status onnx_function_index(onnx_loader *l) {
    nib_status status = NIB_OK;
    const onnx_function *f = NULL;
    l->parameters = base_arena_calloc(&l->scratch, l->model->functions.count + 1, sizeof *l->parameters);
    if (!l->parameters) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for the model's functions");
    for (size_t i = 0; i < l->model->functions.count; i++) {
        onnx_bytes key;
        const void *old;
        f = &l->model->functions.items[i];
        NIB_TRY(key_of(l, f->domain, f->name, f->overload, &key));
        NIB_TRY(onnx_map_put(l, &l->functions, key, f, &old));
        if (old) NIB_FAIL(l->err, NIB_BAD_MODEL, "the function %s is defined twice", onnx_show(l, f->name));
    }
    return NIB_OK;
fail:
    if (f) base_error_at_offset(l->err, f->head.offset);
    return status;
}

const onnx_function *onnx_function_of(onnx_loader *l, const onnx_node *node, nib_status *status) {
    onnx_bytes key;
    if (l->functions.count == 0) return NULL;
    *status = key_of(l, node->domain, node->op_type, node->overload, &key);
    return *status == NIB_OK ? onnx_map_get(&l->functions, key) : NULL;
}

/* ---------------------------------------------------------------- attributes */

static const onnx_attribute no_default;

/* name -> its default, or no_default: made at the first call, since every call looks names up. */
static nib_status parameters_of(onnx_loader *l, const onnx_function *f, const onnx_map **out) {
    nib_status status = NIB_OK;
    onnx_map *map = &l->parameters[f - l->model->functions.items];
    const void *old;
    *out = map;
    if (map->count > 0) return NIB_OK;
    for (size_t i = 0; i < f->attribute_proto.count; i++) {
        const onnx_attribute *a = &f->attribute_proto.items[i];
        NIB_TRY(onnx_map_put(l, map, a->name, a, &old));
    }
    for (size_t i = 0; i < f->attribute.count; i++) NIB_TRY(onnx_map_put(l, map, f->attribute.items[i], &no_default, &old));
fail:
    return status;
}

/* What the call gives, or else the function's default; false: neither. */
static bool find_argument(const onnx_call *call, onnx_bytes name, onnx_argument *out) {
    static const onnx_scope nothing = {0}; /* a default sees no values */
    const onnx_argument *given = onnx_map_get(&call->arguments, name);
    const onnx_attribute *otherwise = onnx_map_get(call->parameters, name);
    if (given) *out = *given;
    else if (otherwise && otherwise != &no_default) *out = (onnx_argument){name, otherwise, &nothing};
    else return false;
    return true;
}

nib_status onnx_attribute_resolve(onnx_loader *l, const onnx_scope *s, const onnx_attribute *a, onnx_argument *out) {
    nib_status status = NIB_OK;
    *out = (onnx_argument){a->name, a, s};
    if (a->ref_attr_name.size == 0) return NIB_OK;
    if (!s->call)
        NIB_FAIL(l->err, NIB_BAD_MODEL, "attribute '%s' refers to '%s' outside of a function", onnx_show(l, a->name),
                 onnx_show(l, a->ref_attr_name));
    onnx_argument given;
    if (!find_argument(s->call, a->ref_attr_name, &given)) {
        *out = (onnx_argument){a->name, NULL, s};
        return NIB_OK;
    }
    out->attribute = given.attribute;
    out->scope = given.scope;
    l->inlined += given.attribute->head.size; /* it is copied wherever it is referred to */
    if (l->inlined > l->g->heap->limits.expand_bytes)
        NIB_FAIL(l->err, NIB_LIMIT, "the local functions grow too large when they are inlined");
    return NIB_OK;
fail:
    base_error_at_offset(l->err, a->head.offset);
    return status;
}

static nib_status bind_arguments(onnx_loader *l, const onnx_scope *s, const onnx_node *node, onnx_call *call) {
    nib_status status = NIB_OK;
    const onnx_function *f = call->function;
    NIB_TRY(parameters_of(l, f, &call->parameters));
    onnx_argument *arguments = base_arena_calloc(&l->scratch, node->attribute.count + 1, sizeof *arguments);
    if (!arguments) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for a function's attributes");
    for (size_t i = 0; i < node->attribute.count; i++) {
        const onnx_attribute *a = &node->attribute.items[i];
        const void *old = NULL;
        if (!onnx_map_get(call->parameters, a->name))
            NIB_FAIL(l->err, NIB_BAD_MODEL, "the function %s has no attribute '%s'", onnx_show(l, f->name), onnx_show(l, a->name));
        NIB_TRY(onnx_attribute_resolve(l, s, a, &arguments[i]));
        if (arguments[i].attribute) NIB_TRY(onnx_map_put(l, &call->arguments, a->name, &arguments[i], &old));
        if (old) NIB_FAIL(l->err, NIB_BAD_MODEL, "attribute '%s' is given twice", onnx_show(l, a->name));
    }
    return NIB_OK;
fail:
    return status;
}

/* ---------------------------------------------------------------- the call */

/* A function must mean the same operators as the model: there is one version of a domain in a graph. */
static nib_status check_opsets(onnx_loader *l, const onnx_function *f) {
    nib_status status = NIB_OK;
    for (size_t i = 0; i < f->opset_import.count; i++) {
        const onnx_opset *o = &f->opset_import.items[i];
        const char *domain = onnx_domain(l, o->domain, &status);
        if (!domain) goto fail;
        int version = graph_opset_version(l->g, domain);
        if (version == 0) {
            if (o->version < 1 || o->version > INT32_MAX) NIB_FAIL(l->err, NIB_BAD_MODEL, "opset version %lld", (long long)o->version);
            NIB_TRY(graph_set_opset(l->g, domain, (int)o->version, l->err));
        } else if (version != o->version && domain[0] == 0) {
            NIB_FAIL(l->err, NIB_UNSUPPORTED, "the function %s imports opset %lld, the model %d", onnx_show(l, f->name),
                     (long long)o->version, version);
        }
    }
fail:
    return status;
}

static nib_status check_limits(onnx_loader *l, const onnx_scope *s, const onnx_function *f) {
    nib_status status = NIB_OK;
    for (const onnx_call *c = s->call; c; c = c->outer) {
        if (c->function == f) NIB_FAIL(l->err, NIB_BAD_MODEL, "the function %s calls itself", onnx_show(l, f->name));
    }
    if (s->call && s->call->depth >= ONNX_MAX_CALL_DEPTH)
        NIB_FAIL(l->err, NIB_LIMIT, "functions call each other more than %d deep", ONNX_MAX_CALL_DEPTH);
    if (l->depth >= l->g->heap->limits.wire_nesting)
        NIB_FAIL(l->err, NIB_LIMIT, "functions and subgraphs are nested more than %d deep", l->g->heap->limits.wire_nesting);
    l->inlined += f->head.size * 8; /* what its nodes take in memory, about */
    if (l->inlined > l->g->heap->limits.expand_bytes)
        NIB_FAIL(l->err, NIB_LIMIT, "the local functions grow too large when they are inlined");
fail:
    return status;
}

/* The prefix of the body's names; short, whatever the file's names are. */
static const char *call_path(onnx_loader *l, const onnx_scope *s, const onnx_node *node) {
    const char *outer = s->call ? s->call->path : "";
    onnx_bytes name = node->name.size > 0 && node->name.size <= 100 ? node->name : node->op_type;
    if (strlen(outer) + name.size > 400) outer = "";
    return base_arena_printf(&l->scratch, "%s%s%s", outer, outer[0] ? "/" : "", name.size <= 100 ? onnx_show(l, name) : "call");
}

/* Outputs that no node of the body defined under the call's name: inputs passed through, constants, one value twice. */
static nib_status bind_outputs(onnx_loader *l, onnx_scope *caller, const onnx_scope *body, const onnx_call *call) {
    nib_status status = NIB_OK;
    for (size_t i = 0; i < call->node->output.count; i++) {
        onnx_bytes outer = call->node->output.items[i], inner = call->function->output.items[i];
        if (outer.size == 0) continue;
        graph_value *v = onnx_find(body, inner), *named = NULL;
        if (!v)
            NIB_FAIL(l->err, NIB_BAD_MODEL, "the function %s never defines its output '%s'", onnx_show(l, call->function->name),
                     onnx_show(l, inner));
        if (onnx_map_get(&caller->values, outer) == v) continue;
        NIB_TRY(onnx_define(l, caller, outer, &named));
        if (!graph_add_node(caller->g, NULL, "", "Identity", "", &v, 1, &named, 1))
            NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for a node");
    }
fail:
    return status;
}

nib_status onnx_function_inline(onnx_loader *l, onnx_scope *s, const onnx_node *node, const onnx_function *f) {
    nib_status status = NIB_OK;
    onnx_call call = {.outer = s->call, .function = f, .caller = s, .node = node, .depth = s->call ? s->call->depth + 1 : 1};
    onnx_scope body = {.g = s->g, .call = &call, .declared = s->declared, .is_body = true};
    l->depth++;
    NIB_TRY(check_limits(l, s, f));
    NIB_TRY(check_opsets(l, f));
    call.path = call_path(l, s, node);
    if (!call.path) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for a function call");
    if (node->input.count > f->input.count || node->output.count > f->output.count)
        NIB_FAIL(l->err, NIB_BAD_MODEL, "a call with %zu inputs and %zu outputs of the function %s, which has %zu and %zu",
                 node->input.count, node->output.count, onnx_show(l, f->name), f->input.count, f->output.count);
    NIB_TRY(bind_arguments(l, s, node, &call));
    for (size_t i = 0; i < f->input.count; i++) {
        graph_value *v = NULL;
        if (i < node->input.count) NIB_TRY(onnx_find_input(l, s, node, i, &v));
        NIB_TRY(onnx_bind(l, &body, f->input.items[i], v));
    }
    NIB_TRY(onnx_build_nodes(l, &body, &f->node));
    NIB_TRY(bind_outputs(l, s, &body, &call));
fail:
    l->depth--;
    return status;
}
