/* SPDX-License-Identifier: Apache-2.0
 *
 * Graph -> graph. Each pass is one file; pass_list.c is their order and the -O levels. A pass leaves a graph on which
 * graph_verify holds (checked after each in debug builds) and whose outputs are the same within rounding.
 *
 * What a pass looks for is a pattern: a tree of operators in one line of text (pass_match.h), not nested ifs. What it
 * refuses it says with pass_note, and `nib explain` prints those very lines.
 */
#ifndef PASS_H
#define PASS_H

#include "base/base_runtime.h"
#include "graph/graph.h"
#include "op/op_nib.h"

typedef struct pass_notes { /* one line each: what was done, what was refused and why */
    base_str text;
} pass_notes;

/* What a transformer is made of, as reports count it. */
typedef enum pass_found {
    PASS_FOUND_ATTENTION,
    PASS_FOUND_ROTARY,
    PASS_FOUND_NORM,
    PASS_FOUND_GATE, /* a gated feed-forward: activation(x W1) * (x W2) */
    PASS_FOUND_KINDS,
} pass_found;

/* What of a batch reaches a text's result, beside the text itself. */
typedef enum pass_reach {
    PASS_REACH_NEIGHBOURS, /* or it is not known that they do not: texts must be run one at a time */
    PASS_REACH_PADDING,    /* how far it is padded, or what stands there: only texts of one length may be run together */
    PASS_REACH_NOTHING,
} pass_reach;

/* What the model's mask input says with a 1. */
typedef enum pass_sense {
    PASS_SENSE_TOKENS,
    PASS_SENSE_PADDING, /* as torch.nn.TransformerEncoder's src_key_padding_mask: the graph has been given 1 - mask */
    PASS_SENSE_BOTH,    /* one place of the graph reads it so, another so */
    PASS_SENSE_UNKNOWN, /* it is read, and what a 1 does there is not recognised */
} pass_sense;

typedef struct pass_half_share { /* bytes of f32 weights of Linear layers, as pass_half meets them */
    uint64_t all, half, guarded; /* became f16; stay f32 because a value leaves f16's range */
} pass_half_share;

/* Of which queries something must hold. */
typedef enum pass_queries {
    PASS_QUERIES_TOKENS, /* rows of padding are shown to nobody: a task */
    PASS_QUERIES_ALL,    /* outputs may show them */
} pass_queries;

/* What a graph is rewritten for. */
typedef enum pass_mode {
    PASS_MODE_EXACT, /* named tensors: ONNX's values everywhere */
    PASS_MODE_TASK,  /* texts, which nib fills in and of which only vectors are shown; packed where that is proven */
    PASS_MODE_TASK_PADDED,      /* the same, never packed */
    PASS_MODE_FILE,             /* to be written, for every reader of ONNX */
    PASS_MODE_FILE_ONNXRUNTIME, /* to be written, for ONNX Runtime */
    PASS_MODES,
} pass_mode;

/* What each decides; pass_mode.c has the rows.
 *
 * A graph that nib runs may hold its own operators, which say anything, and weights that folding has made
 * larger. One that is written holds only what its opset's operators can say; a weight may be moved, but must
 * not become larger, but for a row; a size that is not known may be taken for what it must be, since the file is proven; and
 * bodies are fused, too. */
typedef struct pass_mode_row {
    const char *name;
    bool runs;            /* nib runs the graph; else it is written */
    bool texts;           /* `task` meaning: what has fewer bits is computed in f32, and tokens come first in a text */
    bool packs;           /* padded rows may be left out, where that is proven */
    bool contrib;         /* com.microsoft's operators may be in it: those that are there stay, and more are made */
    int since;            /* of what is written: the first opset that can say all that is fused */
    pass_queries queries; /* whose rows outputs may show */
} pass_mode_row;
extern const pass_mode_row pass_modes[PASS_MODES];

