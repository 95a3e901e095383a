# Every target sets up first; when nothing has changed that takes no time.
BIN := .venv/bin

.PHONY: setup demo test check contract bench docs clean

setup:
	@scripts/setup.sh

# The main job on real packets, each step with its time and its evidence.
demo: setup
	@$(BIN)/kaon demo $(ARGS)

# Every test. Those that need a network make namespaces of their own; without root, in a user namespace.
test: setup
	@scripts/test-keystone.sh
	@KEYSTONE_PYTHON=$(CURDIR)/.venv-keystone/bin/python $(BIN)/python scripts/rootless.py $(BIN)/python -m pytest -q $(ARGS)

# What is quick to know before a commit.
check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python scripts/rootless.py $(BIN)/python -m pytest -q -m 'not slow' $(ARGS)

# Neutron's own API tests against Kaon; ARGS takes a regular expression for their names.
contract: setup
	@$(BIN)/python scripts/contract.py $(ARGS)

# The table of speeds, with the machine's name and load.
bench: setup
	@$(BIN)/python scripts/rootless.py $(BIN)/python -m bench $(ARGS)

# The pages that repeat what the code declares: commands and settings.
docs: setup
	@$(BIN)/python scripts/docs.py

clean:
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
