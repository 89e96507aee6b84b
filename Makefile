# churn-signals: every command makes its own environment under .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA ?= ../shared/data
FIGURES ?= .data/figures
LOG ?= $(DATA)/oulad-2013j.jsonl.gz

.PHONY: help debian-tools install test lint unit laws broker-test crash-test browser-test crash demo bench bench-full bench-check bench-latency bench-recovery bench-growth bench-console bench-model quality screenshots audit docs lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

install: $(STAMP)  ## an environment under .venv, from the lock file

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(STAMP)

demo: $(STAMP)  ## everything on this machine: alerts as they come, until Ctrl-C; a log instead of the simulator: DATA=FILE
	@$(BIN)/churn-signals demo $(if $(CONFIG),--config "$(CONFIG)") $(if $(filter command,$(origin DATA)),"$(DATA)")

test: lint unit laws broker-test crash-test browser-test  ## everything that has to hold before a change lands

lint: $(STAMP)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(STAMP)  ## tests without a broker
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not law" tests/models tests/streams tests/tools tests/ops tests/benchmarks tests/security

laws: $(STAMP)  ## properties, over many cases and whole logs
	$(BIN)/python -m pytest -n auto --dist loadgroup -m law tests/laws tests/models tests/streams/cli

broker-test: $(STAMP)  ## tests against real Apache Kafka, which they start and stop
	$(BIN)/python -m pytest -n 2 --dist loadgroup --timeout 900 tests/broker

crash-test: $(STAMP)  ## kill, pause and outage against an oracle; the fault matrix in short
	$(BIN)/python -m pytest -n 2 --dist loadgroup --timeout 900 tests/crash

browser-test: $(STAMP)  ## the console in headless Chromium, against Kafka, a worker and a trainer; skipped without (debian-tools)
	$(BIN)/python -m pytest -rfs --timeout 900 tests/browser

crash: $(STAMP)  ## the fault matrix: lost, double, extra and the longest outage, whatever breaks (ROWS=1,3 SEEDS=20 SEED=1 JSON=OUT)
	@$(BIN)/python -m tests.crash.matrix $(if $(ROWS),--rows $(ROWS)) $(if $(SEEDS),--seeds $(SEEDS)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(JSON),--json $(JSON))

bench: $(STAMP)  ## events a second on a real Kafka, beside what else one could use (QUIX=a python with quixstreams)
	$(BIN)/python -m benchmarks.throughput $(if $(QUIX),--quix $(QUIX))

bench-full: $(STAMP)  ## bench with two workers, the trainer, other inputs (DATA=folder) besides; latency, recovery, growth
	@mkdir -p $(FIGURES); failed=0; \
	$(BIN)/python -m benchmarks.throughput --full $(if $(wildcard $(LOG)),--log $(LOG)) $(if $(QUIX),--quix $(QUIX)) \
	  --json $(FIGURES)/throughput.json || failed=1; \
	$(if $(wildcard $(LOG)),,echo "no real log: $(LOG) is not there";) \
	$(BIN)/python -m benchmarks.latency --json $(FIGURES)/latency.json || failed=1; \
	$(BIN)/python -m benchmarks.recovery --json $(FIGURES)/recovery.json || failed=1; \
	$(BIN)/python -m benchmarks.growth --json $(FIGURES)/growth.json || failed=1; \
	$(BIN)/python -m benchmarks.sizing $(FIGURES)/throughput.json $(FIGURES)/growth.json $(FIGURES)/recovery.json || failed=1; \
	exit $$failed

bench-check: $(STAMP)  ## bench beside the committed baseline: what moved by more than 10 %
	$(BIN)/python -m benchmarks.check $(if $(QUIX),--quix $(QUIX))

bench-latency: $(STAMP)  ## from an event to its score and its alert, at 10, 50 and 90 % of what a worker keeps up with
	$(BIN)/python -m benchmarks.latency

bench-recovery: $(STAMP)  ## seconds until 1,000,000 customers are recovered, from nothing and with the local store
	$(BIN)/python -m benchmarks.recovery

bench-growth: $(STAMP)  ## events a second and memory with 10,000 to 1,000,000 customers and 4 to 64 partitions; size of a profile
	$(BIN)/python -m benchmarks.growth

bench-console: $(STAMP)  ## the console at 100,000 customers and 10,000 open alerts: seconds to the first page, memory
	$(BIN)/python -m benchmarks.console

bench-model: $(STAMP)  ## microseconds an event by stage, from a real log where there is one (DATA=folder), else simulated
	$(BIN)/python -m benchmarks.model $(DATA)/oulad-2013j.jsonl.gz

quality: $(STAMP)  ## quality on simulated customers beside the truth
	$(BIN)/python -m benchmarks.quality.simulated
	$(BIN)/python -m benchmarks.quality.involuntary

audit: $(STAMP)  ## known vulnerabilities of every pinned package (3: nobody answered, which says nothing)
	@$(BIN)/python -m tests.security.audit

debian-tools:  ## promtool, and a browser for tests, from Debian's packages; tests without theirs are skipped
	apt-get update -q && apt-get install -y -q --no-install-recommends prometheus chromium chromium-driver

.PHONY: node-tools
node-tools:  ## KafkaJS, with which tests run the JavaScript of docs/alerts.md; npm from Debian's packages if there is none
	command -v npm >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends nodejs npm; }
	cd tests/javascript && npm ci

screenshots: $(STAMP)  ## pictures of the console, in docs/images (needs Chromium: debian-tools)
	$(BIN)/python -m tests.browser.screenshots

docs: $(STAMP)  ## rewrite the generated parts of the documentation
	$(BIN)/python -m tools.docs

lock:  ## rewrite requirements.lock, and its part that containers need (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --all-extras --no-header --output-file requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --constraint requirements.lock --no-header --output-file requirements-run.lock pyproject.toml

clean:  ## remove the environment, the embedded broker's data and all caches
	rm -rf $(VENV) .data .mypy_cache .ruff_cache .pytest_cache .hypothesis
