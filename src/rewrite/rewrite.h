/* SPDX-License-Identifier: Apache-2.0
 *
 * Graphs as files: optimizing one and proving that it computes the same, comparing two, showing one.
 *
 *     rewrite_optimize.c   load -> passes -> standard operators -> proof -> file
 *     rewrite_export.c     a Hugging Face folder -> Optimum's layout
 *     rewrite_folder.c     a folder's small files beside it
 *     rewrite_prove.c      both graphs run on random inputs; how large values become
 *     rewrite_cuts.c       where quantized graphs are cut, so that roundings do not amplify noise
 *     rewrite_costs.c      memory and time of both in nib
 *     rewrite_report.c     what was done, as text and JSON
 */
#ifndef REWRITE_H
#define REWRITE_H

#include "base/base_json.h"
#include "model/model.h"

struct nib_report {
    base_heap heap; /* its own: a report belongs to no runtime */
    base_str text;
    base_json_draft draft; /* of json */
    base_str json;         /* as rewrite_report_write left it */
};

/* ---- proof */
#define REWRITE_PROOF_OUTPUTS 1024
#define REWRITE_PROOF_TRIALS 4
#define REWRITE_WHY 300

typedef struct rewrite_difference { /* of one output, over all trials */
    const char *name;
    double largest;   /* |a - b| */
    double magnitude; /* largest |a| */
    bool same_shape;  /* shapes and types were equal */
} rewrite_difference;

/* What is rounded on the way (quantized graphs) is compared part by part, see rewrite_cuts.c. */
typedef struct rewrite_at_roundings {
    int count[2]; /* values that either graph rounds */
    int cuts;     /* where both were cut; 0: they were compared as a whole */
    char name[100];
    double largest; /* of all values before they are rounded: the largest difference relative to the value's magnitude, and whose it is */
} rewrite_at_roundings;

typedef struct rewrite_proof {
    bool ran;
    char why[REWRITE_WHY]; /* if not: what stood in the way */
    int trials;
    int64_t sizes[REWRITE_PROOF_TRIALS]; /* of what is not a batch, each trial */
    int n_outputs;
    rewrite_difference outputs[REWRITE_PROOF_OUTPUTS];
    rewrite_at_roundings roundings;
} rewrite_proof;

typedef enum rewrite_prove_how {
    REWRITE_PROVE_WHOLE = 0,
    REWRITE_PROVE_TOKENS = 1, /* rows of closed tokens are not compared */
    REWRITE_PROVE_PARTS = 2   /* cut at roundings */
} rewrite_prove_how;

/* Runs both graphs, as they are, on the same random inputs: padded masks, ids within their tables, sizes beyond the
 * integer constants of either. Inputs and outputs are matched by name. how: flags of rewrite_prove_how. TOKENS: rows
 * of [B, S, ..] whose token a mask [B, S] closes are not compared (a query that sees no key reads all of them alike
 * only where the mask swallows the scores, which half precision cannot). Not being able to is no error: proof->ran is
 * false. */
nib_status rewrite_prove(nib_runtime *runtime, const graph *a, const graph *b, int how, rewrite_proof *proof, nib_error *err);
/* The largest difference of an output, or of a value where it is cut, relative to its magnitude; infinite if shapes or types differ. */
double rewrite_proof_worst(const rewrite_proof *proof);
/* Whose it is. */
const char *rewrite_proof_worst_name(const rewrite_proof *proof);

/* Runs the graph on the proof's inputs. ranges [value_limit + 1], by id: those of f32 inputs and node outputs are filled; the others, and
 * all if it cannot be run (why[] says what stood in the way; else it is ""), are unknown. */
nib_status rewrite_measure(nib_runtime *runtime, const graph *g, pass_range *ranges, char why[REWRITE_WHY], nib_error *err);
/* ctx->g in half precision: what rewrite_measure finds says what fits into f16 (pass_half). */
nib_status rewrite_halve(pass_context *ctx);

