/* SPDX-License-Identifier: Apache-2.0
 *
 * nib: transformer models, small and fast, natively.
 *
 * This with what it includes (chunks.h: long texts; hub.h: models by name; quantize.h; queue.h: many callers;
 * sparse.h; tasks.h: ranking, entities,
 * ColBERT; vectors.h: vectors stored and found) is the whole public API. It is read from top to bottom: status and error,
 * simple calls (open a model, embed or classify texts, free), the same with options and a runtime of your own, sessions
 * with named tensors, measuring, tensor files.
 *
 *     nib_model *model; nib_error error;
 *     if (nib_model_open("models/all-MiniLM-L6-v2", NULL, &model, &error)) { puts(error.message); return 1; }
 *     const char *texts[] = { "a small blade", "a nib writes" };
 *     float vectors[2 * 384];                          // 2 x nib_model_dim(model)
 *     if (nib_embed(model, texts, 2, NULL, vectors, &error)) puts(error.message);
 *     nib_model_free(model);
 *
 * Conventions. Fallible calls return nib_status: NIB_OK (0) or a negative code. Their result goes to the
 * last out-parameter, which is NULL (or untouched memory, for caller's buffers) on failure. `nib_error *` may
 * be NULL. Options may be NULL, which means the defaults. Strings are UTF-8; numbers in them have a point in every
 * locale. The library never prints, exits or aborts.
 *
 * Structs of any age. A program may have been built against an older or a newer header than the library's.
 *   Options: these structs begin with `size_t size` and may grow. nib_*_defaults(&options, sizeof options) fills one:
 *     the size that it is given, every default, and not a byte beyond that size (nothing at all if it is less than
 *     sizeof(size_t), or options is NULL). In a call, what a shorter struct does not have is the default. In a longer
 *     one, what this library does not know must be 0: else the caller asks for something that this library cannot do,
 *     and the call answers INVALID_ARGUMENT. So it does if `size` is less than sizeof(size_t).
 *   Results: structs that calls fill (nib_memory, nib_machine, nib_profile_step, nib_profile_totals, nib_value_info, nib_difference,
 *     nib_queue_statistics, nib_hub_model, nib_recipe) may grow. Each such call takes the size of the caller's: as much is written, and
 *     what this library does not know is 0.
 *   Frozen: nib_error, nib_string, nib_device, nib_tensor, nib_waiting, nib_vectors, nib_hit stay as they are while NIB_ABI_VERSION does.
 *
 * Threads. nib_runtime and nib_model are immutable and may be used by any number of threads at once.
 * A nib_session serves one thread at a time.
 *
 * Processes. After fork() the child may use and free its parent's runtimes and models, while the parent goes on:
 * threads of its own start when they are needed. Sessions, profiles and files, too, but those that another thread was
 * inside a call with. What the parent's other threads were in the middle of is not finished in the child, and its
 * memory stays taken. A child forked from inside one of nib's callbacks may only exec or exit.
 */
#ifndef NIB_NIB_H
#define NIB_NIB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(NIB_STATIC)
#define NIB_API
#elif defined(_WIN32)
#ifdef NIB_BUILDING
#define NIB_API __declspec(dllexport)
#else
#define NIB_API __declspec(dllimport)
#endif
#else
#define NIB_API __attribute__((visibility("default")))
#endif

#define NIB_VERSION_MAJOR 0
#define NIB_VERSION_MINOR 1
#define NIB_VERSION_PATCH 0
#define NIB_VERSION "0.1.0"

/* The version of the library that is linked, e.g. "0.1.0". Static storage. */
NIB_API const char *nib_version(void);

/* The version of the binary interface, which the library's soname ends with. Whatever was built against a header with
 * the same number runs with this library. It changes when a call is taken away, or its arguments or meaning change;
 * when a frozen struct changes, a member of another moves, or a number gets another meaning. It stays when calls,
 * numbers, and members at the end of other structs are added. */
#define NIB_ABI_VERSION 1

/* NIB_ABI_VERSION of the library that is linked. */
NIB_API int nib_abi_version(void);

/* ---------------------------------------------------------------- status and error */

#define NIB_STATUS_MAP(X)                                                                                                                  \
    X(OK, 0, "ok")                                                                                                                         \
    X(INVALID_ARGUMENT, -1, "invalid argument")                                                                                            \
    X(NOT_FOUND, -2, "not found")                                                                                                          \
    X(IO, -3, "input/output error")                                                                                                        \
    X(BAD_MODEL, -4, "malformed model")                                                                                                    \
    X(BAD_TOKENIZER, -5, "malformed tokenizer")                                                                                            \
    X(UNSUPPORTED, -6, "not supported")                                                                                                    \
    X(OUT_OF_MEMORY, -7, "out of memory")                                                                                                  \
    X(LIMIT, -8, "limit exceeded")                                                                                                         \
    X(SHAPE, -9, "shapes do not fit")                                                                                                      \
    X(TYPE, -10, "element types do not fit")                                                                                               \
    X(BUFFER_TOO_SMALL, -11, "buffer too small")                                                                                           \
    X(CANCELLED, -12, "cancelled")                                                                                                         \
    X(INTERNAL, -13, "internal error")                                                                                                     \
    X(DIFFERENT, -14, "results differ")                                                                                                    \
    X(TIMEOUT, -15, "timed out")                                                                                                           \
    X(QUEUE_FULL, -16, "queue full")                                                                                                       \
    X(DEVICE, -17, "a device failed")

typedef enum nib_status {
#define NIB_STATUS_ENUM(name, code, text) NIB_##name = code,
    NIB_STATUS_MAP(NIB_STATUS_ENUM)
#undef NIB_STATUS_ENUM
} nib_status;

/* The status in a few words; never NULL. Static storage. */
NIB_API const char *nib_status_text(nib_status status);

/* What went wrong and where. Filled on failure; cleared on success (OK, "", "", -1). Plain data, nothing to free, and nothing to fill
 * before a call. Frozen. */
typedef struct nib_error {
    nib_status status;
    char message[400]; /* one sentence, valid UTF-8, no newline */
    char node[120];    /* name of the graph node at fault, or "" */
    int64_t offset;    /* byte offset in the file at fault, or -1 */
} nib_error;

/* ---------------------------------------------------------------- types */

/* Element types; the numbers are those of ONNX's TensorProto.DataType. */
typedef enum nib_dtype {
    NIB_DTYPE_UNDEFINED = 0,
    NIB_DTYPE_F32 = 1,
    NIB_DTYPE_U8 = 2,
    NIB_DTYPE_I8 = 3,
    NIB_DTYPE_U16 = 4,
    NIB_DTYPE_I16 = 5,
    NIB_DTYPE_I32 = 6,
    NIB_DTYPE_I64 = 7,
    NIB_DTYPE_STRING = 8,
    NIB_DTYPE_BOOL = 9,
    NIB_DTYPE_F16 = 10,
    NIB_DTYPE_F64 = 11,
    NIB_DTYPE_U32 = 12,
    NIB_DTYPE_U64 = 13,
    NIB_DTYPE_C64 = 14,
    NIB_DTYPE_C128 = 15,
    NIB_DTYPE_BF16 = 16,
    NIB_DTYPE_F8E4M3FN = 17,
    NIB_DTYPE_F8E4M3FNUZ = 18,
    NIB_DTYPE_F8E5M2 = 19,
    NIB_DTYPE_F8E5M2FNUZ = 20,
    NIB_DTYPE_U4 = 21,
    NIB_DTYPE_I4 = 22,
    NIB_DTYPE_F4E2M1 = 23,
    NIB_DTYPE_F8E8M0 = 24,
    NIB_DTYPE_U2 = 25,
    NIB_DTYPE_I2 = 26,
    /* Not element types of ONNX: containers. Rank 1, dims[0] elements, `data` an array of nib_tensor (an optional has one or
     * none). The elements and their bytes live as long as the container. */
    NIB_DTYPE_SEQUENCE = 256,
    NIB_DTYPE_OPTIONAL = 257
} nib_dtype;

