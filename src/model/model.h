/* SPDX-License-Identifier: Apache-2.0
 *
 * The model: opens a path, strings doors, passes, plan and tokenizer together, keeps programs.
 *
 *     source     the graph as the door gave it, resolved and inferred; never changed again
 *     program    a clone of it for one purpose, after its passes, and the plan of that:
 *         exact      with ONNX's meaning, for named tensors
 *         a task's   with the task's suffix (model_tasks.h), fused and packed where that is proven, for texts
 *
 * A program is made once: the one of the model's task when it is opened, the others by the first call that wants them,
 * each under a lock of its own, so that nobody waits for it but who wants the same one and came too early. A program
 * that cannot be made is remembered, with why; what a lack of memory or a stopped call has ended is tried again.
 *
 * Immutable after open but for three things: programs, the machine's speed, which is measured when first asked for, and
 * each program's list of idle callers (model_callers.h).
 */
#ifndef MODEL_H
#define MODEL_H

#include "cpu/cpu.h"
#include "hf/hf.h"
#include "hf/hf_labels.h"
#include "onnx/onnx.h"
#include "pass/pass.h"
#include "quant/quant.h"
#include "run/run.h"
#include "text/text.h"

/* Which program: by the number of its task, and 0, which is no task's, is the exact one. */
#define MODEL_ONE(name, number, text) +1
enum { MODEL_EXACT = NIB_TASK_AUTO, MODEL_PROGRAMS = 0 NIB_TASK_MAP(MODEL_ONE) };
#undef MODEL_ONE

#define MODEL_MORE 2 /* outputs of a task beside its first */

/* A graph, its plan, and what is known of both. Immutable once it is made. */
typedef struct model_program {
    graph *g; /* NULL: there is none, and `cannot` says why */
    plan *p;
    char *notes; /* what the passes had to say */
    quant_layers rounded; /* what the model's precision has rounded; empty where a file has decided that, or of a compiled one */
    /* of a task's: */
    char cannot[300]; /* why the model cannot do it, or "" */
    run_roles roles;  /* of g's inputs */
    int output;       /* of the source, that the task takes */
    char output_name[128], output_why[256];
    bool judged;            /* a score of words that would come next: settings.judge */
    bool pooled;            /* by the source itself: its output is a row for each text */
    bool normalized;        /* vectors of tokens have length 1 */
    bool tokens;            /* rows come for tokens, all or those that are wanted, not for texts */
    int64_t width;          /* numbers in a row */
    int64_t more[MODEL_MORE]; /* numbers in a row of g's outputs 1, 2, which have one a token; 0: there is none */
    bool packed;            /* it computes no padding */
    int64_t longest;        /* tokens of a text that a table of its mask has; 0: any */
    int roundings;          /* of values to 8 bits that the file has, and that are left out */
    int dropouts;           /* that the file has set to training, and that are off */
    bool random;            /* it draws random numbers */
    bool mask_of_padding;   /* the file wants a mask of 1 at padding; the program turns what it is given */
    nib_precision computes; /* as its Linear layers compute (FILE: f32) */
    const char *precision_why;
    char **labels;          /* [width] of one that classifies or tags */
    nib_scores scores;      /* what is made of them unless something else is asked for; never MODEL */
} model_program;

typedef enum model_state { MODEL_UNMADE, MODEL_MADE, MODEL_FAILED } model_state;

/* A program's place in its model. */
typedef struct model_slot {
    base_mutex *making;   /* held by who makes it, which takes long */
    _Atomic int state;    /* model_state; what follows is there, and stays as it is, once it is not UNMADE */
    model_program program;
    nib_error failure;    /* FAILED: what every call of it answers */
    /* under the model's lock, never for long: */
    struct model_caller *idle; /* what came back last is first */
    int idle_count, idle_warm;
} model_slot;

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

#define MODEL_DEVICES 9

