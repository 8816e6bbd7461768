# make demo: fine-tune the sample model.  make test: prove that it works.
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
UV     := $(or $(shell command -v uv 2>/dev/null),$(BIN)/uv)

# Without byte code each start compiles torch and transformers anew (17 processor seconds, not 6).
export PYTHONDONTWRITEBYTECODE :=
export HF_HUB_OFFLINE ?= 1
# A folder of wheels that pip is set up to use serves uv as well.
export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(shell pip config get global.find-links 2>/dev/null))
# `auto` takes the torch build that fits the driver: CUDA on a GPU machine, CPU elsewhere.
TORCH_BACKEND ?= $(if $(strip $(UV_FIND_LINKS)),,auto)
INSTALL = $(UV) pip install -q --python $(BIN)/python -c constraints.txt -e '.[train,hosted,gguf]' --group dev

# The other trainers, for tests/benchmarks/trainers: an environment each, with torch for the processor.
PEERS ?= .venv-peers

.PHONY: demo test test-slow kills walk pictures tutorial check format lock peers clean

demo: $(VENV)/.ready
	$(BIN)/ftui demo

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m "slow or hypothesis" --hypothesis-profile=slow

kills: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/python tests/proofs/kill_loop.py --count 100

walk: $(VENV)/.ready
	$(BIN)/python tests/e2e/walk.py --size 80x24
	$(BIN)/python tests/e2e/walk.py --size 160x48
	$(BIN)/python tests/e2e/recipe_walk.py --size 80x24
	$(BIN)/python tests/e2e/decide_walk.py --size 80x24
	$(BIN)/python tests/e2e/journey_walk.py --size 80x24

pictures: $(VENV)/.ready
	$(BIN)/python docs/make/pictures.py

tutorial: $(VENV)/.ready
	$(BIN)/python docs/make/tutorial.py

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python tests/house_rules.py

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.ready
	UV_FIND_LINKS= $(UV) pip compile -q --universal --python-version 3.11 --extra train --extra hosted --extra gguf --group dev \
	  --no-annotate --no-header -c torch.pin pyproject.toml -o constraints.txt

peers: $(PEERS)/trl/.ready $(PEERS)/llamafactory/.ready $(PEERS)/litgpt/.ready

$(PEERS)/%/.ready: tests/benchmarks/trainers/%.txt | $(VENV)/.ready
	$(UV) venv -q --clear --python $(BIN)/python $(PEERS)/$*
	$(UV) pip install -q --python $(PEERS)/$*/bin/python -r $< $(if $(strip $(UV_FIND_LINKS)),,--torch-backend=cpu) \
	  $(addprefix --overrides ,$(wildcard tests/benchmarks/trainers/$*-overrides.txt))
	@touch $@

$(BIN)/python:
	@if $(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then $(PYTHON) -m venv $(VENV); \
	else command -v uv >/dev/null || { echo 'ftui needs Python 3.11 or newer with venv, or uv'; exit 1; }; \
	  uv venv -q --python 3.12 $(VENV); fi

$(VENV)/.ready: $(BIN)/python pyproject.toml constraints.txt
	@test -x "$(UV)" || $(BIN)/pip install -q --disable-pip-version-check uv
	$(INSTALL) $(addprefix --torch-backend=,$(TORCH_BACKEND)) || $(INSTALL)
	@touch $@

clean:
	rm -rf $(VENV)
