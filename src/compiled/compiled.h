/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled files (.nib): a model as it runs here, ready to be mapped. doc/nib-file.md is the format for readers.
 *
 *     compiled_container.c        the container: head, table of sections, checksums; a file's bytes -> sections
 *     compiled_settings.c   the settings as JSON, both ways
 *     compiled_open.c   sections -> a model: the door, which believes nothing
 *     compiled_write.c    a model -> a file
 *
 *     | head, table | settings | tokenizer | vocabulary | task | exact | blobs, from a multiple of 4096 on |
 *
 * A file has one task's program; the settings name the task.
 *
 * A file holds graphs (after all passes), weights as kernels read them, the tokenizer and the settings; never offsets, steps or addresses
 * of a plan: opening infers all types anew, and plans.
 */
#ifndef COMPILED_H
#define COMPILED_H

#include "model/model_tasks.h"

#define COMPILED_VERSION 4
#define COMPILED_ORDER 0x01020304u
#define COMPILED_PAGE 4096 /* where the blobs begin; those of a page or more each begin at a multiple, too */
#define COMPILED_ALIGN 64  /* of any other section and blob */

typedef enum compiled_kind { /* each at most once */
                              COMPILED_SETTINGS = 1,
                              COMPILED_TOKENIZER, /* tokenizer.json; without its vocabulary if there is a section for that */
                              COMPILED_VOCABULARY,
                              COMPILED_TASK, /* graphs, as ONNX writes them */
                              COMPILED_EXACT,
                              COMPILED_BLOBS,
                              COMPILED_KINDS
} compiled_kind;

typedef struct compiled_entry { /* of the table; COMPILED_KINDS - 1 of them, in the order of kinds; length 0: there is none */
    uint64_t offset, length, checksum;
} compiled_entry;

typedef struct compiled_head {
    char magic[8]; /* MODEL_COMPILED_MAGIC */
    uint32_t order, version; /* COMPILED_ORDER, as the machine that wrote it writes it */
    uint64_t length;         /* of the file */
    uint64_t checksum;       /* of all of this, with 0 here */
    char library[32];        /* for people: what wrote it, and for which instruction set */
    char cpu[32];
    compiled_entry table[COMPILED_KINDS];
} compiled_head;

typedef struct compiled_section {
    const uint8_t *data; /* NULL: there is none */
    size_t size;
} compiled_section;

/* Whether a file begins as a compiled one does. */
bool compiled_is(const void *bytes, size_t size);

/* Checks head and table, and the checksums of all sections but the blobs (of those too, if `all`). sections [COMPILED_KINDS]. The
 * message says what does not fit: byte order, version, length, which section. */
nib_status compiled_read(const void *bytes, size_t size, bool all, compiled_section *sections, nib_error *err);

/* Opens a model by what its first bytes are: a compiled file here, anything else by model_open. Errors as nib_model_open. */
nib_status compiled_open(const model_source *source, const nib_model_options *options, nib_model **out, nib_error *err);

/* ---- settings */
#define COMPILED_PACKED 65536 /* packed weights of one program, at most */

typedef struct compiled_weight { /* of a program's packed constants, in their order */
    char layout[KERNEL_LAYOUT_NAME];
    int parts;
    uint64_t offset[GRAPH_PACKED_PARTS], bytes[GRAPH_PACKED_PARTS]; /* in the blobs */
} compiled_weight;

typedef struct compiled_type { /* a constant whose numbers are to be rounded when it is packed */
    char *name;
    kernel_weight_format format;
    int axis;
} compiled_type;

typedef struct compiled_program {
    compiled_weight *weights; /* [count] */
    size_t count, capacity;
    compiled_type *types; /* [n_types] */
    size_t n_types;
    char *notes;
} compiled_program;

nib_status compiled_put_settings(const nib_model *m, const compiled_program programs[2], base_str *out, nib_error *err);
/* Fills m, its own task and what is known of that program, and programs (task, exact; freed by the caller, also on
 * failure). */
nib_status compiled_get_settings(nib_model *m, const char *json, size_t length, compiled_program programs[2], nib_error *err);
void compiled_free_programs(base_heap *heap, compiled_program programs[2]);

/* ---- the verbs (api/) */
#define COMPILED_STAGES (MODEL_STAGES + 2) /* that compiling advances by: opening, what is written, the file */
/* m, just opened from `in` with o->model, into a file. INVALID_ARGUMENT: m is compiled already. Errors as nib_compile_file. */
nib_status compiled_write(nib_model *m, const char *in, const char *out, const nib_compile_options *o, nib_error *err);
nib_status compiled_verify(nib_runtime *runtime, const char *path, nib_error *err); /* all checksums */

#endif