/* An element of a tensor of strings: `data` of such a tensor is an array of these. Frozen. */
typedef struct nib_string {
    const char *data; /* UTF-8, not NUL-terminated */
    size_t length;    /* bytes */
} nib_string;

/* "f32", "i64", ...; "?" for an unknown number. Static storage. */
NIB_API const char *nib_dtype_name(nib_dtype dtype);

/* Bits of one element (4 for NIB_DTYPE_I4: elements lie packed, the first in the low bits); 0 for strings, containers and
 * unknown types. */
NIB_API int nib_dtype_bits(nib_dtype dtype);

#define NIB_MAX_RANK 16

/* Where memory is: the kinds and numbers of DLPack's DLDevice. */
#define NIB_DEVICE_MAP(X)                                                                                              \
    X(CPU, 1, "cpu") /* 0, which is what a tensor has that says nothing, means the same */                             \
    X(CUDA, 2, "cuda")                                                                                                 \
    X(CUDA_HOST, 3, "cuda_host")                                                                                       \
    X(OPENCL, 4, "opencl")                                                                                             \
    X(VULKAN, 7, "vulkan")                                                                                             \
    X(METAL, 8, "metal")                                                                                               \
    X(VPI, 9, "vpi")                                                                                                   \
    X(ROCM, 10, "rocm")                                                                                                \
    X(ROCM_HOST, 11, "rocm_host")                                                                                      \
    X(EXTENSION, 12, "extension")                                                                                      \
    X(CUDA_MANAGED, 13, "cuda_managed")                                                                                \
    X(ONEAPI, 14, "oneapi")                                                                                            \
    X(WEBGPU, 15, "webgpu")                                                                                            \
    X(HEXAGON, 16, "hexagon")                                                                                          \
    X(MAIA, 17, "maia")                                                                                                \
    X(TRAINIUM, 18, "trainium")

typedef enum nib_device_kind {
#define NIB_DEVICE_ENUM(name, number, text) NIB_DEVICE_##name = number,
    NIB_DEVICE_MAP(NIB_DEVICE_ENUM)
#undef NIB_DEVICE_ENUM
} nib_device_kind;

/* Frozen. */
typedef struct nib_device {
    int32_t kind;  /* nib_device_kind */
    int32_t index; /* which one of that kind */
} nib_device;

/* "cpu", "cuda", ...; "?" for an unknown number. Static storage. */
NIB_API const char *nib_device_name(nib_device_kind kind);

/* A dense row-major tensor. Frozen. Zeros in the last three members (as `nib_tensor t = {0}` has them) say: memory of
 * the CPU, borrowed. Tensors that nib gives out say the same, with NIB_DEVICE_CPU; each call says how long their data
 * lives.
 *
 * A tensor with a `release` is given away. A call that takes it (nib_session_set_input, nib_session_bind_output) has it
 * from success on, and calls release(owner) once, when it needs the memory no more; on failure it stays the caller's.
 * Other calls only read, and ignore `release`. Of a container the container's own release counts; its elements have
 * none. Memory elsewhere than on the CPU is UNSUPPORTED.
 *
 * That is DLPack's protocol (dlpack.h, version 1: DLDevice, DLTensor, DLManagedTensor): of a DLManagedTensor *m whose
 * strides are row-major, data = (char *)m->dl_tensor.data + m->dl_tensor.byte_offset, place = m->dl_tensor.device,
 * owner = m, and release a function that calls m->deleter(m) if there is one. Another runtime's buffer (Java's
 * ByteBuffer, Python's memoryview, malloc's) is the same with that runtime's handle as owner. The other way, a DLTensor
 * of an output has its data, dims and place, and its deleter drops the caller's hold on the session. */
typedef struct nib_tensor {
    nib_dtype dtype;
    int rank;
    int64_t dims[NIB_MAX_RANK];
    void *data;
    size_t bytes; /* size of `data` */
    nib_device place;
    void (*release)(void *owner); /* NULL: the memory is borrowed */
    void *owner;                  /* what `release` is given */
} nib_tensor;

/* How a call that takes long is stopped, and how far it is. It is asked before anything is done and then now and again,
 * at most every few milliseconds; what is not 0 ends the call with CANCELLED, unless all was done by then: nothing is
 * written, and models, sessions and runtimes stay usable. `done` of `total` is counted in what the call says; both only
 * grow, and 0 of 0 is "not known".
 * Thread: the one that made the call, which waits meanwhile; no other ever calls it. It may call all of nib but what frees
 * or cancels what the call uses; it must not leave by longjmp or an exception. */
typedef int (*nib_stop_fn)(void *user, uint64_t done, uint64_t total);

typedef struct nib_runtime nib_runtime;
typedef struct nib_model nib_model;
typedef struct nib_session nib_session;
typedef struct nib_queue nib_queue;
typedef struct nib_request nib_request;
typedef struct nib_ticket nib_ticket;                 /* queue.h */
typedef struct nib_vector_options nib_vector_options; /* vectors.h */
typedef struct nib_chunk_options nib_chunk_options;   /* chunks.h */

/* ---------------------------------------------------------------- runtime (optional) */

#define NIB_LOG_MAP(X)                                                                                                 \
    X(ERROR, 0, "error")                                                                                               \
    X(WARN, 1, "warn")                                                                                                 \
    X(INFO, 2, "info")                                                                                                 \
    X(DEBUG, 3, "debug")

typedef enum nib_log_level {
#define NIB_LOG_ENUM(name, number, text) NIB_LOG_##name = number,
    NIB_LOG_MAP(NIB_LOG_ENUM)
#undef NIB_LOG_ENUM
} nib_log_level;

/* "error", ...; "?" for an unknown number, as with all names in this file. Static storage. */
NIB_API const char *nib_log_level_name(nib_log_level level);

typedef void (*nib_log_fn)(void *user, nib_log_level level, const char *message);

/* What opening a model may cost, whatever its files say (SECURITY.md). 0: the default; beyond `at most`, that. What goes beyond is
 * answered with LIMIT, but for folding: the value is then computed when the model runs. */
typedef struct nib_limits {
    size_t size;         /* sizeof(nib_limits) */
    int graph_depth;     /* bodies of If, Loop and Scan in one another: 32, at most 100 */
    int wire_nesting;    /* messages of an ONNX file in one another, and functions and bodies that call each other: 100, at most 200 */
    int json_depth;      /* arrays and objects of a JSON file in one another: 64, at most 1000 */
    int files;           /* of external data, or shards of safetensors: 4096 */
    size_t fold_bytes;   /* of one value that is computed when the model is opened: 64 MiB; of all, that and eight times the constants */
    size_t expand_bytes; /* of a sparse tensor made dense, and of the bodies of local functions where they are called: 64 MiB */
} nib_limits;

NIB_API void nib_limits_defaults(nib_limits *limits, size_t size);

/* memory_limit: what the control group or the machine has, whichever is less. */
#define NIB_MEMORY_AUTO ((size_t)-1)