typedef struct pass_context {
    graph *g;
    nib_runtime *runtime;
    const kernels *kernels; /* the host's, which evaluates constants; what the model's devices can run is asked of them */
    int level;                   /* -O level: 0 nothing, 1 simplify, 2 fuse, ... */
    pass_mode mode;              /* what the graph is for */
    size_t fold_limit;           /* bytes that one folded value may have; 0: the heap's limits.fold_bytes */
    size_t fold_left;            /* bytes that all values still to be folded may have; pass_run_all sets it */
    int64_t work_spent;          /* by folding */
    int64_t work_limit;          /* of it at most; 0: OP_ENV_WORK; pass_run_all adds the bytes of the constants */
    const char *const *disabled; /* [n_disabled] names of passes that are not run */
    size_t n_disabled;
    pass_notes *notes; /* may be NULL */
    nib_error *err;
    int kept[PASS_FOUND_KINDS]; /* found, and left in their long form: the file's operators cannot say them */
    int kept_always;            /* attentions of these, whatever the opset: no form computes the same */
    bool kept_half;             /* pass_widen has kept weights as they are, each behind a Cast, until they are found */
    int dropouts;               /* that were set to training, and are off */
    int quantized;              /* matrices of 8 bits that pass_quantized has found */
    int quantized_q4;           /* how many of them are q4's, but for what f16 cuts off of scales (pass_blocks) */
    int roundings;              /* of values to 8 bits, with their ranges, that pass_quantized has left out */
    bool cut;                   /* g is a body, cut off from what is around it (pass_each_body_alone) */
    bool fused;                 /* the fusing passes have run: what they look for need not be kept any more */
    int changes;                /* rewrites made so far */
    graph_value *mask;          /* of a task: the input that nib gives 1 for tokens and 0 for padding; NULL: none */
    pass_sense sense;           /* of a task: what pass_mask_sense has found */
    pass_reach reach;           /* of a task: what pass_pack has proven */
    bool packed;                /* pass_pack has packed the graph */
    int64_t longest;            /* tokens of a text at most, by the tables of masks that were read; 0: any */
    pass_half_share half;
} pass_context;

static inline const pass_mode_row *pass_mode_of(const pass_context *ctx) { return &pass_modes[ctx->mode]; }

#define PASS_FOLD_LIMIT (64u << 20)
/* Bytes that all folded values may have together: many small nodes must not make of a small file more than one large value and what
 * widening its constants takes. */
size_t pass_fold_budget(const pass_context *ctx);

/* Runs the passes of ctx->level in order. */
nib_status pass_run_all(pass_context *ctx);

/* Whether there is a pass of that name (what `disabled` may list). */
bool pass_exists(const char *name);

void pass_note(pass_context *ctx, const char *format, ...) BASE_PRINTF(2, 3);

