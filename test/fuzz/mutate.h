/* SPDX-License-Identifier: Apache-2.0
 *
 * Mutations of protobuf messages that stay messages: a field is dropped, doubled, moved, given another number or the contents of a field
 * of its kind from elsewhere, and the lengths around it follow. Names of operators become those of others that nib has, so that chains
 * of any two come about. Without this, a mutated model mostly ends at the wire format.
 */
#ifndef MUTATE_H
#define MUTATE_H

#include "../../src/op/op_local.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

typedef struct mutation {
    uint32_t seed;
    const uint8_t *root; /* where other fields are found */
    size_t root_size;
} mutation;

typedef struct mutate_field {
    size_t at, body, end; /* its tag, its contents, behind it */
    uint32_t number, wire;
} mutate_field;

static inline uint32_t mutate_random(mutation *m) {
    m->seed = m->seed * 1664525u + 1013904223u;
    return m->seed >> 8;
}

static inline bool mutate_varint(const uint8_t *p, size_t n, size_t *at, uint64_t *v) {
    *v = 0;
    for (int shift = 0; *at < n && shift < 64; shift += 7) {
        uint8_t b = p[(*at)++];
        *v |= (uint64_t)(b & 127) << shift;
        if (b < 128) return true;
    }
    return false;
}

static inline size_t mutate_put(uint8_t *to, uint64_t v) {
    size_t n = 0;
    for (; v > 127; v >>= 7) to[n++] = (uint8_t)(v | 128);
    to[n++] = (uint8_t)v;
    return n;
}

/* The field at *at, which moves behind it; false: there is none, or it is no field. */
static inline bool mutate_next(const uint8_t *p, size_t n, size_t *at, mutate_field *f) {
    uint64_t tag, length = 0;
    f->at = *at;
    if (*at >= n || !mutate_varint(p, n, at, &tag) || tag >> 3 == 0 || tag >> 3 > 1000) return false;
    *f = (mutate_field){.at = f->at, .number = (uint32_t)(tag >> 3), .wire = (uint32_t)(tag & 7)};
    f->body = *at;
    if (f->wire == 0 && !mutate_varint(p, n, at, &length)) return false;
    if (f->wire == 2) {
        if (!mutate_varint(p, n, at, &length)) return false;
        f->body = *at;
    } else if (f->wire == 0) {
        length = *at - f->body;
        *at = f->body;
    } else {
        length = f->wire == 5 ? 4 : f->wire == 1 ? 8 : SIZE_MAX;
    }
    if (length > n - *at) return false;
    f->end = *at += (size_t)length;
    return true;
}

/* How many fields the bytes are; 0: they are no message. */
static inline size_t mutate_count(const uint8_t *p, size_t n) {
    mutate_field f;
    size_t at = 0, count = 0;
    while (mutate_next(p, n, &at, &f)) count++;
    return at == n ? count : 0;
}

/* One of all fields of that number and kind, at any depth; *seen counts them. */
static inline void mutate_find(mutation *m, const uint8_t *p, size_t n, const mutate_field *like, int depth, size_t *seen,
                               const uint8_t **body, size_t *size) {
    mutate_field f;
    size_t at = 0;
    while (mutate_next(p, n, &at, &f)) {
        if (f.number == like->number && f.wire == like->wire && mutate_random(m) % ++*seen == 0) {
            *body = p + f.body;
            *size = f.end - f.body;
        }
        if (f.wire == 2 && depth < 12 && mutate_count(p + f.body, f.end - f.body))
            mutate_find(m, p + f.body, f.end - f.body, like, depth + 1, seen, body, size);
    }
}

static inline const op *mutate_op(mutation *m, const uint8_t *name, size_t n) {
    size_t count = 0;
    const op *pick = NULL;
    bool known = false;
    for (size_t f = 0; op_families[f]; f++)
        for (const op *o = op_families[f]; o->name; o++) {
            known = known || (strlen(o->name) == n && memcmp(o->name, name, n) == 0);
            if (strcmp(o->domain, "nib") == 0) continue;
            if (mutate_random(m) % (count += o->rows & OP_LISTS ? 8 : 1) < (o->rows & OP_LISTS ? 8u : 1u)) pick = o;
        }
    return known ? pick : NULL;
}

/* Other contents for a field, into `to`; their size. */
static inline size_t mutate_contents(mutation *m, const uint8_t *p, const mutate_field *f, uint8_t *to, size_t room) {
    static const uint64_t numbers[] = {
        0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 16, 22, 255, (uint64_t)-1, (uint64_t)-2, INT64_MAX, (uint64_t)INT64_MIN, (uint64_t)1 << 62, 1 << 20};
    const uint8_t *body = p + f->body;
    size_t n = f->end - f->body, seen = 0;
    if (f->wire == 0) {
        uint64_t v = numbers[mutate_random(m) % BASE_COUNT(numbers)];
        return room < 10 ? 0 : mutate_put(to, v);
    }
    const op *other = f->wire == 2 && n < 40 && mutate_random(m) % 2 ? mutate_op(m, body, n) : NULL;
    if (other) {
        body = (const uint8_t *)other->name;
        n = strlen(other->name);
    } else if (mutate_random(m) % 3) {
        mutate_find(m, m->root, m->root_size, f, 0, &seen, &body, &n);
    }
    if (n > room) return 0;
    memcpy(to, body, n);
    if (f->wire != 2 || (!other && seen < 2)) {
        size_t after = LLVMFuzzerMutate(to, n, f->wire == 2 ? room : n);
        n = f->wire == 2 ? after : n;
    }
    return n;
}