typedef struct nib_runtime_options {
    size_t size;         /* sizeof(nib_runtime_options) */
    int threads;         /* threads that compute, the caller's included; 0: NIB_NUM_THREADS, else OMP_NUM_THREADS,
                            else the CPUs that affinity and the cgroup's quota grant */
    size_t memory_limit; /* ceiling, in bytes, on all that is taken from the allocator; 0: none; or NIB_MEMORY_AUTO. Mapped files do not
                            count */
    nib_log_fn log;      /* called from any thread, in the middle of calls: it may call no function of nib; NULL: silent */
    void *log_user;
    /* Both or none. `allocate` returns memory aligned to 64 bytes or NULL. Called from any thread, also at once, in the
     * middle of calls: they may call no function of nib. */
    void *(*allocate)(void *user, size_t bytes);
    void (*release)(void *user, void *pointer, size_t bytes);
    void *alloc_user;
    int private_reads; /* 1: read files into memory instead of mapping them, so that a file truncated by
                          someone else while in use cannot raise SIGBUS */
    const nib_limits *limits; /* copied; NULL: the defaults */
} nib_runtime_options;

NIB_API void nib_runtime_defaults(nib_runtime_options *options, size_t size);

/* Makes a runtime; the caller owns one reference. Models keep their own reference to it. */
NIB_API nib_status nib_runtime_create(const nib_runtime_options *options, nib_runtime **out, nib_error *error);

/* Drops the caller's reference. NULL is accepted. */
NIB_API void nib_runtime_free(nib_runtime *runtime);

/* Threads that compute, the caller's included. */
NIB_API int nib_runtime_threads(const nib_runtime *runtime);

typedef struct nib_memory {
    size_t current;       /* bytes held from the allocator now */
    size_t peak;          /* the most that were ever held */
    uint64_t allocations; /* how many blocks were ever taken */
    size_t limit;         /* the ceiling; 0: none */
    size_t refused;       /* bytes of the last request that was not granted; 0: there was none */
    size_t refused_at;    /* bytes that were held then */
} nib_memory;

NIB_API void nib_runtime_memory(const nib_runtime *runtime, nib_memory *out, size_t size);

/* ---------------------------------------------------------------- model */

/* What a model makes of texts. */
#define NIB_TASK_MAP(X)                                                                                                \
    X(AUTO, 0, "auto")         /* what folder or outputs say (not tokens, fill) if nothing pools; else embed */               \
    X(EMBED, 1, "embed")       /* a vector of each text: nib_embed */                                                  \
    X(TOKENS, 2, "tokens")     /* a vector of each token: nib_embed_tokens */                                          \
    X(CLASSIFY, 3, "classify") /* a score for each label: nib_classify */                                              \
    X(TAG, 4, "tag") X(COLBERT, 5, "colbert") /* labels, and rows for late interaction, of tokens: tasks.h */ \
    X(SPARSE, 6, "sparse")     /* a weight for each word of the vocabulary: sparse.h */ \
    X(HYBRID, 7, "hybrid")     /* BGE-M3: embed, sparse and colbert in one pass: nib_embed_hybrid of sparse.h */ \
    X(FILL, 8, "fill")         /* words in the place of masks: nib_fill of tasks.h */    \
    X(ANSWER, 9, "answer")     /* where in a text the answer to a question is: nib_answer of tasks.h */

typedef enum nib_task {
#define NIB_TASK_ENUM(name, number, text) NIB_TASK_##name = number,
    NIB_TASK_MAP(NIB_TASK_ENUM)
#undef NIB_TASK_ENUM
} nib_task;

NIB_API const char *nib_task_name(nib_task task);
NIB_API nib_status nib_task_from_name(const char *name, nib_task *out); /* as nib_precision_from_name */

#define NIB_PRECISION_MAP(X)                                                                                           \
    X(FILE, 0, "file") /* as the weights are stored; the default */                                                    \
    X(AUTO, 1, "auto") /* nib chooses; nib_model_describe says what it chose */                                        \
    X(F32, 2, "f32")                                                                                                   \
    X(BF16, 3, "bf16")                                                                                                 \
    X(F16, 4, "f16")                                                                                                   \
    X(Q8, 5, "q8")                                                                                                     \
    X(Q4, 6, "q4")                                                                                                     \
    X(MIXED, 7, "mixed") /* each layer the fewest of 4, 8 and 32 bits that keep min_cosine */

typedef enum nib_precision {
#define NIB_PRECISION_ENUM(name, number, text) NIB_PRECISION_##name = number,
    NIB_PRECISION_MAP(NIB_PRECISION_ENUM)
#undef NIB_PRECISION_ENUM
} nib_precision;

NIB_API const char *nib_precision_name(nib_precision precision);
/* The other way. NOT_FOUND, and *out as it was: there is none of that name. */
NIB_API nib_status nib_precision_from_name(const char *name, nib_precision *out);

#define NIB_POOLING_MAP(X)                                                                                             \
    X(MODEL, 0, "model") /* what the model's folder says; mean where it says nothing */                                \
    X(NONE, 1, "none")   /* the model's output is used as it is */                                                     \
    X(MEAN, 2, "mean")                                                                                                 \
    X(CLS, 3, "cls")                                                                                                   \
    X(MAX, 4, "max")                                                                                                   \
    X(MEAN_SQRT_LEN, 5, "mean_sqrt_len")                                                                               \
    X(WEIGHTED_MEAN, 6, "weighted_mean")                                                                               \
    X(LAST, 7, "last")

typedef enum nib_pooling {
#define NIB_POOLING_ENUM(name, number, text) NIB_POOLING_##name = number,
    NIB_POOLING_MAP(NIB_POOLING_ENUM)
#undef NIB_POOLING_ENUM
} nib_pooling;

NIB_API const char *nib_pooling_name(nib_pooling pooling);
NIB_API nib_status nib_pooling_from_name(const char *name, nib_pooling *out); /* as nib_precision_from_name */

typedef struct nib_model_options {
    size_t size;
    nib_runtime *runtime;    /* NULL: a default one, owned by the model */
    nib_precision precision; /* obeyed or refused (NIB_UNSUPPORTED), never replaced; only FILE and AUTO leave a choice */
    const char *device;      /* where it runs, in the order of preference: "cpu" (NULL, too), and in front of it plug-ins by name or path,
                                "mirror:1,cpu", "/opt/nib/mirror.so:1,cpu"; doc/devices.md. Obeyed or refused */
    const char *output_name; /* graph output that the model's task uses; NULL: chosen from the graph */
    nib_pooling pooling;
    int normalize;        /* 1 yes, 0 no, -1: what the model's folder says, of tokens' vectors no */
    int64_t max_tokens;   /* longest text in tokens, special ones included; 0: what the model's folder says. More than the model has
                             positions for is refused (INVALID_ARGUMENT) */
    int64_t batch_tokens; /* tokens one thread works on at a time; 0: chosen from the CPU's caches */
    int optimize;         /* for measuring: 0 runs the graph as it is, 1 simplified, 2 with fused operators; -1 (default): all, as 2 */
    int pack;             /* for measuring: 0 computes the padding of batches; -1 (default): none of it, where nib can prove that */
    nib_stop_fn stop;     /* of opening, in stages; NULL: it goes on to its end */
    void *stop_user;
    /* The model's task: opening gets ready for it. Calls of the others may be made, too, but on a compiled model: the
     * first one of each gets ready then, which takes about as long as opening did, keeps nobody waiting who calls for
     * something else, and fails with the errors of opening. */
    nib_task task;
    const char *route; /* of a folder with a Router (sentence-transformers; Asym of older versions): the task that texts are embedded for,
                          "query" or "document"; NULL: the Router's default. INVALID_ARGUMENT, with the routes' names: there is no such
                          one, no default, or no Router */
    double min_cosine;    /* mean cosine to the same file in f32 that vectors must have (of texts, of tokens, sparse; of scores
                             of labels it is their correlation), measured with nib's own sentences. Where they do not, layers get
                             more bits, 4 to 8 to 32, those first that gain most for a byte, until they do; nib_model_describe
                             says how many. It is the model's own task that is measured; where layers were raised, what calls of
                             other tasks have beside its layers stays f32. DIFFERENT, with the figure: the file itself holds
                             fewer bits. It opens the file in f32, too, and up to 40 times more where layers are raised: compile
                             it, to have that once, and the same everywhere. 0 (default): none, but 0.998 of MIXED. UNSUPPORTED:
                             the model is compiled, reads no texts, or is for the tasks hybrid, fill or answer */
    int sessions;         /* 1: opened for nib_session alone: it gets ready for no task, which a large file takes time and memory
                             for, and calls with texts or token ids answer UNSUPPORTED; 0 (default) */
} nib_model_options;