/* The passes. */
nib_status pass_dropout(pass_context *ctx);    /* Dropout in training -> out of training, for a task or a file */
nib_status pass_contrib(pass_context *ctx);    /* com.microsoft's operators -> those that the other passes know */
nib_status pass_standard(pass_context *ctx);   /* ai.onnx's Attention and RotaryEmbedding -> nib's own, where it is not for a file */
nib_status pass_fold(pass_context *ctx);       /* constant nodes and shape arithmetic -> constants */
nib_status pass_constants(pass_context *ctx);  /* equal constants -> one */
nib_status pass_reshape(pass_context *ctx);    /* computed shapes, chains of reshapes -> one Reshape to a constant shape */
nib_status pass_shape(pass_context *ctx);      /* every computed size that is an input's size -> read from that input */
nib_status pass_clean(pass_context *ctx);      /* nodes without effect, duplicates, dead code */
nib_status pass_conv(pass_context *ctx);       /* what scales and shifts a convolution's channels, pads before it -> the convolution */
nib_status pass_branch(pass_context *ctx);     /* If with a constant condition -> the branch it takes */
nib_status pass_slice(pass_context *ctx);      /* a Slice of a Slice -> one; first states of zeros -> none */
nib_status pass_onehot(pass_context *ctx);     /* one-hot rows times a table -> a look-up in the table */
nib_status pass_map(pass_context *ctx);        /* element-wise operators on one shape -> one nib.Map, or a part of a convolution */
nib_status pass_transpose(pass_context *ctx);  /* chains of Transpose, and reshapes around one -> one Transpose */
nib_status pass_algebra(pass_context *ctx);    /* x (1 / y) -> x / y */
nib_status pass_grid(pass_context *ctx);       /* look-ups of everything in order -> the value itself */
nib_status pass_views(pass_context *ctx);      /* views around element-wise nodes -> the nodes alone */
nib_status pass_linear(pass_context *ctx);     /* MatMul, Gemm, + Add -> nib.Linear */
nib_status pass_activation(pass_context *ctx); /* what follows a Linear -> its activation and residual */
nib_status pass_norm(pass_context *ctx);       /* LayerNormalization and its long forms -> nib.Norm */
nib_status pass_pool(pass_context *ctx);       /* the L2 norm of nib.Pool's rows -> its attribute, in a task */
nib_status pass_pick(pass_context *ctx);       /* nib.Pick behind nodes that work row by row -> in front of them, in a task */
nib_status pass_embed(pass_context *ctx);      /* sums of Gathers -> nib.Embed */
nib_status pass_columns(pass_context *ctx);    /* parts of rows folded along an axis -> parts of their columns */
nib_status pass_rotary(pass_context *ctx);     /* x cos + rotate_half(x) sin on split heads -> nib.Rotary on rows */
nib_status pass_qkv(pass_context *ctx);        /* queries, keys and values of one attention -> columns of one Linear */
nib_status pass_attention(pass_context *ctx);  /* split heads, scores, softmax, values, merge heads -> nib.Attention */
nib_status pass_rows(pass_context *ctx);       /* Linears of rows folded to a matrix -> of the rows themselves */
nib_status pass_blocks(pass_context *ctx);     /* weights of few bits in blocks -> f32, where nib runs the graph */
nib_status pass_quantized(pass_context *ctx);  /* weights of 8 bits, their products -> f32, for a task */
nib_status pass_widen(pass_context *ctx);      /* f16, bf16 -> f32, for a task */
nib_status pass_widen_rest(pass_context *ctx); /* what it kept and no pass has taken in */
nib_status pass_mask_sense(pass_context *ctx); /* a mask that is 1 at padding -> 1 - mask; sets ctx->sense */
nib_status pass_pack(pass_context *ctx);       /* padded batch -> packed rows, where that is proven (pass_pack.c); sets ctx->reach */

/* ---- bodies (pass_body.c) */
nib_status pass_each_body(pass_context *ctx, nib_status (*fn)(pass_context *)); /* of ctx->g's nodes; ctx->g is the body */
/* The same, and patterns end at the body: what it reads from around it has no producer meanwhile (but is constant if it is). */
nib_status pass_each_body_alone(pass_context *ctx, nib_status (*fn)(pass_context *));
nib_status pass_body_names(pass_context *ctx); /* no name in a body hides one around it */

/* ---- half precision (pass_half.c) */
#define PASS_MASKED 1e7f    /* what a score is set to, or has added, where it is masked, is at least that far from 0 */
typedef struct pass_range { /* of an f32 value's elements, infinities left out */
    float largest;          /* magnitude; -1: unknown */
    float plain;            /* of those below PASS_MASKED */
} pass_range;
void pass_range_add(pass_range *r, const void *f32, size_t n); /* [n], at any alignment */

/* f32 -> f16, where the ranges [n_ranges] by value id allow it, of a graph without nib's operators. Notes what stays f32, and why. */
nib_status pass_half(pass_context *ctx, const pass_range *ranges, size_t n_ranges);

