# Two commands do everything: `make run` and `make test`. Both set up what they need first.
PYTHON ?= python3
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header \
  --no-emit-index-url pyproject.toml

.PHONY: run test lint types suite fuzz neighbours bench audit lock clean

run: .venv/run
	@echo 'Demo data $(BIN)/python -m neonkit_starter.demo_data --users 10000 --posts 100000'
	@$(BIN)/python -m neonkit dev

test: lint types suite
	$(MAKE) fuzz FUZZ=--short

lint: .venv/dev
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive src -ll 2>/dev/null  # it warns of each line of a long exception

types: .venv/dev
	$(BIN)/python -m mypy
	$(BIN)/basedpyright

suite: .venv/dev
	$(BIN)/python -m pytest -n 2

neighbours: .venv-neighbours/made
	cd neighbours && ../.venv-neighbours/bin/python -m pytest --rootdir . -q

fuzz: .venv/dev .venv-fuzz/made
	$(BIN)/python fuzz $(FUZZ)

bench: .venv/dev
	$(BIN)/python -m benchmarks.bench $(BENCH)

audit:
	.ci/audit $(PYTHON)

lock: .venv/dev
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/lock.txt
	$(COMPILE) --group build -o requirements/serve.txt
	$(COMPILE) --extra local --group build -o requirements/run.txt
	$(COMPILE) --extra testing --group dev -o requirements/dev.txt
	$(subst pyproject.toml,--group telemetry,$(COMPILE)) -o requirements/telemetry.txt
	$(COMPILE) --extra testing --group neighbours -o requirements/neighbours.txt
	$(subst pyproject.toml,--group fuzz,$(COMPILE)) -o requirements/fuzz.txt
	$(subst pyproject.toml,--group audit,$(COMPILE)) -o requirements/audit.txt
	$(subst pyproject.toml,--group lock,$(COMPILE)) -o requirements/lock.txt

clean:
	rm -rf .venv .venv-audit .venv-fuzz .venv-neighbours .neonkit neighbours/.neonkit

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "neonkit needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

.venv/run: .venv/bin/python requirements/run.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/bin/python requirements/dev.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ .venv/run

.venv-neighbours/made: requirements/neighbours.txt pyproject.toml
	$(PYTHON) -m venv .venv-neighbours
	.venv-neighbours/bin/python -m pip install --quiet --require-hashes -r requirements/neighbours.txt
	.venv-neighbours/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv-fuzz/made: requirements/fuzz.txt
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --require-hashes -r requirements/fuzz.txt
	@touch $@
