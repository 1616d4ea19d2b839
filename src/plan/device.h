/* SPDX-License-Identifier: Apache-2.0
 *
 * The device table: all that plan/ and run/ know of a device.
 *
 * A plan's nodes go to the first device of a list that claims them; the nodes that one device can run without waiting for
 * another are a region, which is a graph of its own. There are two kinds of device:
 *
 *   host     works in the host's memory: `cpu`, which claims everything and stands last in every list. Its program of a region is
 *            a plan: steps in ranges, chains and lanes, which run/ walks (compile).
 *   another  has memory and a clock of its own. It compiles a region into a program of which nobody else knows more than how to
 *            launch it (`own`). What crosses between regions lies in buffers, and run/ copies it over the borders.
 *
 * Threads: a device's functions may be called from any thread, and for different streams and programs at once; one stream
 * has one caller at a time. Nothing here waits but `wait`, close functions and compile: launching, uploading and
 * downloading put work into a stream, whose pieces are done in their order, and an error that comes later comes out of `wait`.
 * So launches can be captured and replayed (CUDA graphs): as long as a launch's `layout` is the same number, all addresses and
 * rounded sizes are the same.
 *
 * Errors: NIB_DEVICE says that the device itself has failed, and is not asked again: its work is done anew by another of its
 * pool, or is the caller's error. All else (memory, sizes, ids out of range) is the work's own.
 *
 * A plug-in is a shared object with one symbol, NIB_DEVICE_PLUGIN (plan_plugin.c). It is handed a table of what it may call of
 * the library, and must have been built with these very headers: `build_id` is made of them.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include "plan.h"

typedef struct device device;

/* ---- devices with memory of their own */

/* Somewhere in a device's memory; 0: nowhere. It is a number, not a pointer, so that no one reads it by mistake. */
typedef struct device_address {
    uint64_t at;
} device_address;

typedef struct device_program device_program; /* of one region, immutable, used by any number of streams */
typedef struct device_stream device_stream;   /* work in order */
typedef struct device_event device_event;     /* a point in a stream */

/* What a region's input or output is in a launch. */
typedef struct device_value {
    device_address at; /* aligned to 256 bytes; room for it at the rounded sizes */
    nib_dtype dtype;
    int rank;
    int64_t dims[NIB_MAX_RANK]; /* as they are; what lies beyond, up to the rounded sizes, belongs to no text */
    size_t bytes;
} device_value;

typedef struct device_launch {
    const int64_t *symbols; /* [n_symbols] of the graph, or GRAPH_UNBOUND where no value of the region has it */
    const int64_t *rounded; /* the same, with the rows of a packed batch rounded up to a multiple of props.row_bucket */
    int n_symbols;
    const device_value *inputs, *outputs; /* in the order of the region's graph */
    device_address arena;                 /* what own->arena_bytes asked for: nobody else's until the stream is done */
    uint64_t layout;                      /* the same number: the same addresses and rounded sizes as the launch of that number before */
} device_launch;

typedef struct device_own {
    nib_status (*compile)(device *d, const graph *region, device_program **out, nib_error *err); /* the graph lives longer */
    void (*program_free)(device_program *p);
    /* Memory that a launch wants beside inputs and outputs; asked before the first launch of a layout. */
    nib_status (*arena_bytes)(const device_program *p, const int64_t *rounded, int n_symbols, size_t *bytes, nib_error *err);
    nib_status (*launch)(const device_program *p, const device_launch *l, device_stream *s, nib_error *err);

    nib_status (*stream_open)(device *d, device_stream **out, nib_error *err);
    void (*stream_close)(device_stream *s); /* waits; NULL is accepted */
    /* Memory of the device; OUT_OF_MEMORY. Freed when nothing in a stream uses it. */
    nib_status (*allocate)(device *d, size_t bytes, device_address *out, nib_error *err);
    void (*release)(device *d, device_address a); /* nowhere is accepted */
    /* The host's memory must stay as it is, or untouched, until an event behind it has been waited for. */
    nib_status (*upload)(device_stream *s, device_address to, const void *from, size_t bytes, nib_error *err);
    nib_status (*download)(device_stream *s, void *to, device_address from, size_t bytes, nib_error *err);
    nib_status (*event_create)(device *d, device_event **out, nib_error *err);
    void (*event_free)(device_event *e);                                     /* NULL is accepted */
    nib_status (*record)(device_stream *s, device_event *e, nib_error *err); /* the point behind all that is in the stream now */
    nib_status (*wait)(device_event *e, nib_error *err);                     /* the caller, until the stream is there */
    /* Seconds of the device's between two points of one stream that it has passed. NULL: it does not tell, and no plan on it can
     * be profiled. */
    nib_status (*elapsed)(device_event *from, device_event *to, double *seconds, nib_error *err);
} device_own;

/* ---- all devices */

typedef struct device_props {
    char name[64];        /* of this one, for people, in all messages: "cpu", "mirror:1" */
    int64_t row_bucket;   /* rows of a packed batch are rounded up to a multiple; 1: they are not */
    int64_t group_tokens; /* how many a group should have; 0: as the host's caches have it */
    /* Weights are rounded for the device that has the first choice of a model's nodes. What its products read beside
     * weights of a format: 1 + a kernel_input; 0: what the host's read. Whether it can run them it says by `claim`. */
    uint8_t rows[KERNEL_WEIGHTS];
    nib_precision fastest; /* what NIB_PRECISION_AUTO becomes for it; NIB_PRECISION_FILE: what it is on the host */
} device_props;

