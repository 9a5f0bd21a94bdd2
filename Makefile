# make setup   the project's own .venv, installed once; again only when pyproject.toml or constraints.txt change
# make demo    a first result from the models that ship with the package
# make test    all tests          (ARGS="-k mesh" and the like reach pytest)
# make lint    ruff and pyright
# make bench   every script in tests/benchmarks
# make clean   remove caches and build products; .venv and renders stay

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
BENCH  := $(sort $(wildcard tests/benchmarks/bench_*.py))

.PHONY: setup demo test lint bench clean
.DEFAULT_GOAL := setup

setup: $(STAMP)

$(STAMP):
	@command -v $(PYTHON) >/dev/null || { echo "setup: '$(PYTHON)' was not found; install Python 3.10 or newer, or run 'make PYTHON=/path/to/python3'" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "setup: '$(PYTHON)' is $$($(PYTHON) --version 2>&1), expected Python 3.10 or newer; run 'make PYTHON=/path/to/python3'" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "setup: '$(PYTHON)' has no venv module; install it (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,train]'
	@rm -f $(VENV)/.installed-*
	@touch $@

demo: setup
	$(BIN)/syncsde3d demo

test: setup
	$(BIN)/python -m pytest -r fEs $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: setup
	@for script in $(BENCH); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis lightning_logs
	find syncsde3d tests -type d -name __pycache__ -prune -exec rm -rf {} +
