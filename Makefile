# Everything here brings its own set-up: it needs Python >= 3.11, make and the package registry.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MEMBERS := contracts migrations chassis kernel devkit engine game gateway client web $(wildcard plugins/*)
PROJECTS := $(addsuffix /pyproject.toml,$(MEMBERS))
WORKFLOWS := $(wildcard .github/workflows/*.yml)
CODE   := $(MEMBERS) tests integration tools bench conftest.py
CORES  := $(shell $(PYTHON) -c 'import os; print(os.cpu_count() or 1)')

# Where it is set, each of the hundreds of processes that tests start would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run play test integration check format revision bench endurance docs proto lock wheels clean test-tools dev-deploy

help: ## show what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

setup: $(VENV)/.installed ## install everything into .venv

$(BIN)/uv: locks/uv.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: needs Python >= 3.11, found no $(PYTHON): install it, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: needs Python >= 3.11, $(PYTHON) is $$($(PYTHON) --version): say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "make: $(PYTHON) cannot make a virtual environment: on Debian install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r locks/uv.txt
	@touch $@

$(VENV)/.installed: $(BIN)/uv locks/dev.txt $(PROJECTS)
	@echo "Installing into $(VENV) …"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes locks/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps $(addprefix -e ./,$(MEMBERS))
	@touch $@

run: setup ## everything, embedded: Postgres, mail page, backend, gateway, engines
	@exec $(BIN)/backend dev

play: setup ## a whole game between two scripted players, and its story
	@$(BIN)/python tools/play.py $(PLAY_ARGS)

# Many tests wait for processes and containers: one worker more than there are cores keeps these busy.
WORKERS = $(shell echo $$(($(CORES) + 1)))
test: setup ## every test that this machine can run
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

integration: setup ## the whole product in containers, a stack for each scenario
	@$(BIN)/pytest -n 2 --dist worksteal integration $(PYTEST_ARGS)

# Each uses one core. The first takes the longest.
CHECKS := check-types check-page check-workflows check-imports check-docs check-proto check-form
.PHONY: $(CHECKS)
check: setup ## format, lint, types (of the page too), import contracts, generated docs
	@$(MAKE) --no-print-directory --output-sync=target -j $(CORES) $(CHECKS)

check-form:
	@$(BIN)/ruff format --check --quiet $(CODE) || { echo "make check: run make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet $(CODE)

check-types:
	@$(BIN)/mypy $(foreach member,$(MEMBERS),-p galaxy_$(notdir $(member))) -p bench

check-imports:
	@report=$$($(BIN)/lint-imports --no-cache) || { echo "$$report" >&2; exit 1; }; echo "$$report" | tail -n 1

check-docs:
	@$(BIN)/python tools/docs.py --check

check-proto:
	@$(BIN)/python tools/proto.py --check

check-page:
	@tools/types.sh

check-workflows:
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows $(WORKFLOWS)
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec tools/*/compose.yaml
	@tools/actionlint.sh

test-tools: ## install what the tests need besides Python, on Debian or Ubuntu as root
	@tools/test-tools.sh

dev-deploy: ## bring what is checked out to the shared environment on this machine
	@$(MAKE) --no-print-directory -C tools/dev-deploy up

format: setup ## put the code in form
	@$(BIN)/ruff format --quiet $(CODE)
	@$(BIN)/ruff check --quiet --fix $(CODE)

revision: setup ## draft a plugin's next revision: make revision PLUGIN=mail MESSAGE="add priority"
	@$(BIN)/python tools/revision.py $(PLUGIN) "$(MESSAGE)"

bench: setup ## measure
	@$(BIN)/python -m bench $(BENCH_ARGS)

endurance: setup ## kill processes and connections, and check that nothing is lost
	@$(BIN)/python -m bench.endurance $(ENDURANCE_ARGS)

docs: setup ## write the generated parts of the docs, and build the site into site/
	@$(BIN)/python tools/docs.py
	@$(BIN)/python tools/website.py

proto: setup ## write the code of the gRPC protocols
	@$(BIN)/python tools/proto.py

lock: $(BIN)/uv ## pin the dependencies; LOCK_ARGS=--upgrade takes the newest of all
	@tools/lock.sh $(LOCK_ARGS)

wheels: setup ## build a wheel of every distribution into dist/
	@rm -rf dist && $(BIN)/uv build --quiet --all-packages --wheel --out-dir dist
	@ls dist

clean: ## remove what was made here, the data of make run included
	@rm -rf $(VENV) .galaxy dist site web/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