typedef struct device_table {
    const char *kind;      /* "cpu" */
    const device_own *own; /* NULL: it is a host */
    void (*props)(const device *d, device_props *out);
    /* Whether it can run the node; if not, one line why. Nodes with bodies, strings and lists, and sizes that only the data
     * tell are the host's, and nobody else is asked. */
    bool (*claim)(device *d, const graph *g, const graph_node *n, char *why, size_t capacity);
    void (*close)(device *d); /* after all plans */

    /* ---- of a host alone */
    /* Fills one step a node. Weights are packed then, once; the device counts which plans read them (plan_at_end). */
    nib_status (*compile)(device *d, plan *p, graph_node *const *nodes, int n, plan_step *steps, nib_error *err);
    size_t (*weight_bytes)(const device *d); /* packed for plans that are there */
    /* What it computes with, for people: "avx512vnni". Static storage. */
    const char *(*instructions)(const device *d);
    /* How fast it is, as the sum over so many threads at work at the same time. Takes about 100 ms. */
    nib_status (*measure)(device *d, int threads, plan_speed *out, nib_error *err);
} device_table;

/* ---- several of a kind (plan_pool.c) */

/* Which of a pool's devices runs the next group. A group stays on it to its end. */
#define DEVICE_POLICY_MAP(X)                                                                                                               \
    X(LEAST_LOADED, 0, "least-loaded") /* that has the fewest groups at hand */                                                            \
    X(ROUND_ROBIN, 1, "round-robin")                                                                                                       \
    X(BY_SPEED, 2, "by-speed") /* that would be done first, as its last groups went */                                                     \
    X(RANDOM, 3, "random")

typedef enum device_policy {
#define DEVICE_POLICY_ENUM(name, number, text) DEVICE_POLICY_##name = number,
    DEVICE_POLICY_MAP(DEVICE_POLICY_ENUM)
#undef DEVICE_POLICY_ENUM
} device_policy;

#define DEVICE_POOL_MOST 16

typedef struct device_pool {
    device_policy policy;
    int n;
    struct device *devices[DEVICE_POOL_MOST]; /* the first stands for the pool in lists */
    _Atomic uint64_t turn;                    /* groups given out so far */
    struct {
        _Atomic int running;          /* groups at hand */
        _Atomic bool lost;            /* it has failed */
        _Atomic uint64_t picoseconds; /* a token, of its last groups; 0: not known */
    } state[DEVICE_POOL_MOST];
} device_pool;

struct device {
    const device_table *table;
    nib_runtime *runtime;
    device_pool *pool; /* of the device that stands for one; NULL: it is alone */
};

/* The device for the next group, which is counted as its own until device_pool_done; -1: all are lost. */
int device_pool_pick(device_pool *pool);
/* The group ended: OK with so many tokens in so many seconds, or not. `lost`: the device failed, and is picked no more. */
void device_pool_done(device_pool *pool, int at, bool lost, double seconds, int64_t tokens);
bool device_policy_from_name(const char *name, size_t length, device_policy *out);

/* ---- plug-ins (plan_plugin.c) */

/* What a plug-in may call of the library that loads it. */
typedef struct device_host_calls {
    size_t size;
    void (*log)(nib_runtime *runtime, nib_log_level level, const char *message);
    void *(*allocate)(nib_runtime *runtime, size_t bytes); /* under the runtime's ceiling */
    void (*release)(nib_runtime *runtime, void *memory);
    nib_status (*error)(nib_error *err, nib_status status, const char *message);
    /* A region as the bytes of an ONNX file, standard operators and com.microsoft's as far as asked for; freed with release. For
     * devices that hand it to another runtime. */
    nib_status (*region_as_onnx)(nib_runtime *runtime, const graph *region, bool onnxruntime, void **bytes, size_t *size, nib_error *err);
} device_host_calls;

typedef struct device_plugin {
    const char *build_id; /* device_build_id, of the headers that it was built with */
    /* Opens a device; `argument` is what stands behind its name ("" for nothing). It keeps a reference to the runtime. */
    nib_status (*open)(const device_host_calls *calls, nib_runtime *runtime, const char *argument, device **out, nib_error *err);
} device_plugin;

/* The library's version and a digest of its headers (plan_build_id.c.in): who has another one may have laid out what is in them otherwise.
 */
extern const char device_build_id[];

#define NIB_DEVICE_PLUGIN "nib_device_plugin" /* const device_plugin *nib_device_plugin(void) */

/* Opens the device of a shared object: the one at a path, which has a '/' in it, or the one that the system's loader finds as
 * libnib-NAME.so, whose kind must be that name. NOT_FOUND (a path), UNSUPPORTED (a name; another build), BAD_MODEL (no such symbol,
 * another kind). It stays loaded. How it was found ends here: from now on it is called what its props say. */
nib_status device_load(nib_runtime *runtime, const device_host_calls *calls, const char *name, const char *argument, device **out,
                       nib_error *err);

static inline bool device_is_host(const device *d) { return d->table->own == NULL; }

#endif