NIB_API void nib_model_defaults(nib_model_options *options, size_t size);

/* Opens an .onnx file or a folder as Hugging Face lays it out (config.json + model.safetensors; else model.onnx or
 * onnx/model.onnx; else a form of it in half precision or fewer bits, such as onnx/model_quantized.onnx, the nearest to the
 * precision that is asked for: nib_model_describe says which, and why;
 * tokenizer.json, tokenizer_config.json; modules.json, 1_Pooling/config.json, sentence_bert_config.json,
 * config_sentence_transformers.json). A key of these files that nib neither obeys nor knows to change nothing is a warning of the log.
 * Or a compiled file (nib_compile_file): options that ask for something else than it was compiled for are UNSUPPORTED, and so is a file
 * whose weights are packed for kernels that this processor does not have.
 * A tokenizer of a kind that nib does not know is no error here: the model runs on token ids (sessions), and calls with texts answer
 * UNSUPPORTED. The caller owns one reference. Errors: NOT_FOUND, IO, BAD_MODEL, BAD_TOKENIZER, UNSUPPORTED, LIMIT, OUT_OF_MEMORY. */
NIB_API nib_status nib_model_open(const char *path, const nib_model_options *options, nib_model **out, nib_error *error);

/* Opens a model that is in memory: the bytes of an .onnx file, or of a compiled one. They are borrowed, and stay as they are, until
 * the last reference to the model is gone; those of a compiled model that do not begin at a multiple of 64 are copied.
 * `folder`: where an .onnx model's external data, tokenizer and settings lie; NULL: nowhere, so that the model runs on token ids, with
 * mean pooling unless the options say otherwise. Errors as nib_model_open; messages call the model "memory". */
NIB_API nib_status nib_model_open_memory(const void *bytes, size_t size, const char *folder, const nib_model_options *options,
                                         nib_model **out, nib_error *error);

/* Takes one more reference and returns the model. */
NIB_API nib_model *nib_model_retain(nib_model *model);

/* Drops one reference; the last one frees the model. NULL is accepted. */
NIB_API void nib_model_free(nib_model *model);

/* The model's task, which is never NIB_TASK_AUTO; AUTO for NULL. */
NIB_API nib_task nib_model_task(const nib_model *model);

/* Length of one embedding, and of one token's vector if the model's task is that; 0 if the model gives none. */
NIB_API int64_t nib_model_dim(const nib_model *model);

/* Longest text in tokens that the model takes. */
NIB_API int64_t nib_model_max_tokens(const nib_model *model);

/* What the model is and how nib runs it, as lines of text for a person.
 * Writes at most `capacity` bytes, the final NUL included, and stores the full length (without NUL) in `*length`. */
NIB_API nib_status nib_model_describe(const nib_model *model, char *buffer, size_t capacity, size_t *length);

/* Every step of the plan of the model's task: kernel, shape, its share of the least time that a text of 128 tokens
 * could take, and why faster kernels were refused. Same contract. The first call measures the machine (100 ms). */
NIB_API nib_status nib_model_explain(nib_model *model, char *buffer, size_t capacity, size_t *length, nib_error *error);

/* Gets ready for calls of the model's task (nib_embed and nib_embed_ids, ...): for `callers` threads that call at
 * the same time (at least 1), memory for texts of up to max_tokens tokens (0: as long as the model takes) and for a
 * full group a thread is taken and touched, so that calls with up to a group of such texts for each thread find all
 * of theirs. Takes about as long as running one such text for each caller. */
NIB_API nib_status nib_model_warm(nib_model *model, int64_t max_tokens, int callers, nib_error *error);

/* ---------------------------------------------------------------- embedding */

typedef struct nib_profile nib_profile;

typedef struct nib_embed_options {
    size_t size;
    int64_t max_tokens;      /* this call's limit; 0, or more than the model's: the model's. Longer texts are truncated */
    const size_t *lengths;   /* [n] bytes of each text; NULL: the texts end with NUL */
    int64_t *tokens;         /* [n], filled with the tokens used of each text, special ones included; may be NULL */
    int64_t *full_tokens;    /* [n], filled with the tokens each text would have without truncation; may be NULL */
    nib_profile *profile;    /* of this call's task: counts what its steps take; NULL: nothing is timed */
    const char *prompt_name; /* one of the model's prompts, "" for none; NULL: the model's default, if it has one */
    const char *prompt;      /* this text, put before each of the texts as it is, in place of a prompt by name; NULL: see prompt_name */
    nib_stop_fn stop;        /* of this call, in texts; NULL: it goes on to its end. Vectors of a stopped call are of no use */
    void *stop_user;
    const nib_ticket *ticket; /* to wait in a queue, or to be told of each text; NULL: neither. With a queue no profile */
    const nib_vector_options *vectors; /* fewer numbers and bits of what is written to `out`; NULL: f32, all. A ticket's answer gets rows
                                          as the model gives them; `ranges` live as long as a submitted call's `out` */
    const nib_chunk_options *chunks; /* what becomes of texts that are too long; NULL: they are cut. Of nib_embed, nib_embed_chunks and
                                        streams: submitted calls (UNSUPPORTED), ids and tokens (INVALID_ARGUMENT) take none */
} nib_embed_options;

NIB_API void nib_embed_defaults(nib_embed_options *options, size_t size);

/* Embeds n texts. `out` is f32 [n, nib_model_dim(model)], or [n] vectors as options->vectors says, in the order of `texts`; a vector's
 * bits depend only on its text, never on the batch, its order or the threads. A byte sequence that is not UTF-8 is read as U+FFFD. A
 * prompt counts into tokens and full_tokens; where the model's pooling leaves it out, so does this. INVALID_ARGUMENT for a name that is
 * none of the model's prompts (the message lists them), and for both prompt and prompt_name. n = 0 is no error. On failure `out` holds
 * nothing of use. UNSUPPORTED: the model cannot embed, or was compiled for another task. */
NIB_API nib_status nib_embed(nib_model *model, const char *const *texts, size_t n, const nib_embed_options *options, void *out,
                             nib_error *error);

/* Prompt i of the model's (config_sentence_transformers.json): its name and text, which live as long as the model. NOT_FOUND: there are
 * no more. */
NIB_API nib_status nib_model_prompt(const nib_model *model, size_t i, const char **name, const char **text);

/* The text of a prompt by name, as nib_embed_options.prompt_name: NULL is the model's default, "" none. `*text` is "" if there is none to
 * be put before a text; it lives as long as the model. INVALID_ARGUMENT: the model has no prompt of that name; the message lists them. */
NIB_API nib_status nib_model_choose_prompt(const nib_model *model, const char *name, const char **text, nib_error *error);

