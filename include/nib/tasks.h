/* SPDX-License-Identifier: Apache-2.0
 *
 * nib: what models are made for beside a vector or a label of a text. A part of nib.h, which includes it.
 *
 *     nib_rank      documents in the order in which they answer a query, by a cross encoder or reranker
 *     nib_colbert   rows of a query's or document's tokens, for late interaction (nib_maxsim of vectors.h scores them)
 *     nib_zero_shot which of any labels fit a text, by a model for natural language inference
 *     nib_answer    where in a text the answer to a question is
 *     nib_fill      words in the place of a text's masks
 *     nib_tag       names, places and whatever else a model finds among the tokens of a text, and where
 *
 *     const char *documents[] = { "a small blade", "a nib writes" };
 *     nib_ranked best[2]; size_t count;
 *     nib_rank(model, "what writes?", documents, 2, NULL, best, &count, &error);
 *     puts(documents[best[0].index]);
 *
 * Structs, errors and threads are as nib.h says. What a call gives for one text has the same bits whatever stands
 * beside it and however many threads there are. */
#ifndef NIB_TASKS_H
#define NIB_TASKS_H

#include "nib.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- ranking */

typedef struct nib_rank_options {
    size_t size;
    size_t query_length;   /* bytes of the query; 0: it ends with NUL */
    const size_t *lengths; /* [n] bytes of each document; NULL: they end with NUL */
    int64_t max_tokens;    /* of query and document together, as of nib_classify_options: the longer one is cut first */
    int64_t *tokens;       /* [n], filled with the tokens used of each pair; may be NULL */
    int64_t *full_tokens;  /* [n], filled with the tokens each would have without truncation; may be NULL */
    size_t top;            /* only so many of the best; 0: all */
    nib_scores scores;     /* what is made of the relevance x below: see nib_rank */
    nib_profile *profile;  /* as of nib_embed_options, of the task classify */
    nib_stop_fn stop;      /* of this call, in documents; NULL: it goes on to its end */
    void *stop_user;
    const nib_ticket *ticket; /* as of nib_embed_options; its `answer` is given the model's raw scores */
    const char *prompt_name;  /* as of nib_embed_options, put before the query; where a chat template makes one text */
    const char *prompt;       /* of query and document: its instruction */
} nib_rank_options;

NIB_API void nib_rank_defaults(nib_rank_options *options, size_t size);

/* A document and how well it answers. Frozen. */
typedef struct nib_ranked {
    size_t index; /* of `documents` */
    float score;
} nib_ranked;

/* Orders n documents by how well they answer a query, as CrossEncoder.rank of sentence-transformers does: the best
 * first, equal ones in the caller's order, and those whose score is no number behind all others. *count is n, or
 * options->top if that is less; `out` has room for n and gets so many. n = 0 is no error, and an empty query or
 * document is one like any other. The model gives a raw score for each label of the pair (query, document), and its
 * relevance x is
 *
 *     one label     that score
 *     two labels    the second one less the first: the log odds of the second, as a label "yes" or "relevant" is
 *     more          UNSUPPORTED: nothing says which of them is meant
 *
 * NIB_SCORES_RAW gives x. NIB_SCORES_SIGMOID 1 / (1 + e^-x), which of two labels is their softmax: NIB_SCORES_SOFTMAX
 * is the same, and INVALID_ARGUMENT for one label. NIB_SCORES_MODEL is the activation that the files name, else the
 * sigmoid.
 *
 * A reranker that is a decoder has one label: how much more likely one word is than another to come next ("yes", "no")
 * behind what its chat template makes of the pair; nib_model_describe says so. UNSUPPORTED, too: a template that does
 * what nib does not. INVALID_ARGUMENT: a prompt for one without a place for it, or one that the model does not have.
 *
 * Other errors as nib_classify; on failure *count is 0. */
NIB_API nib_status nib_rank(nib_model *model, const char *query, const char *const *documents, size_t n,
                            const nib_rank_options *options, nib_ranked *out, size_t *count, nib_error *error);

/* ---------------------------------------------------------------- labels of the caller's */

typedef struct nib_zero_shot_options {
    size_t size;
    const char *hypothesis; /* what is said of a label, "{}" standing for it; NULL: "This example is {}." */
    int multi_label;        /* 1: each label may hold or not, by itself; 0: one of them holds */
    const size_t *lengths;  /* [n] bytes of each text; NULL: the texts end with NUL */
    int64_t max_tokens;     /* of a text and what is said of a label together; of these two the text is cut */
    nib_profile *profile;   /* as of nib_embed_options, of the task classify */
    nib_stop_fn stop;       /* of this call, in pairs of a text and a label; NULL: it goes on to its end */
    void *stop_user;
    const nib_ticket *ticket; /* as of nib_embed_options, without `answer` */
} nib_zero_shot_options;

