# The whole developer interface; each target calls one program. `make help` lists them.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
export PYTHON

.PHONY: help setup demo demo-down test soak lint check generate verify bench image push no-registry lock
.DEFAULT_GOAL := help

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv with the locked packages and this project, editable
	hack/setup

.venv/.complete: pyproject.toml requirements/dev.lock
	hack/setup

demo: .venv/.complete ## Show the whole story on a real cluster (KUBECONFIG and REGISTRY: on yours)
	$(BIN)/python -m hack.demo up

demo-down: .venv/.complete ## Remove all that the demo made, the cluster too if the demo made it
	$(BIN)/python -m hack.demo down

test: .venv/.complete ## Run all tests; TIER=lint, unit, integration, compiled, soak or e2e runs one
	$(BIN)/python -m hack.suite $(TIER)

soak: .venv/.complete ## Hurt two pods under load for an hour, or TIDEGATE_SOAK_SECONDS
	TIDEGATE_SOAK_SECONDS=$${TIDEGATE_SOAK_SECONDS:-3600} $(BIN)/python -m hack.suite soak

check: lint ## The gate of every commit: the code as it stands, and the unit tests
	$(BIN)/pytest -q

lint: .venv/.complete ## Style, types, import contracts, spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

generate: .venv/.complete ## Write the CRDs and all else that is made from the types
	$(BIN)/python -m tidegate.crdgen

verify: generate check ## What a reviewer runs: generate, check, and nothing may have changed
	git diff --exit-code

bench: .venv/.complete ## Measure; one folder a question in benchmarks/
	$(BIN)/python -m benchmarks

image: ## Build the images; they are loaded into the local cluster if it is up
	hack/cluster/cluster image build

push: $(if $(REGISTRY),image,no-registry) ## Push the images to REGISTRY (INSECURE=1 allows HTTP)
	hack/cluster/cluster image push $(if $(INSECURE),--insecure) "$(REGISTRY)"

no-registry:
	@echo "error: where to? make push REGISTRY=registry.example.com/team" >&2; exit 1

lock: .venv/.complete ## Resolve requirements/*.lock (hack/lock --upgrade for newer versions)
	hack/lock
