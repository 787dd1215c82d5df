# `make study` and `make test` each work first on a fresh machine: they build .venv once, then run.
# The tests are three sets by their markers (pyproject.toml): quick (`make test`), faults and long.
PYTHON ?= python3
BIN := .venv/bin
# a file at a time, in the order of tests/conftest.py
TESTS = $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: install study test faults long check docs benchmark ui clean

install: .venv/installed

study: .venv/installed
	$(BIN)/mlp-study --multirun

# the quick set: six minutes on two cores
test: .venv/installed
	$(TESTS)

# kills, full disks, servers that go away: some twenty minutes
faults: .venv/installed
	$(BIN)/python -m pytest -m fault -n 2 --dist loadfile $(FAULTS)

# what the pages of docs show, MLflow's own pages, the rest of the comparisons with Keras: a quarter of an hour
long: .venv/installed
	$(BIN)/python -m pytest -m long -n 2

# docs/reference.md, from the code
docs: .venv/installed
	$(BIN)/python docs/generate.py

# everything that must hold before a commit
check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(TESTS)

benchmark: .venv/installed
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.tracking

ui: .venv/installed
	$(BIN)/mlp-study ui

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mlp-study needs Python 3.11 or newer; this is " + sys.version.split()[0] + " (name another with PYTHON=…)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv
