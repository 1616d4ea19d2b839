/* SPDX-License-Identifier: Apache-2.0
 *
 * The model: opens a path, strings doors, passes, plan and tokenizer together, keeps plans.
 *
 *     source   the graph as the door gave it, resolved and inferred; never changed again
 *     task     a clone with the task's suffix (Pool, Normalize), fused and packed where proven; made at open
 *     exact    a clone with ONNX's meaning, fused; made when the first named-tensor session asks
 *
 * Immutable after open but for three things: the exact plan and the machine's speed, which are made when first asked for, and
 * the list of idle sessions that the simple calls take and give back. Making has a lock of its own, so that nobody who embeds
 * waits for it.
 */
#ifndef MODEL_H
#define MODEL_H

#include "cpu/cpu.h"
#include "hf/hf.h"
#include "onnx/onnx.h"
#include "pass/pass.h"
#include "quant/quant.h"
#include "run/run.h"
#include "text/text.h"

typedef struct model_program { /* a graph and its plan */
    graph *g;
    plan *p;
    char *notes; /* what the passes had to say */
} model_program;

/* What a model keeps of the compiled file that it was opened from (src/compiled). */
typedef struct model_compiled {
    base_file file;      /* zeroed: it lies in the caller's memory, */
    const uint8_t *data; /* and is this, which graphs, tokenizer and weights point into */
    size_t size;
    char *about;    /* what `nib inspect` says of the model it was made of */
    char *made_of;  /* its path */
    char *library, *cpu, *precision_why;
    int64_t *below; /* model_input_below of each input */
    int n_below;
} model_compiled;

struct nib_model {
    _Atomic int references;
    nib_runtime *runtime;
    struct device *device;
    char *path, *folder;      /* as given, or "memory"; where the small files are, NULL: nowhere */
    char *door;               /* "ONNX file", "Hugging Face folder", ... */
    size_t weight_bytes;      /* of the mapped files */
    graph *source;            /* of a compiled model: its program's own */
    model_compiled *compiled; /* NULL: opened from its source */
    model_program task, exact;
    hf_settings settings;
    text_tokenizer *tokenizer;      /* NULL: the folder has none, or one of a kind that nib does not know */
    char *no_tokenizer;             /* why */
    nib_status no_tokenizer_status; /* what calls with texts answer: NOT_FOUND, UNSUPPORTED */
    run_roles roles;
    bool packed;                    /* the task program computes no padding */
    bool pooled;                    /* by the graph itself: its output is a row for each text */
    int64_t ids_below, types_below; /* rows of the tables that these inputs look up; INT64_MAX: not known */
    int dropouts;                   /* that the file has set to training, and that are off in the task program */
    bool random;                    /* the task program draws random numbers */
    bool mask_of_padding;           /* the file wants a mask of 1 at padding; the task program turns what it is given */
    nib_pooling pooling;
    bool normalize; /* vectors have length 1 */
    bool
        normalize_first; /* or had it, before truncate_dim of the settings cut them: as sentence-transformers does it */
    int64_t dim, max_tokens, batch_tokens;
    nib_precision precision, computes; /* as asked for; as the task's Linear layers compute (FILE: f32) */
    const char *precision_why;
    char output_name[128];
    char output_why[256];
    char max_tokens_why[128];
    const char *positions_why; /* which says settings.positions; NULL: config.json */
    int optimize;              /* pass level */
    bool pack;
    plan_speed speed; /* of one thread, measured when first asked for */
    bool has_speed;
    char cannot_embed[300]; /* why texts cannot be embedded, or "" */
    base_mutex *making; /* held while the exact plan or the speed is made, which takes long */
    base_mutex *lock;   /* of what follows, never for long */
    void *idle;         /* list of task sessions, task/'s own, as the counts */
    void (*free_idle)(struct nib_model *);
    uint64_t idle_returns; /* how often one came back */
    int idle_count, idle_warm;
};

/* The model's tokenizer of a tokenizer.json, or of what text_tokenizer_pack made of one (vocab is not NULL), with what the settings say
 * in its place (model_tokenizer.c). */
nib_status model_load_tokenizer(nib_model *m, const void *json, size_t length, const void *vocab, size_t size, nib_error *err);

/* The first bytes of a compiled file, which is no model that this room opens. */
#define MODEL_COMPILED_MAGIC "\x89NIB\r\n\x1a\n"

/* What is computed in, where a precision says no more than "as the file has it". */
static inline nib_precision model_arithmetic(nib_precision p) {
    return p == NIB_PRECISION_FILE || p == NIB_PRECISION_AUTO ? NIB_PRECISION_F32 : p;
}

/* What is opened: a path; or bytes that outlive the model, with the folder of its small files and of external data, which may be NULL. */
typedef struct model_source {
    const char *path;
    const void *bytes; /* NULL: the path is all */
    size_t size;
} model_source;

#define MODEL_STAGES 4 /* that opening advances by (base_stop): read, tokenizer and settings, passes, plan */

/* Opens a model as it is published: a file or a folder. Errors as nib_model_open. */
nib_status model_open(const model_source *source, const nib_model_options *options, nib_model **out, nib_error *err);
nib_model *model_retain(nib_model *m);
void model_release(nib_model *m);

/* The exact program, made at the first call. */
nib_status model_exact(nib_model *m, const model_program **out, nib_error *err);

/* This machine's speed with the model's kernels, one thread; measured at the first call. */
nib_status model_speed(nib_model *m, plan_speed *out, nib_error *err);

void model_describe(const nib_model *m, base_str *out);
/* The part of it that is about the source: family, graph, weights, inputs, outputs. */
void model_describe_source(const nib_model *m, base_str *out);

/* OK if the model reads texts, else why not. */
nib_status model_check_tokenizer(const nib_model *m, nib_error *err);

/* Rows of the smallest table that input i of the graph looks up (its elements are below that); 0 if there is none. */
int64_t model_input_below(const nib_model *m, int i);

/* A model that has its runtime, path, lock and device, and is not open yet: one reference, the caller's. Each door fills the rest, and
 * ends with model_opened. */
nib_status model_create(const model_source *source, const nib_model_options *options, nib_model **out, nib_error *err);
/* What follows from the roles of its inputs. */
void model_opened(nib_model *m);

/* ---- for the doors: this room's and the compiled file's */
/* The graph of a model file or folder, not yet resolved; *door is what the path was, in words. */
nib_status model_load(nib_runtime *runtime, const char *path, graph **out, const char **door, nib_error *err);
/* OUT_OF_MEMORY if a request of the work on watch was refused. */
nib_status model_all_granted(nib_model *m, const base_watch *watch, nib_error *err);
/* In words, where settings.positions comes from. */
const char *model_positions_why(const nib_model *m);
/* INVALID_ARGUMENT: more is wanted than there are positions. */
nib_status model_choose_max_tokens(nib_model *m, int64_t wanted, nib_error *err);
/* Rows of the smallest and largest constant table that this value indexes; INT64_MAX and 0 if there is none. */
void model_tables_of(const graph_value *v, int64_t *least, int64_t *most);
/* What each input of the source is for, by use first and name second; fills m->roles or m->cannot_embed (model_roles.c). */
void model_find_roles(nib_model *m);
/* Which output to use; fills output_name and output_why, or cannot_embed. NOT_FOUND if `wanted` does not exist. */
nib_status model_choose_output(nib_model *m, const char *wanted, nib_error *err);
/* Appends the task's suffix to g, a clone of the source, as its only output. */
nib_status model_add_suffix(nib_model *m, graph *g, nib_error *err);

#endif
