/* SPDX-License-Identifier: Apache-2.0
 *
 * Models with the settings that go with a purpose. In: a name, or how many numbers a vector is to have and what the
 * machine has. Out: a row of the table. Prompts are those of the models' cards.
 */
#include "hub.h"
#include "base/base_cpu.h"
#include "base/base_error.h"
#include <stdio.h>
#include <string.h>

#define MINILM "sentence-transformers/all-MiniLM-L6-v2"
#define MPNET "sentence-transformers/all-mpnet-base-v2"
#define BGE_QUERY "Represent this sentence for searching relevant passages: "
#define SMALL_MEMORY ((uint64_t)512 << 20)

static const nib_recipe recipes[] = {
    {"efficient", MINILM, "small and fast", 384, 0, NIB_PRECISION_Q8, NIB_VECTOR_F32, "", ""},
    {"high-quality", MPNET, "larger and better", 768, 0, NIB_PRECISION_F32, NIB_VECTOR_F32, "", ""},
    {"ultra-efficient", MINILM, "32 bytes a vector", 384, 256, NIB_PRECISION_Q4, NIB_VECTOR_BINARY, "", ""},
    {"bge-base", "BAAI/bge-base-en-v1.5", "search in English", 768, 0, NIB_PRECISION_F32, NIB_VECTOR_F32, BGE_QUERY, ""},
    {"bge-large", "BAAI/bge-large-en-v1.5", "search in English", 1024, 0, NIB_PRECISION_F32, NIB_VECTOR_F32, BGE_QUERY, ""},
    {"e5-base", "intfloat/e5-base-v2", "search in English", 768, 0, NIB_PRECISION_F32, NIB_VECTOR_F32, "query: ",
     "passage: "},
    {"multilingual-e5-base", "intfloat/multilingual-e5-base", "search in 94 languages", 768, 0, NIB_PRECISION_F32,
     NIB_VECTOR_F32, "query: ", "passage: "},
};

const nib_recipe *hub_recipe_at(size_t i) { return i < BASE_COUNT(recipes) ? &recipes[i] : NULL; }

/* "efficient, high-quality, " */
static void list_names(char *out, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < BASE_COUNT(recipes) && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s, ", recipes[i].name);
}

static nib_precision fitting(uint64_t memory) {
    const uint32_t bytes = 1u << BASE_ISA_AVXVNNI | 1u << BASE_ISA_AVX512VNNI | 1u << BASE_ISA_DOTPROD;
    if (!memory) memory = base_cpu_memory();
    if (memory < SMALL_MEMORY) return NIB_PRECISION_Q4;
    return base_cpu_isas() & bytes ? NIB_PRECISION_Q8 : NIB_PRECISION_F32;
}

nib_status hub_recipe_find(const char *name, int64_t dimensions, uint64_t memory, nib_recipe *out, nib_error *err) {
    char names[200];
    const bool chosen = strcmp(name, "auto") == 0;
    for (size_t i = 0; i < BASE_COUNT(recipes); i++) {
        if (chosen ? recipes[i].width < dimensions : strcmp(recipes[i].name, name) != 0) continue;
        *out = recipes[i];
        if (chosen) out->precision = fitting(memory);
        if (dimensions && dimensions < out->width) out->dimensions = dimensions;
        return NIB_OK;
    }
    if (chosen)
        return base_error_set(err, NIB_NOT_FOUND, "no profile has vectors of %lld numbers", (long long)dimensions);
    list_names(names, sizeof names);
    return base_error_set(err, NIB_NOT_FOUND, "no profile is called %.80s; there are %sauto", name, names);
}