NIB_API void nib_zero_shot_defaults(nib_zero_shot_options *options, size_t size);

/* Says how well each of n_labels labels fits each of n texts, as transformers' ZeroShotClassificationPipeline does, by a
 * model for natural language inference: the text is its premise, what the hypothesis says of a label follows or does
 * not. out [n][n_labels]: of each text all labels, `index` being the label's, the best first, equal ones in the caller's
 * order, and what is no number last. A label's raw score is that of the model's label that begins with "entail", in any
 * case; the last one, with a warning, where none does. Scores are the softmax over all labels, or, of labels by
 * themselves and of one alone, over that and its contradiction: the model's first label, or its last where the first is
 * "entail...". INVALID_ARGUMENT: no labels, a hypothesis without "{}" or with several, or one that leaves no room for the
 * text. Other errors as nib_classify. */
NIB_API nib_status nib_zero_shot(nib_model *model, const char *const *texts, size_t n, const char *const *labels,
                                 size_t n_labels, const nib_zero_shot_options *options, nib_ranked *out,
                                 nib_error *error);

/* ---------------------------------------------------------------- tags: token classification, named entities */

/* How tokens become entities: as transformers' TokenClassificationPipeline has it. A label B-X begins an entity X, I-X
 * goes on with the one before it if that is an X, and a label without either is as I-. */
#define NIB_AGGREGATION_MAP(X)                                                                                         \
    X(NONE, 0, "none")       /* each token by itself */                                                                \
    X(SIMPLE, 1, "simple")   /* tokens in a row of one label; a score is their mean */                                 \
    X(FIRST, 2, "first")     /* words first: a word has its first token's label */                                     \
    X(AVERAGE, 3, "average") /* a word has the label that is best by the mean of its tokens' scores */                 \
    X(MAX, 4, "max")         /* a word has the label of its token with the highest score */

typedef enum nib_aggregation {
#define NIB_AGGREGATION_ENUM(name, number, text) NIB_AGGREGATION_##name = number,
    NIB_AGGREGATION_MAP(NIB_AGGREGATION_ENUM)
#undef NIB_AGGREGATION_ENUM
} nib_aggregation;

NIB_API const char *nib_aggregation_name(nib_aggregation aggregation);

typedef struct nib_tag_options {
    size_t size;
    nib_aggregation aggregation;
    int64_t max_tokens;        /* this call's limit, as of nib_embed_options */
    const size_t *lengths;     /* [n] bytes of each text; NULL: the texts end with NUL */
    int64_t *tokens;           /* [n], filled with the tokens used of each text, special ones included; may be NULL */
    int64_t *full_tokens;      /* [n], filled with the tokens each would have without truncation; may be NULL */
    const char *const *ignore; /* [ignore_count] labels that are left out; NULL: "O" alone */
    size_t ignore_count;
    int windows;    /* 1: a text that is too long is cut into windows, and nothing is lost; 0: its end is left out */
    int64_t stride; /* tokens that two windows share */
    nib_profile *profile; /* as of nib_embed_options, of the task tag */
    nib_stop_fn stop;     /* of this call, in texts, or in windows of 0; NULL: it goes on to its end */
    void *stop_user;
    const nib_ticket *ticket; /* as of nib_embed_options, without `answer`: entities come all together */
} nib_tag_options;

NIB_API void nib_tag_defaults(nib_tag_options *options, size_t size);

/* What was found. Frozen; the strings live as long as the nib_tags that has it. */
typedef struct nib_entity {
    const char *label; /* of a token, with its B- or I-; of a group, without */
    const char *word;  /* as the tokenizer puts the tokens together again; of a token by itself, its string */
    float score;       /* the probability of the label: the softmax of the model's scores */
    int32_t token; /* which of its text's tokens it begins with, special ones counted; in a window, of that window's */
    size_t begin, end; /* bytes of the text */
} nib_entity;

typedef struct nib_tags nib_tags;

