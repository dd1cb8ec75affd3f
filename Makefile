# fundops: every chore of this repository. `make help` lists them.
#
# `make demo` and `make test` need a Debian or Ubuntu machine with make and Python 3.11, nothing else: they install
# what is missing, and run again they are quick. PYTHON=/path/to/python3.11 chooses another interpreter.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

VENV := .venv/bin
PYTHON ?=
# Pytest's workers: a number, or auto.
WORKERS ?= 2
# Passed on: make test ARGS="tests/core -k env"
ARGS ?=
# The demo's candles: make demo CANDLES=folder, or SOURCE=kraken to download them.
DEMO_OPTIONS = $(if $(CANDLES),--candles "$(CANDLES)") $(if $(SOURCE),--source "$(SOURCE)")
BOOTSTRAP := PYTHON="$(PYTHON)" sh scripts/bootstrap.sh
# `check --deploy` looks at the settings as production would have them; nothing is connected to.
PRODUCTION := FUNDOPS_ENV=production FUNDOPS_ENV_FILE= ALLOWED_HOSTS=fund.example.com \
	DATABASE_URL=postgresql://app@db.invalid/fundops DATABASE_OWNER_URL=postgresql://owner@db.invalid/fundops \
	REDIS_URL=redis://redis.invalid SECRET_KEY="$$($(VENV)/python -c 'import secrets; print(secrets.token_urlsafe(64))')"

.PHONY: help
help: ## list the chores
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' | awk -F'|' '{ printf "%-10s %s\n", $$1, $$2 }'

.PHONY: demo
demo: export FUNDOPS_ENV ?= demo
demo: ready migrate static ## show it: people, candles, cohorts, then everything on http://127.0.0.1:8000
	$(VENV)/python manage.py demo $(DEMO_OPTIONS) $(ARGS)
	exec $(VENV)/python manage.py up --with-parent

.PHONY: up
up: ready migrate static ## run all processes of one machine; Ctrl-C stops them
	exec $(VENV)/python manage.py up --with-parent $(ARGS)

.PHONY: test
test: ready-to-test ## run every test, browser included
	FUNDOPS_BROWSER_REQUIRED=1 $(VENV)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: lint
lint: ready-to-lint ## ruff, mypy, import layers, deployment checks, missing migrations
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy --num-workers 2 .
	$(VENV)/lint-imports
	$(PRODUCTION) $(VENV)/python manage.py check --deploy --fail-level WARNING
	$(VENV)/python manage.py makemigrations --check --dry-run

.PHONY: bench
bench: ready ## run the benchmarks, each printing ratios of one run
	$(VENV)/python -m benchmarks.peers.setup
	@for file in benchmarks/bench_*.py; do \
		module=benchmarks.$$(basename $$file .py); \
		echo "== $$module"; $(VENV)/python -m $$module $(ARGS); \
	done

.PHONY: format
format: ready-to-lint ## let ruff mend what it can
	$(VENV)/ruff check --fix-only .
	$(VENV)/ruff format .

.PHONY: migrate
migrate: ready ## bring the database to the newest schema
	$(VENV)/python manage.py migrate --verbosity 0

.PHONY: static
static: ready ## gather the static files
	@$(VENV)/python manage.py collectstatic --noinput --verbosity 0

.PHONY: lock
lock: ready-to-lint ## resolve requirements/*.in anew, with hashes
	$(VENV)/python -m pip install --quiet uv
	for file in base $(filter-out base,$(basename $(notdir $(wildcard requirements/*.in)))); do \
		$(VENV)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --python-version 3.11 \
			requirements/$$file.in -o requirements/$$file.txt; \
	done

.PHONY: clean
clean: ## stop the embedded services; remove environments, caches and gathered files, but keep the data in var/
	@if [ -x $(VENV)/python ]; then $(VENV)/python -m fundops.embedded stop || true; fi
	rm -rf .venv .bench-venv staticfiles var/tests
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- machinery: each makes the machine ready for one purpose, in a fraction of a second when it is ---------------

.PHONY: ready ready-to-test ready-to-lint
ready:
	@$(BOOTSTRAP) run
ready-to-test:
	@$(BOOTSTRAP) test
ready-to-lint:
	@$(BOOTSTRAP) lint
