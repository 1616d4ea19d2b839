/* SPDX-License-Identifier: Apache-2.0
 *
 * test/data/families: a folder of small models, each config.json and golden.json as tools/make_hf_goldens.py writes
 * them. Their weights are made here, as they were there.
 */
#ifndef HF_GOLDEN_H
#define HF_GOLDEN_H

#include "hf_test.h"
#include <dirent.h>

#define HF_FAMILIES NIB_TEST_DATA "/families"

static inline yyjson_doc *golden_read(const char *family, const char *file) {
    char path[400];
    snprintf(path, sizeof path, HF_FAMILIES "/%.60s/%s", family, file);
    yyjson_doc *doc = yyjson_read_file(path, 0, NULL, NULL);
    if (!doc) fail_msg("%s cannot be read", path);
    return doc;
}

/* Number i of a tensor: shift + scale u, u in [-1, 1) of 24 bits: splitmix64 of FNV-1a of its name, plus i. */
static inline uint64_t golden_hash(const char *name) {
    uint64_t h = 0xCBF29CE484222325u;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001B3u;
    return h;
}

static inline float golden_weight(uint64_t hash, uint64_t i, double scale, double shift) {
    uint64_t z = hash + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (float)(shift + scale * ((double)(z >> 40) * 0x1p-23 - 1.0));
}

/* What a spoil does to weights: tensors with one word in their name get the numbers of those with the other; the rows
 * of one table move on by one. NULL: nothing. */
typedef struct golden_spoil {
    const char *swap[2], *roll;
    const char *prefix; /* stands before all names; NULL: none */
} golden_spoil;

/* Whose numbers a tensor gets. */
static inline void golden_source(char *out, size_t size, const char *name, const golden_spoil *spoil) {
    snprintf(out, size, "%s", name);
    for (int i = 0; i < 2 && spoil->swap[0]; i++) {
        const char *at = strstr(name, spoil->swap[i]);
        if (!at) continue;
        snprintf(out, size, "%.*s%s%s", (int)(at - name), name, spoil->swap[!i], at + strlen(spoil->swap[i]));
        return;
    }
}

/* Writes model.safetensors of a golden into hf_dir. */
static inline void golden_weights(yyjson_val *golden, const golden_spoil *spoil) {
    size_t i, n, k, rank, used = 8, at = 0;
    yyjson_val *t, *d;
    char *header = calloc(1, 1 << 16);
    assert_non_null(header);
    used = (size_t)sprintf(header, "{\"__metadata__\":{\"format\":\"pt\"}");
    float *data = NULL;
    yyjson_arr_foreach(yyjson_obj_get(golden, "tensors"), i, n, t) {
        const char *name = yyjson_get_str(yyjson_arr_get(t, 0));
        const double scale = yyjson_get_num(yyjson_arr_get(t, 2)), shift = yyjson_get_num(yyjson_arr_get(t, 3));
        char shape[100] = "", source[300];
        size_t count = 1, row = 1;
        yyjson_arr_foreach(yyjson_arr_get(t, 1), k, rank, d) {
            sprintf(shape + strlen(shape), "%s%llu", k ? "," : "", (unsigned long long)yyjson_get_uint(d));
            count *= yyjson_get_uint(d);
            row *= k ? yyjson_get_uint(d) : 1;
        }
        assert_true(used < 60000);
        used +=
            (size_t)sprintf(header + used, ",\"%s%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                            spoil->prefix ? spoil->prefix : "", name, shape, at * 4, (at + count) * 4);
        data = realloc(data, (at + count) * 4);
        golden_source(source, sizeof source, name, spoil);
        const size_t by = spoil->roll && strcmp(spoil->roll, name) == 0 ? row : 0;
        for (size_t e = 0; e < count; e++)
            data[at + e] = golden_weight(golden_hash(source), (e + by) % count, scale, shift);
        at += count;
    }
    sprintf(header + used, "}");
    uint8_t *file = malloc(8 + used + 1 + at * 4);
    for (int b = 0; b < 8; b++) file[b] = (uint8_t)((used + 1) >> (8 * b));
    memcpy(file + 8, header, used + 1);
    memcpy(file + 8 + used + 1, data, at * 4);
    hf_write("model.safetensors", file, 8 + used + 1 + at * 4);
    free(file);
    free(data);
    free(header);
}

/* Writes config.json of a golden into hf_dir, with the members of `changes` (NULL: none) in place of its own; a null
 * takes one away. */
static inline void golden_config(yyjson_val *config, yyjson_val *changes) {
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_val_mut_copy(doc, config);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_obj_foreach(changes, i, n, key, value) {
        yyjson_mut_obj_remove_key(root, yyjson_get_str(key));
        if (!yyjson_is_null(value))
            yyjson_mut_obj_add(root, yyjson_val_mut_copy(doc, key), yyjson_val_mut_copy(doc, value));
    }
    char *text = yyjson_mut_write(doc, YYJSON_WRITE_PRETTY, NULL);
    hf_text("config.json", text);
    free(text);
    yyjson_mut_doc_free(doc);
}

/* Calls `each` with the name of every folder; returns how many there are. */
static inline int golden_each(void (*each)(void *user, const char *family), void *user) {
    int count = 0;
    DIR *d = opendir(HF_FAMILIES);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        each(user, e->d_name);
        count++;
    }
    closedir(d);
    return count;
}

#endif
