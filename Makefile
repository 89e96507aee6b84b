# churn-signals: every command makes its own environment under .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install test lint unit laws lock clean

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(STAMP)

test: lint unit laws  ## everything that has to hold before a change lands

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(STAMP)  ## no broker, under 30 s
	$(BIN)/python -m pytest tests/models tests/streams

laws: $(STAMP)  ## properties, under 2 min
	$(BIN)/python -m pytest tests/laws

lock:  ## rewrite requirements.lock (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --all-extras --no-header --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .data .mypy_cache .ruff_cache .pytest_cache
