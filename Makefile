# make run: set up and run the main job. make test: set up and test. make setup: only set up.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(name) 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# two by default: the suite is meant for two cores
TEST_PROCESSES ?= 2

.PHONY: setup run test lint anvil clean

setup: $(VENV)/.installed
	@echo "set up: $(BIN)/veche run smoke shows everything in seconds"

run: $(VENV)/.installed-fast
	@$(BIN)/veche compile || echo "going on without: the same results, in more than twice the time" >&2
	$(BIN)/veche run election-day

test: $(VENV)/.installed-test $(VENV)/.installed-fast
	@$(BIN)/veche compile || echo "going on without: its tests are skipped" >&2
	$(BIN)/python -m pytest -n $(TEST_PROCESSES)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

# what python -m bench cluster is held beside, if it is there: see bench/ANVIL.md
anvil:
	@command -v npm >/dev/null || { echo "anvil needs Node.js with npm on the PATH" >&2; exit 1; }
	npm install --prefix bench/anvil

clean:
	rm -rf $(VENV) build *.egg-info bench/anvil/node_modules

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Veche needs Python 3.11 or later on the PATH" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Veche needs Python 3.11 or later; $(PYTHON) is older" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml
	$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-fast: $(VENV)/.installed pyproject.toml
	$(PIP) install --editable '.[fast]'
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed pyproject.toml
	$(PIP) install --editable '.[test]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test pyproject.toml
	$(PIP) install --editable '.[test,dev]'
	@touch $@