struct nib_model {
    _Atomic int references;
    nib_runtime *runtime;
    struct device *device;                 /* the host's */
    struct device *devices[MODEL_DEVICES]; /* in the order of preference, the host's last (model_devices.c) */
    int n_devices;
    char *path, *folder;      /* as given, or "memory"; where the small files are, NULL: nowhere */
    char *door;               /* "ONNX file", "Hugging Face folder", ... */
    const char *file;         /* of a folder: the file that was taken, and why; NULL: there was no choice. Static storage */
    char file_why[200];
    size_t weight_bytes;      /* of the mapped files */
    graph *source;            /* of a compiled model: its program's own */
    model_compiled *compiled; /* NULL: opened from its source */
    model_slot slots[MODEL_PROGRAMS];
    nib_task task; /* the model's own; never AUTO */
    const char *task_why;
    nib_model_options
        asked; /* as it was opened; output_name and route are copies, and of other pointers only whether they are NULL counts */
    hf_settings settings;
    hf_labels labels;               /* names of what a classifier tells apart */
    text_tokenizer *tokenizer;      /* NULL: the folder has none, or one of a kind that nib does not know */
    char *no_tokenizer;             /* why */
    nib_status no_tokenizer_status; /* what calls with texts answer: NOT_FOUND, UNSUPPORTED */
    run_roles roles;                /* of the source's inputs; a program's own say more */
    char no_texts[300];             /* why texts cannot be given to the source's inputs, or "" */
    int64_t ids_below, types_below; /* rows of the tables that these inputs look up; INT64_MAX: not known */
    nib_pooling pooling;
    bool normalize; /* embeddings have length 1 */
    bool
        normalize_first; /* or had it, before truncate_dim of the settings cut them: as sentence-transformers does it */
    int64_t max_tokens, batch_tokens;
    nib_precision precision, computes; /* as asked for; as that is taken */
    const char *precision_why;
    quant_layers chosen;       /* the only layers that are rounded, where they were chosen (model_choose) */
    char chosen_why[120];
    char max_tokens_why[128];
    const char *positions_why; /* which says settings.positions; NULL: config.json */
    int optimize;              /* pass level */
    bool pack;
    plan_speed speed; /* of one thread, measured when first asked for */
    bool has_speed;
    base_mutex *measuring; /* held while it is, which takes long */
    _Atomic int cut_said;  /* that vectors were cut which were not trained for it: once */
    base_mutex *lock;      /* of the lists of idle callers, and of: */
    uint64_t idle_returns; /* how often one came back */
};

/* The program of the model's own task, as far as there is one. */
static inline const model_program *model_own(const nib_model *m) { return &m->slots[m->task].program; }

/* The model's tokenizer of a tokenizer.json, or of what text_tokenizer_pack made of one (vocab is not NULL), with what the settings say
 * in its place (model_tokenizer.c). */
nib_status model_load_tokenizer(nib_model *m, const void *json, size_t length, const void *vocab, size_t size, nib_error *err);

/* Fills the model's tokenizer from its folder's files, or from those one folder up, which then is its folder, where it is "onnx"; or
 * no_tokenizer with why there is none. */
nib_status model_find_tokenizer(nib_model *m, nib_error *err);
/* A model of nothing but a tokenizer, with settings and max_tokens (0: nothing is said) of the folder `path`, or of the file `path`
 * alone: it runs nothing. Errors as nib_tokenizer_open. */
nib_status model_open_tokenizer(nib_runtime *runtime, const char *path, nib_model **out, nib_error *err);

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
    const graph *graph; /* in place of the path's own, whose small files count: cloned, its constants outlive the model; NULL: none */
} model_source;

#define MODEL_STAGES 4 /* that opening advances by (base_stop): read, tokenizer and settings, passes, plan */

/* Opens a model as it is published: a file or a folder. Errors as nib_model_open. */
nib_status model_open(const model_source *source, const nib_model_options *options, nib_model **out, nib_error *err);
nib_model *model_retain(nib_model *m);
void model_release(nib_model *m);

/* A program, by its task's number or MODEL_EXACT, made at the first call. UNSUPPORTED: the model cannot do that; other
 * errors as model_open. From any thread. */
nib_status model_get_program(nib_model *m, int which, const model_program **out, nib_error *err);

