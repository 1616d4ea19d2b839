/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled files (.nib): a model as it runs here, ready to be mapped. doc/nib-file.md is the format for readers.
 *
 *     model_nib.c        the container: head, table of sections, checksums; a file's bytes -> sections
 *     model_nib_text.c   the settings as JSON, both ways
 *     model_nib_open.c   sections -> a model: the door, which believes nothing
 *     model_compile.c    a model -> a file
 *
 *     | head, table | settings | tokenizer | vocabulary | task | exact | blobs, from a multiple of 4096 on |
 *
 * A file holds graphs (after all passes), weights as kernels read them, the tokenizer and the settings; never offsets, steps or addresses
 * of a plan: opening infers all types anew, and plans.
 */
#ifndef MODEL_NIB_H
#define MODEL_NIB_H

#include "model.h"

#define MODEL_NIB_MAGIC "\x89NIB\r\n\x1a\n"
#define MODEL_NIB_VERSION 2
#define MODEL_NIB_ORDER 0x01020304u
#define MODEL_NIB_PAGE 4096 /* where the blobs begin; those of a page or more each begin at a multiple, too */
#define MODEL_NIB_ALIGN 64  /* of any other section and blob */

typedef enum model_nib_kind { /* each at most once */
                              MODEL_NIB_SETTINGS = 1,
                              MODEL_NIB_TOKENIZER, /* tokenizer.json; without its vocabulary if there is a section for that */
                              MODEL_NIB_VOCABULARY,
                              MODEL_NIB_TASK, /* graphs, as ONNX writes them */
                              MODEL_NIB_EXACT,
                              MODEL_NIB_BLOBS,
                              MODEL_NIB_KINDS
} model_nib_kind;

typedef struct model_nib_entry { /* of the table; MODEL_NIB_KINDS - 1 of them, in the order of kinds; length 0: there is none */
    uint64_t offset, length, checksum;
} model_nib_entry;

typedef struct model_nib_head {
    char magic[8];
    uint32_t order, version; /* MODEL_NIB_ORDER, as the machine that wrote it writes it */
    uint64_t length;         /* of the file */
    uint64_t checksum;       /* of all of this, with 0 here */
    char library[32];        /* for people: what wrote it, and for which instruction set */
    char cpu[32];
    model_nib_entry table[MODEL_NIB_KINDS];
} model_nib_head;

typedef struct model_nib_section {
    const uint8_t *data; /* NULL: there is none */
    size_t size;
} model_nib_section;

/* Whether a file begins as a compiled one does. */
bool model_nib_is(const void *bytes, size_t size);

/* Checks head and table, and the checksums of all sections but the blobs (of those too, if `all`). sections [MODEL_NIB_KINDS]. The
 * message says what does not fit: byte order, version, length, which section. */
nib_status model_nib_read(const void *bytes, size_t size, bool all, model_nib_section *sections, nib_error *err);

/* ---- what only a compiled model has */
typedef struct model_compiled {
    base_file file; /* graphs, tokenizer and weights point into it */
    char *about;    /* what `nib inspect` says of the model it was made of */
    char *made_of;  /* its path */
    char *library, *cpu, *precision_why;
    int64_t *below; /* model_input_below of each input */
    int n_below;
} model_compiled;

/* Fills a model from a compiled file, which it takes over (also on failure): programs, tokenizer, settings. The device is open. */
nib_status model_nib_open(nib_model *m, base_file *file, const nib_model_options *options, nib_error *err);
void model_nib_free(nib_model *m); /* the compiled part; NULL is accepted */

/* ---- settings */
#define MODEL_NIB_PACKED 65536 /* packed weights of one program, at most */

typedef struct model_nib_weight { /* of a program's packed constants, in their order */
    char layout[KERNEL_LAYOUT_NAME];
    int parts;
    uint64_t offset[GRAPH_PACKED_PARTS], bytes[GRAPH_PACKED_PARTS]; /* in the blobs */
} model_nib_weight;

typedef struct model_nib_program {
    model_nib_weight *weights; /* [count] */
    size_t count, capacity;
    char *notes;
} model_nib_program;

nib_status model_nib_put_settings(const nib_model *m, const model_nib_program programs[2], base_str *out, nib_error *err);
/* Fills m and programs (task, exact; freed by the caller, also on failure). */
nib_status model_nib_get_settings(nib_model *m, const char *json, size_t length, model_nib_program programs[2], nib_error *err);
void model_nib_free_programs(base_heap *heap, model_nib_program programs[2]);

/* ---- the verb (api/) */
nib_status model_compile_file(nib_runtime *runtime, const char *in, const char *out, const nib_compile_options *o, nib_error *err);
nib_status model_check_file(nib_runtime *runtime, const char *path, nib_error *err); /* all checksums */

#endif
