# `make demo` and `make test` are all that a newcomer needs; .ci/run uses the rest.
PYTHON ?= python3
VENV ?= .venv
# Extras that `make test` installs; CI adds `train` (torch) so that nothing is skipped.
EXTRAS ?= dev
BIN := $(VENV)/bin
# A worker per CPU. One thread of BLAS each: more would wait for CPUs that other workers use. Tests of a
# file run in order in one worker, because they share what takes long to make, and generators.
PYTEST := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

.PHONY: demo test lint types imports bounds bench reference clean

demo: $(VENV)/.installed
	$(BIN)/accelsim demo

test: $(VENV)/.installed-$(EXTRAS)
	$(PYTEST)

lint: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/mypy

imports: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/lint-imports

# Out-of-bounds reads are silent in compiled code: run everything that drives the kernels with checks
# on (the stepped twin, training and steps do not). The cache is apart, because cached machine code does
# not remember whether it checks.
bounds: $(VENV)/.installed-$(EXTRAS)
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(VENV)/numba-bounds \
		$(PYTEST) tests/exact tests/property tests/unit/simulation \
		tests/unit/compression --ignore-glob='tests/exact/test_stepped_*' \
		--ignore=tests/unit/compression/training --ignore=tests/unit/compression/steps

# Speed, as ratios to a baseline in the same run. Not part of `make test`: no test depends on time.
bench: $(VENV)/.installed-$(EXTRAS)
	$(BIN)/python -m pytest -q -s tests/bench/bench_*.py

# The committed tables and figures under reports/reference.
reference: $(VENV)/.installed
	$(BIN)/accelsim reproduce eie --out reports/reference/eie
	$(BIN)/accelsim reproduce deep-compression --out reports/reference/deep_compression
	$(BIN)/python reports/reference/decoders.py
	$(BIN)/python reports/reference/large_networks.py
	$(BIN)/python reports/reference/trained_networks.py
	$(BIN)/python reports/reference/stories.py

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-$(EXTRAS): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[$(EXTRAS)]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