/* The same from token ids, as nib_tokenize gives them (special tokens included; their types are 0): text i is
 * ids[i][0 .. lengths[i]), from 1 to the model's max_tokens of them. Of the options `profile`, `stop`, `ticket` and `vectors` count; there
 * is no prompt.
 * INVALID_ARGUMENT for an id that the model does not have, a negative one too; the message says which. */
NIB_API nib_status nib_embed_ids(nib_model *model, const int32_t *const *ids, const int64_t *lengths, size_t n,
                                 const nib_embed_options *options, void *out, nib_error *error);

/* A vector of each token of n texts, special tokens and a prompt's included: what nib_embed pools. Text i has rows offsets[i] to
 * offsets[i + 1] of *out, which is f32 [offsets[n], width], or as options->vectors says (nib_vector_dtype; of bits, bytes of eight);
 * `offsets` is [n + 1]. Options and errors as nib_embed. A text's rows have the same bits whatever the batch and the threads. The caller
 * frees *out with nib_tensor_free, before or after the model; its bytes count as the runtime's. */
NIB_API nib_status nib_embed_tokens(nib_model *model, const char *const *texts, size_t n, const nib_embed_options *options,
                                    int64_t *offsets, nib_tensor **out, nib_error *error);

/* Token ids of one text, as the model gets them; a prompt is the caller's to put before it. Writes at most `capacity` ids and stores how
 * many there are in `*count`; `begins` and `ends` (may be NULL) get each token's span in `text`, in bytes; special tokens have an empty
 * span. max_tokens 0: no truncation. */
NIB_API nib_status nib_tokenize(const nib_model *model, const char *text, size_t length, int64_t max_tokens, int32_t *ids, size_t *begins,
                                size_t *ends, size_t capacity, size_t *count, nib_error *error);

/* ---- a tokenizer by itself: with texts in pairs, and back to text. It is immutable, and any number of threads may use it. */

typedef struct nib_tokenizer nib_tokenizer;

/* Opens a tokenizer, of a model or without one. `path`: a folder, whose tokenizer's files are read as transformers reads them, with
 * tokenizer_config.json and special_tokens_map.json, and built of vocabulary files where there is no tokenizer.json; a tokenizer.json,
 * which is read as the `tokenizers` library reads it, alone; a SentencePiece model, if its name ends in .model; or a vocab.txt of
 * BERT's kind, if it ends in .txt.
 * `runtime` may be NULL. The caller frees it. Errors: NOT_FOUND, IO, BAD_TOKENIZER, BAD_MODEL (a file beside it), UNSUPPORTED, LIMIT,
 * OUT_OF_MEMORY. */
NIB_API nib_status nib_tokenizer_open(const char *path, nib_runtime *runtime, nib_tokenizer **out, nib_error *error);
/* The tokenizer of a model, which it keeps alive; freed like any other. NOT_FOUND, UNSUPPORTED: the model reads no texts. */
NIB_API nib_status nib_model_tokenizer(nib_model *model, nib_tokenizer **out, nib_error *error);
NIB_API void nib_tokenizer_free(nib_tokenizer *tokenizer); /* NULL is accepted */

/* Longest text in tokens, special ones included, that the model or the files say; 0: they say nothing. */
NIB_API int64_t nib_tokenizer_max_tokens(const nib_tokenizer *tokenizer);
/* A token's string as the vocabulary has it, and its length; it may hold bytes of 0, and lives as long as the tokenizer. NULL: there is
 * no token of that id. */
NIB_API const char *nib_tokenizer_token(const nib_tokenizer *tokenizer, int32_t id, size_t *length);

/* max_tokens: what the model or the files say. */
#define NIB_TOKENS_OWN (-1)

/* Which text is cut where there are too many tokens. */
#define NIB_CUT_MAP(X)                                                                                                 \
    X(OWN, 0, "own")                     /* as tokenizer.json says with its own max_tokens; else as longest-first */    \
    X(LONGEST_FIRST, 1, "longest-first") /* the longer one until both are as long, then both */                        \
    X(ONLY_FIRST, 2, "only-first")                                                                                     \
    X(ONLY_SECOND, 3, "only-second")

typedef enum nib_cut {
#define NIB_CUT_ENUM(name, number, text) NIB_CUT_##name = number,
    NIB_CUT_MAP(NIB_CUT_ENUM)
#undef NIB_CUT_ENUM
} nib_cut;

typedef struct nib_encode_options {
    size_t size;             /* sizeof(nib_encode_options) */
    const char *pair;        /* a second text, which the tokenizer's template puts behind the first; NULL: none */
    size_t pair_length;
    int64_t max_tokens;      /* longest, special tokens included: the longer text is cut first; 0: none is cut; NIB_TOKENS_OWN, the
                                default: as the model or the files say */
    int no_special;          /* 1: without the template's special tokens */
    int32_t *types;          /* [capacity], filled with the tokens' types; may be NULL, as what follows */
    size_t *begins, *ends;   /* [capacity], filled with each token's span in bytes of its text; a special token's is empty */
    unsigned char *parts;    /* [capacity], filled with what each token is of: 0 the text, 1 the second text, 2 the template */
    size_t *full_count;      /* how many tokens there would be if none were cut */
    nib_cut cut;             /* the text to cut; INVALID_ARGUMENT if it is too short for that */
    int cut_front;           /* 1: the front is cut, 0: the end, -1: as the files say */
    int windows;             /* 1: what is cut off follows, in windows as long as the first and with special tokens of their own, one behind
                                the other in the arrays above */
    int64_t stride;          /* tokens that two windows in a row share; -1: as tokenizer.json says */
    size_t *window_begins;   /* [window_capacity], filled with where each window begins in the arrays */
    size_t window_capacity;
    size_t *window_count;
} nib_encode_options;

NIB_API void nib_encode_defaults(nib_encode_options *options, size_t size);

/* Token ids of one text, or of two. Writes at most `capacity` ids, and stores how many there are in `*count`. */
NIB_API nib_status nib_encode(const nib_tokenizer *tokenizer, const char *text, size_t length, const nib_encode_options *options,
                              int32_t *ids, size_t capacity, size_t *count, nib_error *error);

/* The text that n ids stand for, as the tokenizer's decoder puts it together; an id without a token is left out, and where skip_special
 * is 1 special tokens are. Writes at most `capacity` bytes, a NUL at the end included, and stores the text's length in `*length`.
 * UNSUPPORTED: a decoder of another kind. */
NIB_API nib_status nib_decode(const nib_tokenizer *tokenizer, const int32_t *ids, size_t n, int skip_special, char *buffer,
                              size_t capacity, size_t *length, nib_error *error);

/* ---------------------------------------------------------------- classification */

/* What is made of a model's raw scores x. */
#define NIB_SCORES_MAP(X)                                                                                              \
    X(MODEL, 0, "model")     /* what config.json says: see nib_classify */                                             \
    X(RAW, 1, "raw")         /* x */                                                                                   \
    X(SOFTMAX, 2, "softmax") /* e^x over their sum: one label is meant */                                              \
    X(SIGMOID, 3, "sigmoid") /* 1 / (1 + e^-x): each label by itself */

typedef enum nib_scores {
#define NIB_SCORES_ENUM(name, number, text) NIB_SCORES_##name = number,
    NIB_SCORES_MAP(NIB_SCORES_ENUM)
#undef NIB_SCORES_ENUM
} nib_scores;

NIB_API const char *nib_scores_name(nib_scores scores);