/* A field with other contents, of which `made` is there already if it is not NULL. */
static inline size_t mutate_field_anew(mutation *m, const uint8_t *p, const mutate_field *f, const uint8_t *made, size_t size, uint8_t *to,
                                       size_t room) {
    size_t head = mutate_put(to, (uint64_t)f->number << 3 | f->wire);
    uint8_t *own = NULL;
    if (!made) {
        own = malloc(room);
        size = own ? mutate_contents(m, p, f, own, room - 32) : 0;
        made = own;
    }
    if (f->wire == 2) head += mutate_put(to + head, size);
    if (size) memcpy(to + head, made, size);
    free(own);
    return head + size;
}

/* The message with field `pick` changed; with the contents `made`, if they are given. */
static inline size_t mutate_here(mutation *m, const uint8_t *p, size_t n, size_t pick, const uint8_t *made, size_t made_size, uint8_t *to,
                                 size_t room) {
    uint32_t how = made ? 3 : mutate_random(m) % 8;
    size_t at = 0, used = 0;
    mutate_field f;
    if (2 * n + made_size + 64 > room) return n <= room ? memcpy(to, p, n), n : 0;
    for (size_t i = 0; mutate_next(p, n, &at, &f); i++) {
        size_t size = f.end - f.at;
        if (i == pick && how == 0) continue; /* drop */
        if (i == pick && how > 2) {
            used += mutate_field_anew(m, p, &f, made, made_size, to + used, room - used - (n - f.end));
            continue;
        }
        memcpy(to + used, p + f.at, size);
        used += size;
        if (i == pick && how == 1) memcpy(to + used, p + f.at, size), used += size; /* double */
        if (i == pick && how == 2 && i > 0) {                                       /* to the front */
            memmove(to + size, to, used - size);
            memcpy(to, p + f.at, size);
        }
    }
    return used;
}

/* Some message in it, itself or at any depth, with a few changes: that several fields of one must fit each other is what checks are for. */
static inline size_t mutate_message(mutation *m, const uint8_t *p, size_t n, uint8_t *to, size_t room, int depth) {
    size_t count = mutate_count(p, n), pick = count ? mutate_random(m) % count : 0, at = 0, used = n;
    const size_t byte = n ? mutate_random(m) % n : 0;
    const bool by_size = mutate_random(m) % 8; /* most of what is in a model is in its graph */
    mutate_field f = {0};
    if (!count || n > room) return 0;
    for (size_t i = 0; mutate_next(p, n, &at, &f); i++) {
        if (by_size ? f.end <= byte : i < pick) continue;
        pick = i;
        break;
    }
    uint8_t *other = malloc(room);
    if (!other) return 0;
    if (f.wire == 2 && depth < 12 && mutate_count(p + f.body, f.end - f.body) && mutate_random(m) % 8) {
        size_t size = mutate_message(m, p + f.body, f.end - f.body, other, room / 2, depth + 1);
        used = mutate_here(m, p, n, pick, other, size, to, room);
    } else {
        memcpy(to, p, n);
        for (uint32_t rounds = 1 + mutate_random(m) % 4; rounds > 0; rounds--) {
            count = mutate_count(to, used);
            size_t size = count ? mutate_here(m, to, used, mutate_random(m) % count, NULL, 0, other, room) : 0;
            if (size == 0) break;
            memcpy(to, other, used = size);
        }
    }
    free(other);
    return used;
}

/* In place; the new size, at most max. What is no message is mutated as bytes. */
static inline size_t mutate_proto(uint8_t *data, size_t size, size_t max, uint32_t seed) {
    mutation m = {.seed = seed, .root = data, .root_size = size};
    if (mutate_random(&m) % 16 == 0 || !mutate_count(data, size)) return LLVMFuzzerMutate(data, size, max);
    size_t room = 8 * max + 1024, n = size;
    uint8_t *from = malloc(room), *to = malloc(room);
    if (from && to) {
        memcpy(from, data, size);
        for (uint32_t rounds = 1 + mutate_random(&m) % 3; rounds > 0; rounds--) {
            size_t made = mutate_message(&m, from, n, to, room, 0);
            if (made == 0 || made > max) break;
            memcpy(from, to, n = made);
        }
        memcpy(data, from, n);
    }
    free(from);
    free(to);
    return n;
}

#endif
