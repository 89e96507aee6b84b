# Every target that needs it creates the environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA ?= ../shared/data
FIGURES ?= .data/figures
LOG ?= $(DATA)/oulad-2013j.jsonl.gz

# Without cached bytecode, pytest compiles every test at each start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help debian-tools install test lint lint-style lint-format lint-types lint-layers unit laws broker-test crash-test browser-test crash demo bench bench-full bench-check bench-latency bench-recovery bench-growth bench-console bench-model soak quality screenshots audit docs site lock clean

help:  ## list all targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

install: $(STAMP)  ## create the environment in .venv from the lock file

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(STAMP)

demo: $(STAMP)  ## run all components with simulated customers, until Ctrl-C (DATA=FILE: your log, CONFIG=FILE: your definition)
	@$(BIN)/churn-signals demo $(if $(CONFIG),--config "$(CONFIG)") $(if $(filter command,$(origin DATA)),"$(DATA)")

test: lint unit laws broker-test crash-test browser-test  ## run all checks that must pass before a change is merged

lint: lint-style lint-format lint-types lint-layers  ## check style, format, types and layers, as the pre-commit hooks do

lint-style: $(STAMP)
	$(BIN)/ruff check .

lint-format: $(STAMP)
	$(BIN)/ruff format --check .

lint-types: $(STAMP)
	$(BIN)/mypy

lint-layers: $(STAMP)
	$(BIN)/lint-imports --no-cache

UNITS := tests/models tests/streams tests/tools tests/ops tests/benchmarks tests/security tests/language tests/structure

unit: $(STAMP)  ## run unit tests without a broker
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not law" $(UNITS)

laws: $(STAMP)  ## run property tests over many cases and whole logs, and tests of the installed wheel and the site
	$(BIN)/python -m pytest -n auto --dist loadgroup -m law tests/laws tests/packaging tests/models tests/streams/cli

broker-test: $(STAMP)  ## run tests against a real Apache Kafka, which they start and stop
	$(BIN)/python -m pytest -n 3 --dist loadgroup --timeout 900 tests/broker

crash-test: $(STAMP)  ## run engine fault tests and a short fault matrix, checked by an oracle
	$(BIN)/python -m pytest -n 2 --dist loadgroup --timeout 900 tests/crash

browser-test: $(STAMP)  ## test the console in headless Chromium; skipped without Chromium (make debian-tools)
	$(BIN)/python -m pytest -rfs --timeout 900 tests/browser

crash: $(STAMP)  ## run the fault matrix: lost, duplicate and extra records, longest outage (ROWS=1,3 SEEDS=20 SEED=1 JSON=OUT)
	@$(BIN)/python -m tests.crash.matrix $(if $(ROWS),--rows $(ROWS)) $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(JSON),--json $(JSON))

bench: $(STAMP)  ## measure throughput on a real Kafka, compared with alternatives (QUIX=PYTHON with quixstreams)
	$(BIN)/python -m benchmarks.throughput $(if $(QUIX),--quix $(QUIX))

bench-full: $(STAMP)  ## run bench plus two workers, trainer, other inputs (DATA=DIR), latency, recovery, growth and sizing
	@mkdir -p $(FIGURES); failed=0; \
	$(BIN)/python -m benchmarks.throughput --full $(if $(wildcard $(LOG)),--log $(LOG)) $(if $(QUIX),--quix $(QUIX)) \
	  --json $(FIGURES)/throughput.json || failed=1; \
	$(if $(wildcard $(LOG)),,echo "skipping the real log: $(LOG) does not exist";) \
	$(BIN)/python -m benchmarks.latency --json $(FIGURES)/latency.json || failed=1; \
	$(BIN)/python -m benchmarks.recovery --json $(FIGURES)/recovery.json || failed=1; \
	$(BIN)/python -m benchmarks.growth --json $(FIGURES)/growth.json || failed=1; \
	$(BIN)/python -m benchmarks.sizing $(FIGURES)/throughput.json $(FIGURES)/growth.json $(FIGURES)/recovery.json || failed=1; \
	exit $$failed

bench-check: $(STAMP)  ## compare bench with the committed baseline: changes of more than 10%
	$(BIN)/python -m benchmarks.check $(if $(QUIX),--quix $(QUIX))

bench-latency: $(STAMP)  ## measure latency from event to score and alert at 10%, 50% and 90% of the sustained rate
	$(BIN)/python -m benchmarks.latency

bench-recovery: $(STAMP)  ## measure recovery of 1,000,000 customers, from an empty disk and with the local store
	$(BIN)/python -m benchmarks.recovery

bench-growth: $(STAMP)  ## measure throughput and memory for 10,000 to 1,000,000 customers and 4 to 64 partitions; profile size
	$(BIN)/python -m benchmarks.growth

bench-console: $(STAMP)  ## measure the console at 100,000 customers and 10,000 open alerts: first page, memory
	$(BIN)/python -m benchmarks.console

bench-model: $(STAMP)  ## measure microseconds per event by stage, on a real log if available (DATA=DIR), otherwise simulated
	$(BIN)/python -m benchmarks.model $(DATA)/oulad-2013j.jsonl.gz

soak: $(STAMP)  ## run all processes, fail on drift of memory, disk or latency (HOURS=0.75 RATE=200 CUSTOMERS=3000 JSON=OUT)
	@$(BIN)/python -m benchmarks.soak $(if $(HOURS),--hours $(HOURS)) $(if $(RATE),--rate $(RATE)) \
	  $(if $(CUSTOMERS),--customers $(CUSTOMERS)) $(if $(JSON),--json $(JSON))

quality: $(STAMP)  ## evaluate model quality on simulated customers with known hazards
	$(BIN)/python -m benchmarks.quality.simulated
	$(BIN)/python -m benchmarks.quality.involuntary

.PHONY: sbom
sbom: $(STAMP)  ## write the software bill of materials of the image to .data/sbom.cdx.json (CycloneDX)
	@$(BIN)/python -m tools.sbom .data/sbom.cdx.json

audit: $(STAMP)  ## check pinned packages for known vulnerabilities (exit code 3: not audited)
	@$(BIN)/python -m tests.security.audit

debian-tools:  ## install promtool and a browser from Debian packages; tests that need them are skipped otherwise
	apt-get update -q && apt-get install -y -q --no-install-recommends prometheus chromium chromium-driver

.PHONY: node-tools
node-tools:  ## install KafkaJS for the JavaScript tests of docs/alerts.md, and npm from Debian packages if missing
	command -v npm >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends nodejs npm; }
	cd tests/javascript && npm ci

screenshots: $(STAMP)  ## take screenshots of the console for docs/images (needs Chromium: make debian-tools)
	$(BIN)/python -m tests.browser.screenshots

docs: $(STAMP)  ## regenerate the generated parts of the documentation
	$(BIN)/python -m tools.docs

site: $(STAMP)  ## build the documentation site in .data/site, offline; warnings are errors
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --builder html \
	  --doctree-dir .data/doctrees docs .data/site
	@echo "open .data/site/index.html"

lock:  ## update requirements.lock and requirements-run.lock (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --all-extras --no-header --output-file requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --constraint requirements.lock --no-header --output-file requirements-run.lock pyproject.toml

clean:  ## remove the environment, the embedded broker's data and all caches
	rm -rf $(VENV) .data .mypy_cache .ruff_cache .pytest_cache .hypothesis