typedef struct nib_classify_options {
    size_t size;
    int64_t max_tokens;         /* as of nib_embed_options; of a pair, the longer text is cut first */
    const size_t *lengths;      /* [n] bytes of each text; NULL: the texts end with NUL */
    const size_t *pair_lengths; /* [n] of each second text */
    int64_t *tokens;            /* [n], filled with the tokens used of each, special ones included; may be NULL */
    int64_t *full_tokens;       /* [n], filled with the tokens each would have without truncation; may be NULL */
    nib_scores scores;
    nib_profile *profile; /* as of nib_embed_options */
    nib_stop_fn stop;     /* of this call, in texts; NULL: it goes on. Scores of a stopped call are of no use */
    void *stop_user;
    const nib_ticket *ticket; /* as of nib_embed_options */
} nib_classify_options;

NIB_API void nib_classify_defaults(nib_classify_options *options, size_t size);

/* A score of each label for n texts, or, if `pairs` is not NULL, for each text with its second one (a cross
 * encoder's query and document). `out` is [n, nib_model_label_count(model)], in the order of `texts`; its bits
 * depend only on the text or pair. No prompt is put before them. The scores are raw or probabilities:
 * NIB_SCORES_MODEL is the activation that a cross encoder's config.json names, else what transformers'
 * pipeline("text-classification") makes of problem_type and the number of labels: raw for regression, sigmoid for
 * several labels at once or for one, softmax otherwise. UNSUPPORTED: the model has no output `logits` [batch,
 * labels], nor another one alone of two dimensions. INVALID_ARGUMENT: a text or pair without a token. Errors as
 * nib_embed. */
NIB_API nib_status nib_classify(nib_model *model, const char *const *texts, const char *const *pairs, size_t n,
                                const nib_classify_options *options, float *out, nib_error *error);

/* How many labels the model has; 0 if it neither classifies nor tags. */
NIB_API int64_t nib_model_label_count(const nib_model *model);
/* The name of label i as id2label of config.json has it, "LABEL_i" where it has none; it lives as long as the
 * model. NULL: there is no such label. */
NIB_API const char *nib_model_label(const nib_model *model, int64_t i);

/* ---------------------------------------------------------------- sessions: named tensors */

/* A session runs the model's graph with named inputs and outputs and ONNX's exact meaning: no pooling is added, nothing
 * is packed that would show. The caller owns it; it keeps a reference to the model. One thread at a time.
 * At sizes that it has seen before, a run allocates nothing. */
NIB_API nib_status nib_session_create(nib_model *model, nib_session **out, nib_error *error);
NIB_API void nib_session_free(nib_session *session);

NIB_API size_t nib_session_input_count(const nib_session *session);
NIB_API size_t nib_session_output_count(const nib_session *session);
/* Names live as long as the model. NULL if i is out of range. */
NIB_API const char *nib_session_input_name(const nib_session *session, size_t i);
NIB_API const char *nib_session_output_name(const nib_session *session, size_t i);

/* What an encoder of texts uses an input for. */
#define NIB_ROLE_MAP(X)                                                                                                \
    X(NONE, 0, "none")                                                                                                 \
    X(IDS, 1, "ids")                                                                                                   \
    X(MASK, 2, "mask")                                                                                                 \
    X(TYPES, 3, "types")                                                                                               \
    X(POSITIONS, 4, "positions")

typedef enum nib_role {
#define NIB_ROLE_ENUM(name, number, text) NIB_ROLE_##name = number,
    NIB_ROLE_MAP(NIB_ROLE_ENUM)
#undef NIB_ROLE_ENUM
} nib_role;

NIB_API const char *nib_role_name(nib_role role);

/* What the graph says of an input or an output. Strings live as long as the model. */
typedef struct nib_value_info {
    nib_dtype dtype;                   /* NIB_DTYPE_SEQUENCE, NIB_DTYPE_OPTIONAL: a container; UNDEFINED: not known before a run */
    nib_dtype element;                 /* a container's elements', else dtype */
    int rank;                          /* -1: not known before a run, or a container */
    int64_t dims[NIB_MAX_RANK];        /* -1: any */
    const char *symbols[NIB_MAX_RANK]; /* the name of a dimension that is not fixed: equal names, equal sizes; NULL: none */
    nib_role role;                     /* of an input */
    int64_t below;                     /* of an input of integers that looks rows up in a table: how many rows there are; else 0 */
    int optional;                      /* of an input: not 0, if the model holds a value for it, which counts where none is set */
} nib_value_info;
/* INVALID_ARGUMENT if i is out of range. */
NIB_API nib_status nib_session_input_info(const nib_session *session, size_t i, nib_value_info *out, size_t size);
NIB_API nib_status nib_session_output_info(const nib_session *session, size_t i, nib_value_info *out, size_t size);

/* Binds an input for the next runs: any type, containers too, whose dtype, shape and bytes agree; NULL: none is bound
 * any more. The session has tensor->data, and what strings and elements point to, until another tensor or NULL is bound
 * or the session is freed; then, on the thread that does that, it releases what was given away (see nib_tensor). The
 * tensor itself is copied. `data` is aligned for its type. The bytes may be changed between runs. A packed type (i4,
 * ...) has its first element in the low bits. Type and shape are checked against the graph when it runs. Once memory is
 * released, the last run's outputs are gone. */
NIB_API nib_status nib_session_set_input(nib_session *session, const char *name, const nib_tensor *tensor, nib_error *error);

/* Binds memory of the caller's to an output: the next runs write it there, without a copy wherever a step of the plan
 * makes it (an output that is an input or a constant of the model, or that two names share, is copied). Of `tensor`,
 * data and bytes count, and dtype unless it is UNDEFINED; bytes may be more than the output needs. The session has
 * data, and releases it, as an input's; NULL binds the session's own memory again. The last run's outputs are gone then.
 * It must be aligned for its type and overlap no input's and no other output's. A run that needs more answers
 * BUFFER_TOO_SMALL and says how much; before it computes anything where the size follows from the inputs'.
 * TYPE: strings and containers cannot be bound. */
NIB_API nib_status nib_session_bind_output(nib_session *session, const char *name, const nib_tensor *tensor, nib_error *error);

/* What an output will be with the inputs that are bound now: dtype, rank, dims, bytes; data is NULL. Where only the run can tell, a
 * dimension is -1 and bytes is 0 (rank -1: not even that is known). The last run's outputs are gone then. Errors: as a run that finds
 * inputs missing or wrong. */
NIB_API nib_status nib_session_output_shape(nib_session *session, const char *name, nib_tensor *out, nib_error *error);

/* Runs the graph on the bound inputs. On failure outputs hold nothing of use, and the session can run again. */
NIB_API nib_status nib_session_run(nib_session *session, nib_error *error);

/* Has the run of another thread end with CANCELLED: after the step that it is in, or within it where it computes by plain loops; without
 * one, the next run. May be called from any thread and from a signal's handler, while the session exists. */
NIB_API void nib_session_cancel(nib_session *session);

/* Has the session's next runs ask `stop` (NULL: nobody), with 0 of 0. */
NIB_API void nib_session_stop(nib_session *session, nib_stop_fn stop, void *user);

/* Makes a profile of the session's plan (not of nib_embed's) and counts the session's next runs in it; the caller owns it, and frees it
 * after the session. See "measuring". */
NIB_API nib_status nib_session_profile(nib_session *session, nib_profile **out, nib_error *error);

/* Describes an output of the last run. Its data is the memory that was bound to it, or belongs to the session and is valid until the next
 * run; strings and a container's elements likewise. */
NIB_API nib_status nib_session_get_output(nib_session *session, const char *name, nib_tensor *out, nib_error *error);

/* ---------------------------------------------------------------- measuring */

/* What a machine can do at most; rates are sums over `threads` threads that work at the same time. 0: there is no such kernel, or it
 * was not measured. A multiply-add counts as two operations. */