/* ---- for files */
nib_status pass_gemm(pass_context *ctx);             /* MatMul of rank 2 and a constant vector -> Gemm; "gemm" may be disabled */
nib_status pass_opset(pass_context *ctx, int opset); /* the same graph in another opset of ai.onnx; UNSUPPORTED names the node */
/* nib's operators -> operators that others know: ai.onnx's of the graph's opset; where the mode has them also
 * com.microsoft's. */
nib_status pass_expand(pass_context *ctx);
/* Whether the graph may have nib.`what`: one that is to be written only if its operators have a form for it. */
bool pass_can_say(const pass_context *ctx, const char *what);
/* A note: how many there are of each pass_found, in the graph as the fusing passes leave it. */
void pass_note_found(pass_context *ctx);
bool pass_note_random(pass_context *ctx);      /* a note, if any node draws random numbers: what, and where; whether one does */
nib_status pass_names(pass_context *ctx);      /* names and order of constants that depend only on the graph */
nib_status pass_expand_ort(pass_context *ctx); /* its second part */

/* What reaches an output of a task's graph whose inputs are [b, s]. rows: by value id, what packing has proven to be rows of tokens, each
 * of its own text; NULL: nothing. *at: where it is reached, or NULL. */
nib_status pass_follow_texts(pass_context *ctx, graph_dim b, graph_dim s, const uint8_t *rows, pass_reach *out, const graph_node **at);

/* How many keys before and after itself a query sees, in columns of the mask; -1: all. */
typedef struct pass_window {
    int64_t left, right;
    int64_t longest; /* tokens of a text at most: a table that says so ends there; 0: there is none */
    double hidden;   /* what is added to the scores of keys that are not seen, where that is one number; NaN: it is
                        several; -1: none is */
    const graph_value *test; /* the bool that is all it makes of the mask's numbers, whatever they are; NULL: it computes
                                with them */
    bool test_hides;         /* which is false for a token */
} pass_window;

/* Is `bias`, added to attention scores, nothing but the padding of keys by `mask` [B, S] and a window over i - j, for
 * those queries? Proven for every length, by the formula that its subgraph is (pass_formula.h). On a "no", why[] says
 * what stands in the way. */
bool pass_is_key_padding(pass_context *ctx, graph_value *bias, graph_value *mask, pass_queries queries,
                         pass_window *window, char *why, size_t capacity);

/* i32 [B, S], 1 for keys that count, by the model's own test of the mask's numbers; NULL: there is none, or memory ran
 * out. window: what pass_is_key_padding has found. */
graph_value *pass_mask_test(pass_context *ctx, graph_value *mask, const pass_window *window, graph_node *before);

/* So many tokens that what the graph computes of positions shows what it is: twice the product of the constants that positions are compared
 * with, multiplied or divided by; 0: there are none. */
double pass_mask_reach(const graph *g);

/* Is `bias` [.., S, S] 0 up to each query's own key and nothing but "masked" behind it, whatever the inputs' sizes? Exact for every query.
 */
bool pass_is_causal(pass_context *ctx, graph_value *bias, char *why, size_t capacity);
/* Can an element of v be -infinity? False only if no constant that it is computed from has one, no two of the lowest
 * numbers add up, and no number of a caller's is handed on. */
bool pass_may_be_infinite(const graph_value *v);
bool pass_may_be_lowest(const graph_value *v); /* the same of the lowest f32 */
/* Can a product that v is computed from leave f32 where a caller's mask holds other numbers than 0 and 1, as (1 - mask) *
 * lowest does for 3? A softmax of +infinity is NaN. */
bool pass_may_overflow(const graph_value *v);
/* Whether a bias that reads no more than a mask may hide keys, by a number that leaves some of a score's digits (beyond
 * 1e3), by one that leaves none (-1e9 and below). False of one that is computed of much else. */
bool pass_may_hide_some(const graph_value *bias);
bool pass_may_hide_all(const graph_value *bias);

