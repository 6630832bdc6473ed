# Every target makes its own set-up: a virtual environment from requirements.lock. Nothing is installed twice.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo test test-slow test-long soak bench check lock clean

help:
	@echo "make demo    compare softmax, center loss and LMCL on made-up faces; writes runs/demo/report/report.html"
	@echo "make test    run the tests"
	@echo "make test-slow  run the tests that start servers and nodes and kill them"
	@echo "make test-long  run those of them that take minutes each"
	@echo "make soak    kill a sweep at random moments for ten minutes, count what was lost"
	@echo "make bench   measure the benchmarks of tests/performance"
	@echo "make check   linters, types, import rules"
	@echo "make setup   only make .venv"
	@echo "make lock    write requirements.lock anew from pyproject.toml"

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else f"facebench needs Python >= 3.11, $(PYTHON) is {v[0]}.{v[1]}: give make PYTHON=python3.12, say")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $(READY)

demo: setup
	$(BIN)/facebench demo

# One thread a worker: two workers on two cores, and the numbers do not depend on the machine's thread count.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# Each of these tests starts processes of its own, and waits for them most of the time; a file's share a server or a cluster.
# Those that hold a limit of seconds come last, one by one; the others need not be collected again for them.
TIMED := $(shell grep -l mark.timed tests/test_*.py)
SLOW := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations=10
test-slow: setup
	$(SLOW) -n 3 --dist loadfile -m "slow and not long and not timed"
	$(SLOW) -m "timed and not long" $(TIMED)

test-long: setup
	$(SLOW) -n 2 --dist loadfile -m "long and not timed"
	$(SLOW) -m "long and timed" $(TIMED)

soak: setup
	$(BIN)/python tests/soak.py

bench: setup
	@mkdir -p runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/performance --benchmark-only --benchmark-json=runs/bench.json

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy bench losses backbones sweeps reports
	$(BIN)/lint-imports

lock: setup
	$(BIN)/uv pip compile pyproject.toml --group dev --extra models -o requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header

# runs/ holds results: it is never deleted here.
clean:
	rm -rf .venv