/* Finds the entities of n texts. Those of text i are entities[0 .. count) of nib_tags_get(tags, i, ..), in the order of
 * the text. Whether a token goes on with a word is what the pipeline takes it for: where the vocabulary marks
 * subwords ("##"), a token that is longer than its place in the text; else one that no space stands before. An empty
 * text has none. A score that is no number stays one. Where two windows found different entities at one place, the
 * longer counts, then the one with the higher score. The caller frees *out. UNSUPPORTED: the model has no output
 * `logits` [batch, seq, labels]. INVALID_ARGUMENT, too: windows without an aggregation, as in transformers. Other
 * errors as nib_embed. */
NIB_API nib_status nib_tag(nib_model *model, const char *const *texts, size_t n, const nib_tag_options *options,
                           nib_tags **out, nib_error *error);
/* How many entities text i has, and where: *entities, which may be NULL. 0 for a text that there is not. */
NIB_API size_t nib_tags_get(const nib_tags *tags, size_t i, const nib_entity **entities);
NIB_API void nib_tags_free(nib_tags *tags); /* before or after the model; NULL is accepted */

/* ---------------------------------------------------------------- words in the place of masks */

typedef struct nib_fill_options {
    size_t size;
    const size_t *lengths;      /* [n] bytes of each text; NULL: the texts end with NUL */
    int64_t max_tokens;         /* this call's limit, as of nib_embed_options */
    int64_t *tokens;            /* [n], filled with the tokens used of each text, special ones included; may be NULL */
    int64_t *full_tokens;       /* [n], filled with the tokens each would have without truncation; may be NULL */
    size_t top;                 /* so many words of each mask, the most probable; 5 by default; no more than there are */
    const char *const *targets; /* [target_count] only these words; NULL: all */
    size_t target_count;
    nib_profile *profile; /* as of nib_embed_options, of the task fill */
    nib_stop_fn stop;     /* of this call, in texts; NULL: it goes on to its end */
    void *stop_user;
    const nib_ticket *ticket; /* as of nib_embed_options, without `answer`: words come all together */
} nib_fill_options;

NIB_API void nib_fill_defaults(nib_fill_options *options, size_t size);

/* A word for a mask. Frozen; the strings live as long as the nib_fills that has it. */
typedef struct nib_fill_entry {
    float score;          /* its probability among all words, targets or not: the softmax of the model's scores */
    int32_t token;        /* its id */
    const char *word;     /* as the tokenizer's decoder writes it */
    const char *sequence; /* the text with it in the mask's place: its tokens put together again, without special ones
                             unless there are several masks, as the others are then among them */
    size_t word_length, sequence_length; /* in bytes: a token may stand for the byte 0; NUL follows, too */
} nib_fill_entry;

typedef struct nib_fills nib_fills;

/* Finds what could stand in the place of masks in n texts, as transformers' FillMaskPipeline does: the tokenizer's mask
 * token ([MASK], <mask>), written in the text, is a place to fill. Words of one mask come with the most probable first,
 * equal ones by id, and one mask is filled as if the others stayed. A target that is no token of the vocabulary counts as
 * the first of its tokens, which a warning says; one without tokens is left out, with a warning. Only the rows of masks go
 * through the model's head. INVALID_ARGUMENT: a text without a mask (among the tokens that are left of it, if it is too
 * long), or no target that is left. UNSUPPORTED: the model has no output `logits` [batch, seq, words] of a ForMaskedLM,
 * or its tokenizer no mask. The caller frees *out. Other errors as nib_embed. */
NIB_API nib_status nib_fill(nib_model *model, const char *const *texts, size_t n, const nib_fill_options *options,
                            nib_fills **out, nib_error *error);
/* How many masks text i has; 0 for a text that there is not. */
NIB_API size_t nib_fills_masks(const nib_fills *fills, size_t i);
/* How many words there are for mask `mask` of text i, counted from 0, and which: *entries, which may be NULL. */
NIB_API size_t nib_fills_get(const nib_fills *fills, size_t i, size_t mask, const nib_fill_entry **entries);
NIB_API void nib_fills_free(nib_fills *fills); /* before or after the model; NULL is accepted */
/* The token that stands for what is to be filled in, "[MASK]"; it lives as long as the model. NULL: the tokenizer names
 * none, or there is no tokenizer. */
NIB_API const char *nib_model_mask_token(const nib_model *model);

/* ---------------------------------------------------------------- answers in a text */

