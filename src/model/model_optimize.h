/* SPDX-License-Identifier: Apache-2.0
 *
 * Graphs as files: optimizing one and proving that it computes the same, comparing two, showing one.
 *
 *     model_optimize.c   load -> passes -> standard operators -> proof -> file
 *     model_folder.c     a folder's small files beside it
 *     model_prove.c      both graphs run on random inputs; how large values become
 *     model_cuts.c       where quantized graphs are cut, so that roundings do not amplify noise
 *     model_costs.c      memory and time of both in nib
 *     model_report.c     what was done, as text and JSON
 */
#ifndef MODEL_OPTIMIZE_H
#define MODEL_OPTIMIZE_H

#include "model.h"

struct nib_report {
    base_heap heap; /* its own: a report belongs to no runtime */
    base_str text, json;
};

/* ---- proof */
#define MODEL_PROOF_OUTPUTS 1024
#define MODEL_PROOF_TRIALS 4
#define MODEL_WHY 300

typedef struct model_difference { /* of one output, over all trials */
    const char *name;
    double largest;   /* |a - b| */
    double magnitude; /* largest |a| */
    bool same_shape;  /* shapes and types were equal */
} model_difference;

/* What is rounded on the way (quantized graphs) is compared part by part, see model_cuts.c. */
typedef struct model_at_roundings {
    int count[2]; /* values that either graph rounds */
    int cuts;     /* where both were cut; 0: they were compared as a whole */
    char name[100];
    double largest; /* of all values before they are rounded: the largest difference relative to the value's magnitude, and whose it is */
} model_at_roundings;

typedef struct model_proof {
    bool ran;
    char why[MODEL_WHY]; /* if not: what stood in the way */
    int trials;
    int64_t sizes[MODEL_PROOF_TRIALS]; /* of what is not a batch, each trial */
    int n_outputs;
    model_difference outputs[MODEL_PROOF_OUTPUTS];
    model_at_roundings roundings;
} model_proof;

typedef enum model_prove_how {
    MODEL_PROVE_WHOLE = 0,
    MODEL_PROVE_TOKENS = 1, /* rows of closed tokens are not compared */
    MODEL_PROVE_PARTS = 2   /* cut at roundings */
} model_prove_how;

/* Runs both graphs, as they are, on the same random inputs: padded masks, ids within their tables, sizes beyond the integer
 * constants of either. Inputs and outputs are matched by name. how: flags of
 * model_prove_how. TOKENS: rows of [B, S, ..] whose token a mask [B, S] closes are not compared (a query that sees no key reads all of them
 * alike only where the mask swallows the scores, which half precision cannot). Not being able to is no error: proof->ran is false. */
nib_status model_prove(nib_runtime *runtime, const graph *a, const graph *b, int how, model_proof *proof, nib_error *err);
/* The largest difference of an output, or of a value where it is cut, relative to its magnitude; infinite if shapes or types differ. */
double model_proof_worst(const model_proof *proof);
/* Whose it is. */
const char *model_proof_worst_name(const model_proof *proof);

/* Runs the graph on the proof's inputs. ranges [value_limit + 1], by id: those of f32 inputs and node outputs are filled; the others, and
 * all if it cannot be run (why[] says what stood in the way; else it is ""), are unknown. */
nib_status model_measure(nib_runtime *runtime, const graph *g, pass_range *ranges, char why[MODEL_WHY], nib_error *err);

/* ---- costs: of one run of either graph in nib, fused as a session fuses it; [0] of the first, [1] of the second */
typedef struct model_costs {
    bool ran;
    char why[MODEL_WHY]; /* if not */
    int64_t size;        /* of what is not a batch (that is 1); 0: all sizes are the model's own */
    int threads, rounds;
    bool halves;                      /* the second computes in f16 */
    size_t memory[2];                 /* bytes that a session holds */
    double estimated[2], measured[2]; /* seconds; at least, by the machine's measured speed; the least of `rounds` runs */
} model_costs;
/* Not being able to run them is no error: costs->ran is false. About 0.2 s for a small model, half of it the machine's speed. */
nib_status model_costs_of(nib_runtime *runtime, const graph *a, const graph *b, model_costs *costs, nib_error *err);

/* ---- report */
typedef struct model_count {
    const char *domain, *op;
    int before, after;
} model_count;

typedef struct model_counts { /* operators of one or two graphs, bodies included */
    model_count *items;
    size_t count, capacity;
    int nodes[2];
    uint64_t weights[2]; /* bytes of constants */
} model_counts;
nib_status model_count_into(base_heap *heap, const graph *g, int which, model_counts *counts, nib_error *err);

void model_json_string(base_str *out, const char *text, size_t length);
void model_report_counts(nib_report *r, const model_counts *counts);
void model_report_proof(nib_report *r, const model_proof *proof, double tolerance);
void model_report_costs(nib_report *r, const model_costs *costs); /* as the last member of an object that is closed already */
void model_report_notes(nib_report *r, const char *notes);
nib_status model_report_create(nib_report **out, nib_error *err);

/* ---- folders */
/* Copies what a model folder needs beside its model (tokenizer, settings) from one folder to the other. */
nib_status model_copy_small_files(nib_runtime *runtime, const char *from, const char *to, nib_error *err);

/* ---- the verbs (api/) */
nib_status model_optimize_file(nib_runtime *runtime, const char *in, const char *out, const nib_optimize_options *o, nib_report **report,
                               nib_error *err);
nib_status model_diff_files(nib_runtime *runtime, const char *a, const char *b, const nib_optimize_options *o, nib_report **report,
                            nib_error *err);
nib_status model_graph_text(nib_runtime *runtime, const char *path, const nib_optimize_options *o, nib_graph_format format,
                            nib_report **report, nib_error *err);

#endif
