# Everything a fresh machine needs is Python >= 3.11, make and git; each target sets itself up.
#
#   make demo     back up real files, restore them, prove them identical (below ./demo)
#   make test     the laws, each real server, samples of the campaigns, within 4 minutes on two
#                 cores; more flags in ARGS, e.g. make test ARGS='tests/vault -k header'
#   make test-all the other tests, which are marked `thorough`
#   make soak     every campaign of faults, races and generated inputs, in full; ARGS=--soak-seed=7
#   make lint     ruff, mypy, import-linter, and no address of this machine in a committed file
#   make bench    against restic, borg and tar | zstd | openssl; ARGS=--quick for a small tree
#   make pictures redraw the pictures of docs/how-it-works.md from the source
#   make lock     choose newer dependencies and pin them in requirements.lock, and those that
#                 the program itself needs in requirements-run.lock

PYTHON ?= python3
ARGS   ?=
unexport PYTHONDONTWRITEBYTECODE # the tests start packrat hundreds of times: compile it once
UPGRADE ?= --upgrade
BIN    := .venv/bin
READY  := .venv/ready

.PHONY: demo test test-all soak lint bench lock clean

demo: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh

# Five at once on two cores: much of what the tests do is to wait for real servers.
test: $(READY)
	$(BIN)/pytest -n 5 --dist worksteal -m "not thorough" $(ARGS)

test-all: $(READY)
	$(BIN)/pytest -n 5 --dist worksteal -m thorough $(ARGS)

soak: $(READY)
	$(BIN)/pytest -n 2 --soak tests/soak tests/laws/test_retention.py $(ARGS)
	$(BIN)/pytest -n 2 --soak -m hypothesis $(ARGS)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy -p benchmarks
	$(BIN)/mypy examples/same_tree.py docs/pictures.py
	$(BIN)/mypy examples/plugin/packrat_tripwire.py
	$(BIN)/lint-imports
	bash .ci/no_machine_paths.sh

bench: $(READY)
	$(BIN)/python -m benchmarks.run $(ARGS)

.PHONY: pictures
pictures: $(READY)
	$(BIN)/python docs/pictures.py

# The build backend is locked as well, so that installing packrat itself needs no network.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Packrat needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@echo 'Installing the locked dependencies into .venv ...'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

lock:
	$(PYTHON) -m venv build/uv
	build/uv/bin/pip install --quiet --disable-pip-version-check --upgrade uv
	printf '%s\n' hatchling editables | build/uv/bin/uv pip compile --quiet --no-config $(UPGRADE) \
	  --universal --generate-hashes --custom-compile-command 'make lock' \
	  --extra dev pyproject.toml - -o requirements.lock
	build/uv/bin/uv pip compile --quiet --no-config --universal --generate-hashes \
	  --custom-compile-command 'make lock' -c requirements.lock pyproject.toml \
	  -o requirements-run.lock

clean:
	rm -rf .venv build demo benchmarks/work