typedef struct nib_machine {
    int threads;
    double f32, bf16, q8; /* operations a second of the kernels that nib uses here, on operands in L1 */
    double cache_bytes;   /* bytes read a second from L2 */
    double memory_bytes;  /* ... and from memory (0 under a memory ceiling of less than 64 to 256 MiB) */
    uint64_t cache_size;  /* bytes of the last cache before memory */
} nib_machine;

/* Measures on all threads of the runtime, in about 100 ms; others at work on the machine make it look slower. NULL: a default runtime. */
NIB_API nib_status nib_machine_measure(nib_runtime *runtime, nib_machine *out, size_t size, nib_error *error);

/* A device of a list. */
typedef struct nib_device_info {
    char name[64]; /* what messages call it: "cpu", "mirror:1" */
    char kind[32]; /* "cpu", "mirror" */
    int entry;     /* of the list, from 0; devices of one entry are a pool */
    int host;      /* 1: the cpu */
    int64_t row_bucket;   /* rows of a batch are rounded up to a multiple of it */
    int64_t group_tokens; /* how many it wants a group to have; 0: it leaves that to the cpu's caches */
} nib_device_info;

/* Opens the devices of a list as nib_model_options.device has it (NULL: the cpu alone), says what each is, and closes
 * them. *count is how many there are; `out` gets the first `capacity` of them, each `size` bytes. NULL runtime: a default
 * one. Errors as nib_model_open of the list. */
NIB_API nib_status nib_devices_get(nib_runtime *runtime, const char *list, nib_device_info *out, size_t size,
                                   size_t capacity, size_t *count, nib_error *error);

/* A profile counts, step by step, what runs that it is given to take (nib_embed_options.profile, nib_session_profile). Any number of
 * calls and threads may count in one profile at once; read or reset it when none does. The caller owns it; it keeps a reference to
 * the model. A timed step costs about 0.1 us more. Where other devices have a part of the model, a region of theirs is two
 * rows: "region", its launches, and "copies", what is moved to and from it; both in the device's own time, from event to event,
 * and without operations. UNSUPPORTED: the device does not tell. */
NIB_API nib_status nib_profile_create(nib_model *model, nib_profile **out, nib_error *error); /* of the model's task */
NIB_API void nib_profile_free(nib_profile *profile);                                          /* NULL is accepted */
NIB_API void nib_profile_reset(nib_profile *profile);

/* Strings live as long as the model. */
typedef struct nib_profile_step {
    const char *op, *name, *kernel; /* operator, its first output, what computes it */
    const char *kind;               /* what it is for: "linear qkv", "attention", "norm", "region", "copies", ... */
    uint64_t calls, rows;           /* a call computes a block of rows (of Attention: heads of texts) */
    uint64_t nanoseconds;           /* of thread time, or the device's */
    double operations;              /* of Linear, Attention, MatMul; 0 for other steps */
    double bytes;                   /* weights once for each group, and rows read and written */
    double peak;                    /* operations a second of one thread at most, for this step's kind of operands; 0: unknown */
    double bound_nanoseconds;       /* thread time that the work needs at least; 0: unknown */
} nib_profile_step;

NIB_API size_t nib_profile_step_count(const nib_profile *profile);
/* Row i: a step of the plan, region by region. `machine` is what nib_machine_measure filled, of the size that it was
 * given; NULL: peak and bound are 0. */
NIB_API nib_status nib_profile_step_get(const nib_profile *profile, size_t i, const nib_machine *machine,
                                        size_t machine_size, nib_profile_step *out, size_t size);

typedef struct nib_profile_totals {
    uint64_t texts, tokens;
    uint64_t tokenize_nanoseconds; /* of thread time, outside the steps */
} nib_profile_totals;
NIB_API void nib_profile_totals_get(const nib_profile *profile, nib_profile_totals *out, size_t size);

/* ---------------------------------------------------------------- optimizing files */

/* Which operators a written file may have. */
#define NIB_TARGET_MAP(X)                                                                                              \
    X(STANDARD, 0, "standard")       /* ai.onnx only, of the file's opset */                                           \
    X(ONNXRUNTIME, 1, "onnxruntime") /* com.microsoft's fused ones, too, as ONNX Runtime's own optimizer writes them */

typedef enum nib_target {
#define NIB_TARGET_ENUM(name, number, text) NIB_TARGET_##name = number,
    NIB_TARGET_MAP(NIB_TARGET_ENUM)
#undef NIB_TARGET_ENUM
} nib_target;

NIB_API const char *nib_target_name(nib_target target);
NIB_API nib_status nib_target_from_name(const char *name, nib_target *out); /* as nib_precision_from_name */

typedef struct nib_optimize_options {
    size_t size;
    nib_runtime *runtime; /* NULL: a default one */
    int level;            /* 0 as it is, 1 simplified (the default), 2 with fused operators, 3 with GELU approximated by tanh,
                             4 in float16 where values fit */
    nib_target target;    /* what level 2 may write */
    int opset;            /* of ai.onnx in the written file; 0: the model's */
    /* "NAME=AxBxC": the shape of an input; a size that is not a number stays as it is. */
    const char *const *shapes;
    size_t shape_count;
    const char *const *disabled; /* names of passes that are not run */
    size_t disabled_count;
    int check;        /* 1 (the default): both graphs are run on random inputs, and a file is written only if they agree */
    double tolerance; /* largest difference of an output, relative to its largest number; 0: 1e-5; at level 2 1e-4, at 3 1e-2, at 4 3e-2 */
    int64_t external_over; /* weights go to a file OUT.data if the model's own would have more bytes; -1 (the default): 2 GiB - 1 */
    int keep_random; /* 0 (the default): Dropouts that are set to training are off, and so gone, and the report names each; 1: they stay */
    nib_stop_fn stop; /* in stages; NULL: it goes on to its end */
    void *stop_user;
} nib_optimize_options;

NIB_API void nib_optimize_defaults(nib_optimize_options *options, size_t size);

/* What was done, or found out, as text for a person and as JSON. The strings live as long as the report. */
typedef struct nib_report nib_report;
NIB_API const char *nib_report_text(const nib_report *report);
NIB_API const char *nib_report_json(const nib_report *report);
NIB_API void nib_report_free(nib_report *report); /* NULL is accepted */

/* Optimizes a model file, or a folder as nib_model_open takes it, and writes it: to the file `out`, or, if `in` is a folder and
 * `out` does not end with .onnx, to the folder `out` (made if need be): model.onnx, the tokenizer's and settings' files, nib.json.
 * Files appear whole or not at all; `in` and `out` may be the same file. Optimizing what was written again changes no byte.
 * Weights made on the way beyond 256 MiB (a quarter of the runtime's memory_limit if that is less) are no memory but lie in a file
 * without a name in out's folder, while its disk has room.
 * A folder `out` with model.safetensors, which would be opened instead of what is written, is refused (INVALID_ARGUMENT): also `in` itself.
 * `*report` (may be NULL) is given on success, and with DIFFERENT: both graphs were run and did not agree; nothing was written.
 * Other errors as nib_model_open, and INVALID_ARGUMENT (a shape or pass that does not exist), IO. */
NIB_API nib_status nib_optimize_file(const char *in, const char *out, const nib_optimize_options *options, nib_report **report,
                                     nib_error *error);

/* Compares two models: counts of operators, constants and shapes that changed, and, with options->check, their outputs
 * on random inputs. OK if all that was compared agrees, DIFFERENT if the outputs do not, or if the second wants an
 * input that the first does not have, or no output of theirs has the same name, UNSUPPORTED if the outputs were to be
 * compared and could not be (an operator that nib does not know); `*report` is given with all three. */
