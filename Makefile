# Targets for people; `make` alone lists them. Everything lives in .venv and the image cache.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   := $(VENV)/.demo
FUZZ   := $(VENV)/.fuzz
# Of the long campaigns; `make fuzz SECONDS=3600`.
SECONDS := 600
CONVERSATIONS := 5000

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@scripts/make-venv.sh $(PYTHON) $(VENV)

$(DEMO): pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(STAMP): pyproject.toml $(DEMO)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

$(FUZZ): pyproject.toml $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@touch $@

demo: $(DEMO) ## two processes hand the built-in guest across and boot it in the emulator
	@$(BIN)/toolstack demo

packages: ## install the Debian packages that the tests run against
	@scripts/install-test-packages.sh

images: $(DEMO) packages ## fetch a Debian kernel and build the initrd of `toolstack demo --linux`
	@$(BIN)/python -m toolstack.images

check: $(STAMP) ## ruff, mypy and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: $(STAMP) packages images check ## everything: static checks and all tests, against the real parts
	@$(BIN)/pytest -q

explore: $(STAMP) packages images ## the property tests with new random examples, more of them
	@HYPOTHESIS_PROFILE=random $(BIN)/pytest -q tests/xenstore_sim tests/handoff tests/devicemodel \
		tests/toolstack/config tests/toolstack/test_load.py tests/fuzz/parsers

differential: $(STAMP) packages ## xenstored compared with Debian's real one, new random conversations for some minutes
	@HYPOTHESIS_PROFILE=random DIFFERENTIAL_CONVERSATIONS=$(CONVERSATIONS) $(BIN)/pytest -q tests/differential

explore-protocol: $(STAMP) ## both sides of the handoff through every state that can be reached
	@$(BIN)/python -m tests.protocol_explorer

fuzz: $(FUZZ) packages ## hostile bytes for xenstored, then for every parser, SECONDS of each; finds become tests
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS)
	@$(BIN)/python -m tests.fuzz.parsers --seconds $(SECONDS)

matrix: $(STAMP) packages images ## every image by every boot method, on each platform, by each carrier
	@$(BIN)/pytest -q --matrix tests/e2e/test_matrix.py tests/e2e/test_matrix_firmware.py

faults: $(STAMP) packages ## 2,000 faults, at every step of a boot, and what became of each
	@$(BIN)/python -m tests.faults --count 2000 --jobs 2

soak: $(STAMP) ## thousands of handoffs, an hour's load on xenstored, drawn into docs/soak*.svg; restarts under load
	@$(BIN)/python -m tests.soak --handoffs 2000 --plot docs/soak.svg
	@$(BIN)/python -m tests.soak.xenstore --plot docs/soak-xenstore.svg
	@$(BIN)/python -m tests.soak.restarts

xenbed: $(STAMP) packages ## build the bed that boots a real Xen in QEMU, from Debian packages; cached
	@$(BIN)/python -m tests.xen.bed

test-xen: xenbed ## the same core on a real Xen: boots the bed and runs the scenarios in its dom0
	@$(BIN)/pytest -q -m xen tests/xen

compiled: $(STAMP) ## a copy of xenstore-sim with its hot path compiled by mypyc, in build/compiled
	@scripts/compile-xenstore-sim.sh $(BIN)/python build/compiled

test-compiled: packages compiled ## the tests of xenstore-sim on the compiled copy
	@cp -r tests build/compiled
	@cd build/compiled && ../../$(BIN)/python -m pytest -q tests/xenstore_sim/store \
		tests/xenstore_sim/wire tests/xenstore_sim/ring tests/xenstore_sim/test_server.py \
		tests/xenstore_sim/test_outgoing.py \
		tests/xenstore_sim/test_event_loop.py tests/xenstore_sim/test_ring_connection.py \
		tests/xenstore_sim/test_live_update.py tests/xenstore_sim/test_failed_take_over.py \
		tests/xenstore_sim/compiled_live_update.py tests/xenstore_sim/migration \
		tests/fuzz tests/differential --deselect tests/xenstore_sim/store/test_shortcuts.py

bench-xen: xenbed ## time to user space on a real Xen, libxl's direct boot beside our handoff
	@$(BIN)/python -m benchmarks.xen_boot

bench-xenstore: $(STAMP) packages ## xenstored beside the real ones, every row as a ratio
	@$(BIN)/python -m benchmarks.xenstore
	@$(BIN)/python -m benchmarks.live_update

bench: $(STAMP) packages images ## the programs' start, time to user space beside QEMU's own loader, the handoff's cost
	@$(BIN)/python benchmarks/start_cost.py
	@$(BIN)/python benchmarks/boot_ratio.py
	@$(BIN)/python benchmarks/handoff_cost.py

clean: ## remove the environment and what the tools left
	rm -rf $(VENV) .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

.PHONY: help demo packages images check test explore explore-protocol differential fuzz matrix faults soak compiled test-compiled bench-xenstore bench xenbed test-xen bench-xen clean
