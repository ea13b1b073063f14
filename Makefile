# The commands people type. Each brings what it needs: uv, Python packages, servers.
.DEFAULT_GOAL := help
.PHONY: help demo test check static up down stress bench bench-full pictures plots flame conversations figures images kind-up kind-load kind-test kind-down chart e2e clean lock bootstrap servers
CLUSTER := flashsale
KIND_CONFIG := deploy/kind/cluster.yaml
BIN := .venv/bin

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: bootstrap servers ## a real, contended sale on real servers, with a verdict
	@$(BIN)/flashsale demo

test: bootstrap ## everything that proves the engine: static checks, unit, Lua, integration, chaos
	@scripts/servers.sh test
	@$(MAKE) --no-print-directory static
	@$(BIN)/pytest

check: bootstrap static ## format, lint, types, import contracts, unit tests
	@$(BIN)/pytest tests/unit -q

static: bootstrap
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	@scripts/actionlint.sh

up: bootstrap servers ## start the local stack: http://127.0.0.1:8000, settings in .flashsale/env
	@$(BIN)/flashsale stack up

down: bootstrap ## end it
	@$(BIN)/flashsale stack down

stress: bootstrap servers ## 1,000 and 10,000 requests at once, plentiful and contended
	@$(BIN)/python -m tools.bench.stress

bench: bootstrap ## orders per second beside a bare Starlette endpoint, with a verdict
	@scripts/servers.sh bench
	@$(BIN)/python -m tools.bench.run

bench-full: bootstrap ## every figure the engine is held to, with its bar: half an hour
	@scripts/servers.sh bench
	@$(BIN)/python -m tools.bench.full

pictures: bootstrap ## the dashboards as pictures of a real sale, in docs/pictures; the operator's too with FLASHSALE_PICTURES_CONTEXT, a cluster for tests
	@scripts/servers.sh test
	@scripts/pictures.sh
	@$(BIN)/python -m tools.dashboards.pictures

plots: bootstrap ## the newest results of the full bench as pictures, in docs/pictures
	@scripts/pictures.sh
	@$(BIN)/python -m tools.bench.plots

flame: bootstrap ## flame graphs of gateway and order-worker under load, in docs/pictures; needs the right to trace processes (root has it)
	@scripts/servers.sh bench
	@$(BIN)/python -m tools.bench.flame

conversations: bootstrap ## 100,000 random conversations, honest and hostile, with a gateway: some minutes
	@scripts/servers.sh test
	@$(BIN)/python -m tests.integration.conversations

figures: bootstrap ## sizes of modules and functions, and the gateway's rooms, with their bars
	@$(BIN)/python -m tools.house.figures

images: ## build the images of the services and of the flashsale command with docker, tagged TAG (dev)
	@scripts/images.sh

kind-up: ## a cluster of three nodes on this machine, with kind
	@scripts/kind-up.sh $(CLUSTER) $(KIND_CONFIG)

kind-load: images ## bring the images, those of the bundled servers too, into the cluster
	@scripts/kind-load.sh $(CLUSTER)

kind-test: e2e ## the e2e suite on the kind cluster

kind-down: ## remove the cluster
	@kind delete cluster --name $(CLUSTER)

chart: bootstrap ## what helm renders, without a cluster: rendering matrix, schema, restricted pods; needs helm
	@command -v helm >/dev/null || { echo "chart: helm is not on PATH" >&2; exit 1; }
	@$(BIN)/pytest -q tests/chart

e2e: bootstrap ## the e2e suite on the cluster of KUBECONFIG, which has the images: FLASHSALE_E2E_CONTEXT names it (kind-flashsale)
	@scripts/e2e.sh

lock: bootstrap ## resolve requirements.lock anew; releases younger than a week are left out
	@scripts/lock.sh

clean: ## end the stack and remove everything that was set up here
	@if [ -e .flashsale/state.json ]; then scripts/bootstrap.sh && $(BIN)/flashsale stack down; fi
	@rm -rf .flashsale .e2e .venv .bootstrap .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache uv.lock
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

bootstrap:
	@scripts/bootstrap.sh

servers: bootstrap
	@scripts/servers.sh