NIB_API nib_status nib_diff_files(const char *a, const char *b, const nib_optimize_options *options, nib_report **report, nib_error *error);

/* The graph of a model file or folder after options->level: as ONNX's textual syntax, or as a drawing for Graphviz. */
typedef enum nib_graph_format { NIB_GRAPH_TEXT = 0, NIB_GRAPH_DOT } nib_graph_format;
NIB_API nib_status nib_graph_of_file(const char *path, const nib_optimize_options *options, nib_graph_format format, nib_report **report,
                                     nib_error *error);

/* ---------------------------------------------------------------- exporting to ONNX */

typedef struct nib_export_options {
    size_t size;
    nib_runtime *runtime; /* NULL: a default one */
    int opset;            /* of ai.onnx, from 15 on; 0: 17 */
    nib_dtype dtype;      /* of weight matrices: F32, or F16 or BF16 behind a Cast, so that sums stay f32; UNDEFINED (the default): as
                             the folder has them. A matrix with numbers beyond f16's range stays as it is */
    int pooling;          /* 1: outputs token_embeddings and sentence_embedding, with the modules of modules.json in the graph; 0 (the
                             default): last_hidden_state, or what a head gives as logits */
    int64_t external_over; /* as in nib_optimize_options */
    nib_stop_fn stop;      /* in stages; NULL: it goes on to its end */
    void *stop_user;
} nib_export_options;

NIB_API void nib_export_defaults(nib_export_options *options, size_t size);

/* Writes a folder with config.json and safetensors as Optimum lays it out: to the folder `out` (made if need be) model.onnx, whose inputs
 * are input_ids, attention_mask and, where the model reads it, token_type_ids, of batch_size x sequence_length; and the tokenizer's and
 * settings' files. Only operators of ai.onnx. Files appear whole or not at all, model.onnx last. A folder `out` with model.safetensors is
 * refused (INVALID_ARGUMENT). Errors as nib_model_open; UNSUPPORTED: `in` is no such folder, has routes, or cannot be said in that
 * opset, or embeds no texts, which `pooling` needs; IO; CANCELLED. */
NIB_API nib_status nib_export_folder(const char *in, const char *out, const nib_export_options *options, nib_error *error);

/* ---------------------------------------------------------------- compiled models */

typedef struct nib_compile_options {
    size_t size;
    /* How it is to run, its task too, which compiling settles, and the runtime; of its own size. NULL: the defaults. */
    const nib_model_options *model;
    int exact;        /* 1: for sessions (named tensors), too; a model that cannot do its task always is */
    nib_stop_fn stop; /* in stages; NULL: it goes on to its end. The model's own options' stop is not asked */
    void *stop_user;
} nib_compile_options;

NIB_API void nib_compile_defaults(nib_compile_options *options, size_t size);

/* Writes the model `in` (as nib_model_open takes it) as one file that opens at once: the optimized graph, weights as the kernels of this
 * machine read them, tokenizer, settings; doc/nib-file.md says how. nib_model_open takes the file; its vectors are the same bits.
 * It appears whole or not at all. Errors as nib_model_open, and INVALID_ARGUMENT (`out` is the model itself), IO, CANCELLED. */
NIB_API nib_status nib_compile_file(const char *in, const char *out, const nib_compile_options *options, nib_error *error);

/* Reads all of a compiled file and compares every checksum; opening leaves out that of the weights. BAD_MODEL names what is broken. */
NIB_API nib_status nib_compiled_verify(const char *path, nib_error *error);

/* ---------------------------------------------------------------- tensor files */

/* Files that appear under their name only when they are whole: written beside it, synced, renamed by commit, folder synced. A file of that
 * name that was there stays as it is until then. One thread at a time. */
typedef struct nib_file nib_file;
NIB_API nib_status nib_file_create(const char *path, nib_file **out, nib_error *error);
NIB_API nib_status nib_file_write(nib_file *file, const void *bytes, size_t size, nib_error *error);
NIB_API nib_status nib_file_commit(nib_file *file, nib_error *error); /* frees the file, on failure too */
NIB_API void nib_file_abort(nib_file *file);                          /* leaves nothing behind; NULL is accepted */

/* A NumPy .npy file (version 1.0, little endian, C order) of f32 [rows, columns], written row by row; the number of rows
 * need not be known before. */
typedef struct nib_npy nib_npy;
NIB_API nib_status nib_npy_create(const char *path, int64_t columns, nib_npy **out, nib_error *error);
NIB_API nib_status nib_npy_append(nib_npy *npy, const void *rows, int64_t count, nib_error *error); /* [count, columns] */
NIB_API nib_status nib_npy_commit(nib_npy *npy, nib_error *error);
NIB_API void nib_npy_abort(nib_npy *npy);

/* A tensor of any type in a file of its own: NumPy's .npy, or .pb, ONNX's TensorProto, SequenceProto or OptionalProto, which holds what
 * NumPy has no type for (strings, bf16, eight and four bits, containers). */
typedef enum nib_tensor_format { NIB_TENSOR_FORMAT_AUTO = 0, NIB_TENSOR_FORMAT_NPY, NIB_TENSOR_FORMAT_PB } nib_tensor_format;

/* Reads one; which format it is, its first bytes say. A .pb does not say what it holds: `container` is NIB_DTYPE_SEQUENCE or
 * NIB_DTYPE_OPTIONAL for those (nib_value_info.dtype of the input that it is for), anything else for a tensor. Of .npy: any byte order and
 * order of axes; U and S become strings. The caller owns the tensor, bytes included; the file is read, not mapped, and takes memory in
 * proportion to its size. Errors: NOT_FOUND, IO, BAD_MODEL (the file is malformed), UNSUPPORTED, OUT_OF_MEMORY. */
NIB_API nib_status nib_tensor_read(const char *path, nib_dtype container, nib_tensor **out, nib_error *error);

/* Frees a tensor that nib_tensor_read or nib_embed_tokens gave, and no other. NULL is accepted. */
NIB_API void nib_tensor_free(nib_tensor *tensor);

/* Writes one, as nib_file_* does: whole or not at all. AUTO: .npy if the path ends so, else .pb. `name` goes into a .pb; may be NULL.
 * UNSUPPORTED: .npy has no such type. */
NIB_API nib_status nib_tensor_write(const char *path, const nib_tensor *tensor, const char *name, nib_tensor_format format,
                                    nib_error *error);

/* How two tensors differ. */
typedef struct nib_difference {
    int same;                         /* 1: type and shape are equal, and so is every element within the tolerance */
    uint64_t elements, wrong;         /* compared; outside of the tolerance (a complex number counts as two) */
    uint64_t first;                   /* the first that is wrong */
    double largest, largest_relative; /* |got - want|, and the same / |want|, where both are finite and want is not 0 */
    char message[300];                /* one sentence; "" if they are the same */
} nib_difference;

/* An element is equal if |got - want| <= absolute + relative |want|, NaN to NaN, an infinity to itself; strings if their bytes are.
 * bf16 is granted a relative 2^-6 at least: two roundings. Containers are compared element by element. */
NIB_API nib_status nib_tensor_compare(const nib_tensor *got, const nib_tensor *want, double relative, double absolute,
                                      nib_difference *out, size_t size);

/* ---------------------------------------------------------------- CPU */

/* The instruction set that nib uses on this machine ("avx512vnni", ...), after the cap in the environment variable NIB_CPU.
 * Static storage. */
NIB_API const char *nib_cpu_name(void);

#ifdef __cplusplus
}
#endif

#include "hub.h"
#include "quantize.h"
#include "queue.h"
#include "chunks.h"
#include "sparse.h"
#include "tasks.h"
#include "vectors.h"

#endif
