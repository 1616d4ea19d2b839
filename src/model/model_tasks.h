/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model must know of each task: one row a task, in the order of nib_task. A task is a suffix of the graph: nodes
 * behind an output, there before the passes run, so that they are fused, quantized and proven like any other. src/task
 * has one file a task, which gives the program texts and formats what comes out.
 */
#ifndef MODEL_TASKS_H
#define MODEL_TASKS_H

#include "model.h"

typedef enum model_result {                    /* what comes out, f32 */
                            MODEL_ROW_A_TEXT,  /* [batch, width] */
                            MODEL_ROW_A_TOKEN, /* [batch, seq, width] */
                            MODEL_ROW_EITHER,  /* as the suffix has made it */
                            MODEL_ROW_A_PLACE, /* [wanted, width], of tokens that run_roles.places names */
} model_result;

typedef struct model_task {
    const char *does; /* "embed texts": what messages say that a model cannot do */
    model_result result;
    /* Which output of g, the source, the task needs: fills p->output_name, output_why and pooled; or p->cannot, in
     * words. `wanted`: the one that was asked for by name, which is there; NULL: none was. */
    void (*choose)(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p);
    /* Appends to g, a clone of the source; v is the chosen output. Returns what the program gives; NULL: memory ran
     * out. */
    graph_value *(*suffix)(const nib_model *m, graph *g, graph_value *v, model_program *p);
    /* What else the program has, once its width is known; NULL: nothing. */
    nib_status (*finish)(const nib_model *m, model_program *p, nib_error *err);
    /* Further outputs behind v, of a row a token, into `out`: how many; -1: memory ran out. NULL: there are none. */
    int (*more)(const nib_model *m, graph *g, graph_value *v, graph_value *out[MODEL_MORE]);
} model_task;

/* NULL for MODEL_EXACT. */
const model_task *model_task_of(int which);

/* The task of a model that was opened for none (NIB_TASK_AUTO); *why in words, static storage. */
nib_task model_choose_task(const nib_model *m, const char **why);

/* The output that the task takes, into p. NOT_FOUND: the one that the model was opened with does not exist. */
nib_status model_choose_output(const nib_model *m, int which, model_program *p, nib_error *err);
/* Appends the task's suffix to g, as its only output. */
nib_status model_add_suffix(const nib_model *m, int which, graph *g, model_program *p, nib_error *err);
/* Whether g gives what the task's row says: fills p->width and what else the task has, or p->cannot. */
nib_status model_finish_task(const nib_model *m, int which, model_program *p, nib_error *err);

#endif
