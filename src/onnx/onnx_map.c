/* SPDX-License-Identifier: Apache-2.0
 *
 * Names: a hash map from borrowed names to pointers, comparing, interning, showing. Open addressing, at most half full.
 */
#include "onnx_build.h"
#include <string.h>

bool onnx_bytes_are(onnx_bytes a, const char *text) {
    size_t n = strlen(text);
    return a.size == n && (n == 0 || memcmp(a.data, text, n) == 0);
}

bool onnx_bytes_equal(onnx_bytes a, onnx_bytes b) { return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0); }

static uint64_t hash_of(onnx_bytes name) { /* FNV-1a, and a final mix because the slots are a power of two */
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < name.size; i++) h = (h ^ name.data[i]) * 1099511628211u;
    h ^= h >> 32;
    return h * 0x9e3779b97f4a7c15u;
}

/* The slot of that name, or the empty one where it belongs. */
static onnx_map_entry *slot_of(const onnx_map *map, onnx_bytes name, uint64_t hash) {
    size_t mask = map->capacity - 1;
    for (size_t i = (size_t)(hash >> 20) & mask;; i = (i + 1) & mask) {
        onnx_map_entry *e = &map->slots[i];
        if (!e->item || (e->hash == hash && onnx_bytes_equal(e->name, name))) return e;
    }
}

static nib_status grow(onnx_loader *l, onnx_map *map) {
    onnx_map larger = {NULL, map->capacity ? map->capacity * 2 : 16, map->count};
    larger.slots = base_arena_calloc(&l->scratch, larger.capacity, sizeof(*larger.slots));
    if (!larger.slots) return base_error_set(l->err, NIB_OUT_OF_MEMORY, "no memory for the model's names");
    for (size_t i = 0; i < map->capacity; i++) {
        const onnx_map_entry *e = &map->slots[i];
        if (e->item) *slot_of(&larger, e->name, e->hash) = *e;
    }
    *map = larger;
    return NIB_OK;
}

nib_status onnx_map_put(onnx_loader *l, onnx_map *map, onnx_bytes name, const void *item, const void **old) {
    nib_status status = NIB_OK;
    *old = NULL;
    if (map->count * 2 >= map->capacity) NIB_TRY(grow(l, map));
    uint64_t hash = hash_of(name);
    onnx_map_entry *e = slot_of(map, name, hash);
    *old = e->item;
    if (!e->item) {
        map->count++;
        *e = (onnx_map_entry){name, hash, item};
    }
fail:
    return status;
}

const void *onnx_map_get(const onnx_map *map, onnx_bytes name) {
    return map && map->count > 0 ? slot_of(map, name, hash_of(name))->item : NULL;
}

const char *onnx_intern(onnx_loader *l, onnx_bytes name, nib_status *status) {
    if (name.size > 0 && memchr(name.data, 0, name.size)) {
        *status = base_error_set(l->err, NIB_BAD_MODEL, "the name '%s' has a NUL inside", onnx_show(l, name));
        return NULL;
    }
    const char *text = graph_intern(l->g, name.size > 0 ? (const char *)name.data : "", name.size);
    if (!text) *status = base_error_set(l->err, NIB_OUT_OF_MEMORY, "no memory for a name");
    return text;
}

const char *onnx_domain(onnx_loader *l, onnx_bytes domain, nib_status *status) {
    if (onnx_bytes_are(domain, "ai.onnx")) domain.size = 0;
    return onnx_intern(l, domain, status);
}

const char *onnx_show(onnx_loader *l, onnx_bytes name) {
    size_t n = name.size < 200 ? name.size : 200; /* more than any message has room for */
    const char *text = n > 0 ? base_arena_strndup(&l->scratch, (const char *)name.data, n) : "";
    return text ? text : "?";
}
