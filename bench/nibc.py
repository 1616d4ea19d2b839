# SPDX-License-Identifier: Apache-2.0
"""libnib through ctypes, as far as the benchmarks need it: a model, its vectors from ids or texts. The structs are those of
include/nib/nib.h; nib_*_defaults fills them, so that only what is set here must be known."""
import ctypes as c
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("message", c.c_char * 400), ("node", c.c_char * 120), ("offset", c.c_int64)]


class RuntimeOptions(c.Structure):
    _fields_ = [("size", c.c_size_t), ("threads", c.c_int), ("memory_limit", c.c_size_t), ("log", c.c_void_p), ("log_user", c.c_void_p),
                ("allocate", c.c_void_p), ("release", c.c_void_p), ("alloc_user", c.c_void_p), ("private_reads", c.c_int),
                ("limits", c.c_void_p)]


class ModelOptions(c.Structure):
    _fields_ = [("size", c.c_size_t), ("runtime", c.c_void_p), ("precision", c.c_int), ("device", c.c_char_p), ("output_name", c.c_char_p),
                ("pooling", c.c_int), ("normalize", c.c_int), ("max_tokens", c.c_int64), ("batch_tokens", c.c_int64), ("optimize", c.c_int),
                ("pack", c.c_int)]


class EmbedOptions(c.Structure):
    _fields_ = [("size", c.c_size_t), ("max_tokens", c.c_int64), ("lengths", c.c_void_p), ("tokens", c.c_void_p), ("full_tokens", c.c_void_p),
                ("profile", c.c_void_p)]


class Model:
    def __init__(self, path, precision="f32", threads=1, max_tokens=0, library=None):
        self.lib = lib = c.CDLL(str(library or ROOT / "build/libnib.so"))
        lib.nib_version.restype = c.c_char_p
        lib.nib_cpu_name.restype = c.c_char_p
        lib.nib_model_dim.restype = c.c_int64
        lib.nib_model_dim.argtypes = [c.c_void_p]
        lib.nib_model_free.argtypes = lib.nib_runtime_free.argtypes = [c.c_void_p]
        lib.nib_embed_ids.argtypes = [c.c_void_p, c.c_void_p, c.c_void_p, c.c_size_t, c.c_void_p, c.c_void_p, c.c_void_p]
        lib.nib_embed.argtypes = [c.c_void_p, c.c_void_p, c.c_size_t, c.c_void_p, c.c_void_p, c.c_void_p]
        self.error = Error()
        runtime_options, options, self.runtime, self.model = RuntimeOptions(), ModelOptions(), c.c_void_p(), c.c_void_p()
        if lib.nib_abi_version() != 1:
            raise RuntimeError("bench/nibc.py knows another binary interface than libnib.so")
        for defaults in (lib.nib_runtime_defaults, lib.nib_model_defaults, lib.nib_embed_defaults):
            defaults.restype, defaults.argtypes = None, [c.c_void_p, c.c_size_t]
        lib.nib_runtime_defaults(c.byref(runtime_options), c.sizeof(runtime_options))
        lib.nib_model_defaults(c.byref(options), c.sizeof(options))
        runtime_options.threads = threads
        self.check(lib.nib_runtime_create(c.byref(runtime_options), c.byref(self.runtime), c.byref(self.error)))
        number = c.c_int()
        if lib.nib_precision_from_name(precision.encode(), c.byref(number)):
            raise ValueError(f"no precision is called {precision}")
        options.runtime, options.precision, options.max_tokens = self.runtime, number, max_tokens
        self.check(lib.nib_model_open(str(path).encode(), c.byref(options), c.byref(self.model), c.byref(self.error)))
        self.dim = lib.nib_model_dim(self.model)
        self.version = f"{lib.nib_version().decode()} ({lib.nib_cpu_name().decode()})"

    def check(self, status):
        if status:
            raise RuntimeError(self.error.message.decode())

    def prepare(self, rows):
        """Ids as C wants them: (pointers, lengths, n, room for the vectors)."""
        arrays = [(c.c_int32 * len(r))(*r) for r in rows]
        pointers = (c.c_void_p * len(rows))(*[c.addressof(a) for a in arrays])
        return pointers, (c.c_int64 * len(rows))(*map(len, rows)), len(rows), (c.c_float * (len(rows) * self.dim))(), arrays

    def embed_ids(self, prepared):
        pointers, lengths, n, out, _ = prepared
        self.check(self.lib.nib_embed_ids(self.model, pointers, lengths, n, None, out, c.byref(self.error)))
        return out

    def embed(self, texts, max_tokens=0):
        options = EmbedOptions()
        self.lib.nib_embed_defaults(c.byref(options), c.sizeof(options))
        options.max_tokens = max_tokens
        out = (c.c_float * (len(texts) * self.dim))()
        pointers = (c.c_char_p * len(texts))(*[t.encode() for t in texts])
        self.check(self.lib.nib_embed(self.model, pointers, len(texts), c.byref(options), out, c.byref(self.error)))
        return out

    def close(self):
        self.lib.nib_model_free(self.model)
        self.lib.nib_runtime_free(self.runtime)