/* ---- costs: of one run of either graph in nib, fused as a session fuses it; [0] of the first, [1] of the second */
typedef struct rewrite_costs {
    bool ran;
    char why[REWRITE_WHY]; /* if not */
    int64_t size;        /* of what is not a batch (that is 1); 0: all sizes are the model's own */
    int threads, rounds;
    bool halves;                      /* the second computes in f16 */
    size_t memory[2];                 /* bytes that a session holds */
    double estimated[2], measured[2]; /* seconds; at least, by the machine's measured speed; the least of `rounds` runs */
} rewrite_costs;
/* Not being able to run them is no error: costs->ran is false. About 0.2 s for a small model, half of it the machine's speed. */
nib_status rewrite_costs_of(nib_runtime *runtime, const graph *a, const graph *b, rewrite_costs *costs, nib_error *err);

/* ---- report */
typedef struct rewrite_count {
    const char *domain, *op;
    int before, after;
} rewrite_count;

typedef struct rewrite_counts { /* operators of one or two graphs, bodies included */
    rewrite_count *items;
    size_t count, capacity;
    int nodes[2];
    uint64_t weights[2]; /* bytes of constants */
} rewrite_counts;
nib_status rewrite_count_into(base_heap *heap, const graph *g, int which, rewrite_counts *counts, nib_error *err);

void rewrite_report_counts(nib_report *r, const rewrite_counts *counts);
void rewrite_report_proof(nib_report *r, const rewrite_proof *proof, double tolerance);
void rewrite_report_costs(nib_report *r, const rewrite_costs *costs);
void rewrite_report_notes(nib_report *r, const char *notes);
nib_status rewrite_report_create(nib_report **out, nib_error *err);
void rewrite_report_free(nib_report *r); /* NULL is accepted */
/* Writes what the draft holds now to r->json. */
nib_status rewrite_report_write(nib_report *r, nib_error *err);

/* ---- folders */
/* Copies what a model folder needs beside its model (tokenizer, settings) from one folder to the other. */
nib_status rewrite_copy_small_files(nib_runtime *runtime, const char *from, const char *to, nib_error *err);

/* Where a result goes: the file `out`, or, of a model that was a folder and unless `out` ends with .onnx, the folder `out`, with
 * model.onnx, the small files and nib.json, which is the report's JSON. */
typedef struct rewrite_out {
    const char *folder; /* that the model came from; NULL: it was a file */
    const char *out;
    int64_t external_over; /* as nib_optimize_options */
    const graph *mapped;   /* whose files weights lie in */
} rewrite_out;
/* A folder with safetensors is opened by them, and what is written beside them would never be read: INVALID_ARGUMENT. */
nib_status rewrite_check_out(nib_runtime *runtime, const char *folder, const char *out, nib_error *err);
nib_status rewrite_write_out(nib_runtime *runtime, const graph *g, const rewrite_out *to, const nib_report *report, nib_error *err);

/* ---- the verbs (api/). Each advances (base_stop) by so much: read, rewritten, compared, costs, written; a verb that leaves one out
 * advances by it at its end. */
#define REWRITE_STAGES 5
nib_status rewrite_optimize_file(nib_runtime *runtime, const char *in, const char *out, const nib_optimize_options *o, nib_report **report,
                               nib_error *err);
nib_status rewrite_diff_files(nib_runtime *runtime, const char *a, const char *b, const nib_optimize_options *o, nib_report **report,
                            nib_error *err);
/* It advances by REWRITE_EXPORT_STAGES: read, as model_prepare does, built, written. */
#define REWRITE_EXPORT_STAGES 4
nib_status rewrite_export_folder(nib_runtime *runtime, const char *in, const char *out, const nib_export_options *o, nib_error *err);
nib_status rewrite_graph_text(nib_runtime *runtime, const char *path, const nib_optimize_options *o, nib_graph_format format,
                            nib_report **report, nib_error *err);

#endif
