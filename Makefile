# firstlight: `make` lists the targets. Needs Python >= 3.11, a C compiler, Node >= 20 with npm; for tests also root's
# apt-get (or chromium and nginx already there). Everything else comes from the lock file, pip and this repository.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= $(firstword $(foreach p,python3.11 python3 python3.12 python3.13 python,$(shell \
	$(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))
CC ?= cc
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
SANITIZE_RUNS ?= 5000
FUZZ_SECONDS ?= 600
PYTEST_ARGS ?=
BENCH_ARGS ?=
PATH := $(PATH):/usr/sbin:/sbin
export PATH

KERNELS := $(wildcard codecs/kernels/*.c)
HEADERS := $(wildcard codecs/kernels/*.h)
FUZZ := $(wildcard codecs/fuzz/*.c)
FUZZ_HEADERS := $(wildcard codecs/fuzz/*.h)
FUZZ_TARGETS := shard index roundtrip
C_SOURCES := $(KERNELS) $(HEADERS) $(FUZZ) $(FUZZ_HEADERS) codecs/python/_native.c
PY_SOURCES := setup.py tiler codecs/python codecs/fuzz web/server tests
VIEWER_SOURCES := $(wildcard web/*.mjs web/*.json) $(shell find codecs/js web/viewer -type f -not -path '*/dist/*' 2>/dev/null)
WARNINGS := -std=c11 -O2 -Wall -Wextra -Wconversion -Werror

##@ Use
.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@printf '\nFirst time: make demo (then open the address that it prints).\n'

.PHONY: demo
demo: install ## ingest real images, serve them, print the viewer's address
	$(BIN)/firstlight demo

.PHONY: install
install: $(STAMPS)/project ## everything in .venv: build, install editable, bundle the viewer

##@ Prove
.PHONY: test
test: install system sanitize ## all tests: C under sanitizers, TypeScript, Python with real servers and a real browser
	cd web && npm test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: check
check: install check-c ## formatting, lint and types of every language
	$(BIN)/ruff format --check $(PY_SOURCES)
	$(BIN)/ruff check $(PY_SOURCES)
	$(BIN)/mypy -p firstlight
	MYPYPATH=tests $(BIN)/mypy tests/support tests/bench tests/conftest.py
	cd web && npm run check

.PHONY: check-c
check-c: install
	$(BIN)/clang-format --dry-run -Werror $(C_SOURCES)
	mkdir -p build/check
	@for source in $(KERNELS) $(FUZZ); do \
		echo "$(CC) and zig cc: $$source"; \
		$(CC) $(WARNINGS) -Icodecs/kernels -c $$source -o build/check/gcc.o; \
		$(BIN)/python -m ziglang cc $(WARNINGS) -Icodecs/kernels -c $$source -o build/check/zig.o; \
	done

.PHONY: format
format: install ## rewrite every source in the house's format
	$(BIN)/ruff check --fix --exit-zero $(PY_SOURCES)
	$(BIN)/ruff format $(PY_SOURCES)
	$(BIN)/clang-format -i $(C_SOURCES)
	cd web && npm run format

.PHONY: sanitize
sanitize: $(FUZZ_TARGETS:%=build/fuzz/%) ## kernels under ASan and UBSan: seeds and SANITIZE_RUNS mutations
	build/fuzz/shard -runs=$(SANITIZE_RUNS) codecs/fuzz/seeds
	build/fuzz/index -runs=$(SANITIZE_RUNS) codecs/fuzz/seeds
	build/fuzz/roundtrip -runs=$$(( $(SANITIZE_RUNS) / 50 )) codecs/fuzz/seeds

.PHONY: fuzz
fuzz: fuzz-system $(FUZZ_TARGETS:%=build/libfuzzer/%) ## libFuzzer on shards, heads and round trips, FUZZ_SECONDS each (needs clang)
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p build/libfuzzer/corpus/$$target build/libfuzzer/found; \
		echo "$$target: $(FUZZ_SECONDS) s; inputs that fail go to build/libfuzzer/found"; \
		build/libfuzzer/$$target -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=25 -print_final_stats=1 \
			-artifact_prefix=build/libfuzzer/found/$$target- build/libfuzzer/corpus/$$target codecs/fuzz/seeds; \
	done

.PHONY: fuzz-system
fuzz-system: ## install clang with its sanitizers by apt-get where they are missing (root)
	@if ! echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return n > 4 && d == 0; }' | \
		clang -x c -fsanitize=fuzzer,address - -o /dev/null 2>/dev/null; then \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
			echo "missing: clang with libFuzzer. On Debian or Ubuntu: apt-get install clang libclang-rt-dev" >&2; exit 1; \
		fi; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -q && apt-get install -q -y --no-install-recommends clang libclang-rt-dev </dev/null; \
	fi

.PHONY: demo-check
demo-check: install system ## the demo in headless Chromium: coarse and in colour first, then exact pixels
	PYTHONPATH=tests $(BIN)/python tests/browser/demo_check.py

##@ Measure
.PHONY: bench
bench: install system ## preview of 16k x 16k, memory of ingest and of decoding, ranges per second; CSV in build/bench
	PYTHONPATH=tests $(BIN)/python tests/bench/preview_16k.py
	PYTHONPATH=tests $(BIN)/python tests/bench/ingest_memory.py
	PYTHONPATH=tests $(BIN)/python tests/bench/decode_memory.py
	PYTHONPATH=tests $(BIN)/python tests/bench/bench_server.py

.PHONY: bench-codec
bench-codec: install ## the codec beside its peers: size, quality, speed, bytes of a view; CSV and plots in build/bench/codec
	PYTHONPATH=tests $(BIN)/python -m bench.codec $(BENCH_ARGS)

.PHONY: first-paint
first-paint: install system ## time to a picture in Chromium at 5 Mbit/s, beside OpenSeadragon; CSV in build/bench
	PYTHONPATH=tests $(BIN)/python tests/bench/first_paint.py

##@ Keep house
.PHONY: system
system: ## install chromium, nginx and fonts by apt-get where they are missing (root)
	@missing=(); \
	command -v chromium >/dev/null || missing+=(chromium); \
	command -v nginx >/dev/null || missing+=(nginx); \
	[ -n "$$(find /usr/share/fonts -name '*.ttf' -print -quit 2>/dev/null)" ] || missing+=(fonts-dejavu-core); \
	if [ $${#missing[@]} -gt 0 ]; then \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
			echo "missing: $${missing[*]}. Install them, or run 'make system' as root on Debian or Ubuntu." >&2; exit 1; \
		fi; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -q && apt-get install -q -y --no-install-recommends "$${missing[@]}" </dev/null; \
	fi

.PHONY: clean
clean: ## remove all that was built or installed here
	rm -rf build dist *.egg-info .venv web/node_modules web/server/dist codecs/js/dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find codecs tiler web/server tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- how `install` works -------------------------------------------------------------------------------------------
# The project is linked, not copied: an edit of a Python file needs nothing. The link tree lists files by name, so a new
# or removed module (or a changed kernel) makes `project` run again. The bundle needs kernels.wasm, which pip builds, and
# the link tree needs the bundle: hence the order kernels -> bundle -> project.

FORCE:

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "no Python >= 3.11 found: install it, or say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMPS)/tools: pyproject.toml | $(BIN)/python
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		> $(VENV)/build-requires.txt
	$(BIN)/python -m pip install -qq wheel -r $(VENV)/build-requires.txt
	@mkdir -p $(STAMPS) && touch $@

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	touch $@

build/kernels/firstlight/codecs/kernels.wasm: setup.py $(KERNELS) $(HEADERS) codecs/python/_native.c $(STAMPS)/tools
	$(BIN)/python setup.py -q build_ext --build-lib build/kernels --build-temp build/kernels/temp
	touch $@

web/server/dist/viewer.js: build/kernels/firstlight/codecs/kernels.wasm web/node_modules/.package-lock.json $(VIEWER_SOURCES)
	cd web && FIRSTLIGHT_KERNELS=$(abspath $<) npm run build
	touch $@

$(STAMPS)/modules: FORCE
	@mkdir -p $(STAMPS)
	@find tiler codecs/python web/server -not -path '*/__pycache__*' -type f | LC_ALL=C sort > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(STAMPS)/project: pyproject.toml setup.py web/server/dist/viewer.js $(STAMPS)/modules
	$(BIN)/python -m pip install -qq --no-build-isolation -e '.[test,check,bench]'
	touch $@

build/fuzz/%: codecs/fuzz/%.c codecs/fuzz/driver.c $(FUZZ_HEADERS) $(KERNELS) $(HEADERS)
	@mkdir -p $(@D)
	$(CC) -std=c11 -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
		-Icodecs/kernels $(KERNELS) $< codecs/fuzz/driver.c -o $@

build/libfuzzer/%: codecs/fuzz/%.c $(FUZZ_HEADERS) $(KERNELS) $(HEADERS)
	@mkdir -p $(@D)
	clang -std=c11 -g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		-Icodecs/kernels $(KERNELS) $< -o $@