/* ---- what passes do (pass_edit.c) */
/* Replaces root (an output of a node) by `with` everywhere, and infers with's type first if it is unknown. */
nib_status pass_replace(pass_context *ctx, graph_value *root, graph_value *with);
/* Adds node domain.op before `before`, with one output, inferred. */
graph_value *pass_emit(pass_context *ctx, graph_node *before, const char *domain, const char *type, graph_value *const *in, int n_in,
                       const char *hint);
/* The same in domain "", inferred; NULL: out of memory. */
graph_value *pass_emit_inferred(pass_context *ctx, graph_node *before, const char *type, graph_value *const *in,
                                int n_in, const char *hint);
/* The same for every row: a constant with at most one axis that is not 1, the last; and it with no more axes than rows
 * [N, C] have (NULL: memory ran out). */
bool pass_is_row_parameter(const graph_value *v);
graph_value *pass_row_parameter(pass_context *ctx, graph_value *v);
/* The attributes of a node that works along the last axis, for one on rows with fewer axes in front of it. */
nib_status pass_copy_attrs(pass_context *ctx, graph_node *to, const graph_node *from);
graph_value *pass_emit_without_nan(pass_context *ctx, graph_node *before, graph_value *y); /* Where(IsNaN(y), 0, y) */
/* The node that a view describes, inferred: *out is its result. */
nib_status pass_emit_linear(pass_context *ctx, graph_node *before, const op_linear *l, const char *hint, graph_value **out);
nib_status pass_emit_attention(pass_context *ctx, graph_node *before, const op_attention *a, const char *hint, graph_value **out);
graph_value *pass_emit_transpose(pass_context *ctx, graph_node *before, graph_value *v, const int64_t *perm);
graph_value *pass_emit_reshape(pass_context *ctx, graph_node *before, graph_value *v, const int64_t *shape, int rank);

/* ---- what passes ask (pass_values.c) */
/* Element i of a constant list of integers; false if v is none. */
bool pass_int_at(const graph_value *v, int i, int64_t *out);
/* v is columns [first, ..) of another value: an output of Split, or a Slice, along the last axis. Returns that value, or NULL. */
graph_value *pass_columns_of(const graph_value *v, int64_t *first);
/* Rounds its first input to steps that matter: not a size, which is small and whole. */
bool pass_rounds(const graph_node *n);
/* Draws random numbers when it runs: a Dropout only in training. */
bool pass_is_random(const graph_node *n);
bool pass_same_dims(const graph_type *a, const graph_type *b);    /* provably: same rank, equal dims, all known */
bool pass_same_shape(const graph_value *a, const graph_value *b); /* the same of their types */
/* Marks what is computed from marked values, through what bodies read, too; ends where `until` (NULL: none) is marked.
 * marked: by value id, g->value_limit bytes. */
void pass_mark_computed(const graph *g, uint8_t *marked, const graph_value *until);
bool pass_needs(pass_context *ctx, const graph_value *v, const graph_value *of); /* v is computed from `of` (or memory ran out) */
bool pass_is_disabled(const pass_context *ctx, const char *name);
/* Input i; NULL if it is left out. */
static inline graph_value *pass_input(const graph_node *n, int i) { return i < n->n_inputs ? n->inputs[i].value : NULL; }
static inline bool pass_is_last_axis(const graph_value *v, int64_t axis) {
    return axis == -1 || (v->type.rank > 0 && axis == v->type.rank - 1);
}
/* Columns of v: its last axis; false if their number is unknown. */
static inline bool pass_width(const graph_value *v, int64_t *out) {
    return v->type.rank > 0 && graph_dim_is_const(v->type.dims[v->type.rank - 1], out);
}

/* A weight in half precision that pass_widen keeps, behind a Cast, for nib.Linear and nib.Embed, which read it as it is: whether n is such
 * a Cast; what is behind it, and v itself where v comes from none; the Cast's result as a constant, where something else wants it. */
bool pass_is_kept(const pass_context *ctx, const graph_node *n);
graph_value *pass_behind_widening(const pass_context *ctx, graph_value *v);
nib_status pass_widen_kept(pass_context *ctx, graph_node *cast);

#endif
