# The commands people type. Each installs what it needs: uv, Python packages, servers.
.DEFAULT_GOAL := help
.PHONY: help demo test proof check static up down stress bench bench-full pictures plots flame conversations figures images images-earlier kind-up kind-load kind-load-earlier kind-test kind-down chart e2e clean lock bootstrap servers
CLUSTER := flashsale
KIND_CONFIG := deploy/kind/cluster.yaml
BIN := .venv/bin
# Python keeps what it has compiled unless this has a value, as some machines set it: then each of the hundreds of programs that the
# stack and the tests start would compile all its libraries again, which takes longer than anything else that it does to start.
export PYTHONDONTWRITEBYTECODE :=
PROOF := tests/model $(addprefix tests/lua/,test_model.py test_faults.py) $(addprefix tests/integration/,test_crash_points.py test_keeper.py test_chaos_run.py)

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: bootstrap servers ## run a sale with more buyers than units on real servers, and audit it
	@$(BIN)/flashsale demo

test: bootstrap ## run all tests: static checks, unit, Lua, integration, chaos
	@scripts/servers.sh test
	@$(MAKE) --no-print-directory static
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 25 --durations-min 5

proof: bootstrap ## run the three layers of docs/proof.md, and nothing else: model, scripts, chaos
	@scripts/servers.sh test
	@$(BIN)/pytest -n 2 --dist loadfile $(PROOF)

check: bootstrap static ## check format, lint, types and import contracts, and run the unit tests
	@$(BIN)/pytest tests/unit -q

static: bootstrap
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	@$(BIN)/python -m tools.house.words
	@$(BIN)/python -m tools.house.lines
	@scripts/actionlint.sh

up: bootstrap servers ## start the local stack: http://127.0.0.1:8000, settings in .flashsale/env
	@$(BIN)/flashsale stack up --with console --with storefront

down: bootstrap ## stop the local stack
	@$(BIN)/flashsale stack down

stress: bootstrap servers ## send 1,000 and 10,000 requests at once, with enough stock and with a tenth of it
	@$(BIN)/python -m tools.bench.stress

bench: bootstrap ## measure orders per second, compared with a bare Starlette endpoint
	@scripts/servers.sh bench
	@$(BIN)/python -m tools.bench.run

bench-full: bootstrap ## measure everything that has a target; takes half an hour
	@scripts/servers.sh bench
	@$(BIN)/python -m tools.bench.full

pictures: bootstrap ## draw the dashboards and the pages after a real sale, into docs/pictures; FLASHSALE_PICTURES_CONTEXT, a test cluster, adds the operator's
	@scripts/servers.sh test
	@scripts/pictures.sh
	@$(BIN)/python -m tools.dashboards.pictures
	@$(BIN)/python -m tools.dashboards.page_pictures

plots: bootstrap ## draw the newest result of bench-full, into docs/pictures
	@scripts/pictures.sh
	@$(BIN)/python -m tools.bench.plots

flame: bootstrap ## draw flame graphs of gateway and order-worker under load, into docs/pictures; needs the right to trace processes, as root has
	@scripts/servers.sh bench
	@$(BIN)/python -m tools.bench.flame

conversations: bootstrap ## hold 100,000 random HTTP conversations with a gateway, honest and hostile; takes some minutes
	@scripts/servers.sh test
	@$(BIN)/python -m tests.integration.conversations

figures: bootstrap ## print the sizes of modules and functions and the gateway's rooms, with their limits
	@$(BIN)/python -m tools.house.figures

images: ## build the images of the services and of the flashsale command with docker; TAG is their tag (dev)
	@scripts/images.sh

images-earlier: ## build the images of the earlier release that the upgrade test begins with
	@scripts/earlier.sh build

kind-up: ## create a kind cluster of three nodes on this machine
	@scripts/kind-up.sh $(CLUSTER) $(KIND_CONFIG)

kind-load: kind-up images ## build the images, and load them and those of the bundled servers into the cluster
	@scripts/kind-load.sh $(CLUSTER)

kind-load-earlier: kind-up images-earlier ## build the images of the earlier release, and load them
	@scripts/earlier.sh load $(CLUSTER)

kind-test: e2e ## run the e2e suite on the kind cluster

kind-down: ## delete the kind cluster
	@kind delete cluster --name $(CLUSTER)

# helm runs a thousand times, each for a moment: without collecting garbage it needs a quarter less of the processor.
chart: bootstrap ## test what helm renders, without a cluster; needs helm
	@command -v helm >/dev/null || { echo "chart: helm is not on PATH" >&2; exit 1; }
	@GOGC=off GOMEMLIMIT=256MiB $(BIN)/pytest -q -n 2 --dist loadfile tests/chart

e2e: bootstrap ## run the e2e suite on a cluster that has the images; FLASHSALE_E2E_CONTEXT is its context (kind-flashsale)
	@scripts/e2e.sh

lock: bootstrap ## update requirements.lock, without releases younger than a week
	@scripts/lock.sh

clean: ## stop the stack and remove everything that make has set up here
	@if [ -e .flashsale/state.json ]; then scripts/bootstrap.sh && $(BIN)/flashsale stack down; fi
	@rm -rf .flashsale .e2e .venv .bootstrap .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache uv.lock
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

bootstrap:
	@scripts/bootstrap.sh

servers: bootstrap
	@scripts/servers.sh