/* These layers alone are rounded, as they say, in place of what the model's precision says: its programs are dropped, and
 * made anew with them. `chosen` is the model's from here on; `why`, a line, is copied. The caller is the only one who has the model. */
void model_choose(nib_model *m, quant_layers *chosen, const char *why);

/* Whether its columns are labels. */
bool model_gives_labels(int which);

/* This machine's speed with the model's kernels, one thread; measured at the first call. */
nib_status model_speed(nib_model *m, plan_speed *out, nib_error *err);

void model_describe(const nib_model *m, base_str *out);
/* The part of it that is about the source: family, graph, weights, inputs, outputs. */
void model_describe_source(const nib_model *m, base_str *out);

/* OK if the model reads texts, else why not. */
nib_status model_check_tokenizer(const nib_model *m, nib_error *err);

/* Rows of the smallest table that input i of the graph looks up (its elements are below that); 0 if there is none. */
int64_t model_input_below(const nib_model *m, int i);

/* What the small files of a folder say, in lines; an error if it would not open for what they say (model_check.c). */
nib_status model_check(nib_runtime *runtime, const char *path, base_str *out, nib_error *err);

/* Opens the devices of a list as nib_model_options.device has it, NULL: the host alone; `devices` has room for
 * MODEL_DEVICES, the host's is there, and *n is 0. On failure those that are open are in it. */
nib_status model_open_devices(nib_runtime *rt, struct device *host, const char *list, struct device **devices, int *n, nib_error *err);
/* All, and the host's, which may be NULL. */
void model_close_devices(nib_runtime *rt, struct device *host, struct device *const *devices, int n);
/* What weights are rounded for: what products of the device that has the first choice read beside weights of each
 * format, and what `auto` is on it (*why: one line). The host's where it does not say (device_props). */
void model_product_rows(const nib_model *m, kernel_input rows[KERNEL_WEIGHTS]);
nib_precision model_auto_precision(const nib_model *m, const char **why);
extern const device_host_calls model_host_calls;

/* A model that has its runtime, path, lock and device, and is not open yet: one reference, the caller's. Each door fills the rest, and
 * ends with model_opened. */
nib_status model_create(const model_source *source, const nib_model_options *options, nib_model **out, nib_error *err);
/* Its source, settings, tokenizer and what follows from these, but no program: what a file is written of. */
nib_status model_prepare(nib_model *m, const model_source *source, const nib_model_options *options, nib_error *err);
#define MODEL_DOOR_FOLDER "Hugging Face folder" /* nib_model.door of one with safetensors */
/* What follows from the roles of its inputs. */
void model_opened(nib_model *m);

/* ---- for the doors: this room's and the compiled file's */
typedef struct model_found {
    const char *door; /* what the path was, in words; static storage, as the file */
    const char *file; /* of a folder: which of its files holds the model; NULL: the path is a file */
    char why[200];    /* it and no other */
} model_found;
/* The graph of a model file or folder, not yet resolved. route: hf_list_load. precision: what is asked for, of a folder that
 * holds several forms of one model. */
nib_status model_load(nib_runtime *runtime, const char *path, const char *route, nib_precision precision, graph **out,
                      model_found *found, nib_error *err);
/* OUT_OF_MEMORY if a request of the work on watch was refused. */
nib_status model_all_granted(nib_model *m, const base_watch *watch, nib_error *err);
/* In words, where settings.positions comes from. */
const char *model_positions_why(const nib_model *m);
/* INVALID_ARGUMENT: more is wanted than there are positions. */
nib_status model_choose_max_tokens(nib_model *m, int64_t wanted, nib_error *err);
/* Rows of the smallest and largest constant table that this value indexes; INT64_MAX and 0 if there is none. */
void model_tables_of(const graph_value *v, int64_t *least, int64_t *most);
/* What each input of the source is for, by use first and name second; fills m->roles or m->no_texts (model_roles.c). */
void model_find_roles(nib_model *m);
/* Frees what a program holds. */
void model_free_program(base_heap *heap, model_program *p);

#endif