typedef struct nib_answer_options {
    size_t size;
    const size_t *question_lengths; /* [n] bytes of each question; NULL: they end with NUL */
    const size_t *context_lengths;  /* [n] bytes of each context; NULL: they end with NUL */
    int64_t max_tokens;  /* of question and context together, in one window; 0: 384, or the model's if that is less */
    int64_t stride;      /* tokens of the context that two windows share; -1, the default: 128, or half of max_tokens */
    int64_t longest;     /* tokens of an answer at most; 15 by default */
    size_t top;          /* so many answers, the best; 1 by default */
    int impossible;      /* 1: that there is no answer is one, too: empty, from 0 to 0 */
    int whole_words;     /* 1, the default: an answer begins and ends where a word does; 0: where its tokens do */
    nib_profile *profile; /* as of nib_embed_options, of the task answer */
    nib_stop_fn stop;     /* of this call, in windows; NULL: it goes on to its end */
    void *stop_user;
    const nib_ticket *ticket; /* as of nib_embed_options, without `answer` */
} nib_answer_options;

NIB_API void nib_answer_defaults(nib_answer_options *options, size_t size);

/* Frozen. */
typedef struct nib_answer_entry {
    float score;       /* the product of both probabilities; of an answer that was found at several places their sum */
    size_t begin, end; /* bytes of the context */
} nib_answer_entry;

typedef struct nib_answers nib_answers;

/* Finds the answers to n questions, each in its context, as transformers' QuestionAnsweringPipeline (4.57) does: a
 * context that is too long is looked at in windows, of which each has all of the question; answers that say the same,
 * but for case, are one, at the place that was found first. The best come first; there are fewer than `top` where no
 * more can be. INVALID_ARGUMENT: an empty question or context, or a question that leaves no room for the context.
 * UNSUPPORTED: the model has no outputs start_logits and end_logits [batch, seq]. The caller frees *out. Other errors as
 * nib_embed. */
NIB_API nib_status nib_answer(nib_model *model, const char *const *questions, const char *const *contexts, size_t n,
                              const nib_answer_options *options, nib_answers **out, nib_error *error);
/* How many answers question i has, and which: *entries, which may be NULL. 0 for a question that there is not. */
NIB_API size_t nib_answers_get(const nib_answers *answers, size_t i, const nib_answer_entry **entries);
NIB_API void nib_answers_free(nib_answers *answers); /* before or after the model; NULL is accepted */

/* ---------------------------------------------------------------- late interaction (ColBERT) */

/* What a text is: it decides the prefix, the length, and whether it is filled up or has tokens left out. */
#define NIB_COLBERT_MAP(X) X(QUERY, 1, "query") X(DOCUMENT, 2, "document")

typedef enum nib_colbert_role {
#define NIB_COLBERT_ENUM(name, number, text) NIB_COLBERT_##name = number,
    NIB_COLBERT_MAP(NIB_COLBERT_ENUM)
#undef NIB_COLBERT_ENUM
} nib_colbert_role;

typedef struct nib_colbert_options {
    size_t size;
    int64_t max_tokens; /* this call's limit, where queries are not filled up; 0, or more than the role's: the role's */
    const size_t *lengths; /* [n] bytes of each text; NULL: the texts end with NUL */
    int64_t *tokens;       /* [n], filled with the tokens used of each text, without the prefix and what fills it up */
    int64_t *full_tokens;  /* [n], filled with the tokens each would have without truncation; both may be NULL */
    double pool_factor;    /* of documents: about one row for so many tokens, the mean of near ones; 1: all of them */
    nib_profile *profile;  /* as of nib_embed_options, of the task colbert */
    nib_stop_fn stop;      /* of this call, in texts; NULL: it goes on to its end */
    void *stop_user;
    const nib_ticket *ticket; /* as of nib_embed_options, without `answer` */
} nib_colbert_options;

NIB_API void nib_colbert_defaults(nib_colbert_options *options, size_t size);

/* Rows of length 1 of the tokens of n queries or documents, for MaxSim (Khattab and Zaharia, 2020). Text i has rows
 * offsets[i] to offsets[i + 1] of *out, which is f32 [offsets[n], width]; `offsets` is [n + 1]. What the folder says is
 * obeyed (doc/tasks.md): a prefix, lengths, queries filled up with a mask token, which may or may not be seen by the
 * others, documents without the rows of a skip list, a projection. UNSUPPORTED: the folder says nothing of it. The
 * caller frees *out with nib_tensor_free. Other errors as nib_embed. */
NIB_API nib_status nib_colbert(nib_model *model, nib_colbert_role role, const char *const *texts, size_t n,
                               const nib_colbert_options *options, int64_t *offsets, nib_tensor **out,
                               nib_error *error);

#ifdef __cplusplus
}
#endif

#endif
