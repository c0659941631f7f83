# Two commands matter: `make book` and `make test`. Both set the environment up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROFILE ?= quick
EXTRAS := book,test
# Compiled modules are kept, as each page and each worker starts by importing torch.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup book browser print test test-fast lint pairs bench pins clean
.DEFAULT_GOAL := help

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(VENV)/.ok  ## create .venv with everything in it (nothing to do the second time)

# TORCH_BACKEND chooses the build of torch: cpu, cu130 and so on (see uv pip install --help). Without
# it, Linux without an NVIDIA driver gets the small CPU build where PyTorch's own index answers, which
# uv finds out within seconds. All others get what the package index has, on Linux a CUDA build.
TORCH_BACKEND ?= $(UV_TORCH_BACKEND)
INSTALL := $(BIN)/uv pip install --python $(BIN)/python -c constraints.txt
NO_DRIVER := test "$$(uname)" = Linux && ! nvidia-smi -L && ! test -e /proc/driver/nvidia/version
ANSWERS := UV_HTTP_TIMEOUT=5 UV_HTTP_RETRIES=0 $(INSTALL) --dry-run --no-deps --reinstall --refresh --torch-backend cpu torch

$(VENV)/.ok: pyproject.toml constraints.txt
	@echo "setup: installing into $(VENV), a few minutes the first time"
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 setup")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "python's venv module is missing: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install -q uv==0.13.8 || echo "no uv: using pip, slower"
	@if test -n "$(TORCH_BACKEND)"; then echo $(TORCH_BACKEND) > $(VENV)/backend; \
	elif { $(NO_DRIVER) && $(ANSWERS); } > $(VENV)/backend 2>&1; then echo cpu > $(VENV)/backend; \
	else : > $(VENV)/backend; fi
	@# Sizes of all packages together, measured; what is already there is not downloaded again.
	@case "$$(uname) $$(cat $(VENV)/backend)" in Darwin*|*cpu) set 0.4 1.5;; *) set 2.9 5.5;; esac; \
	free=$$(df -Pk $(VENV) | awk 'NR == 2 { printf "%.1f", $$4 * 1024 / 1e9 }'); \
	echo "setup: downloads up to $$1 GB and takes $$2 GB of disk; $$free GB are free"; \
	if test -n "$(TORCH_BACKEND)$(wildcard $(VENV)/lib/python*/site-packages/torch)" \
	    || awk "BEGIN { exit $$free < $$2 }"; then exit; fi; \
	echo "setup: $$2 GB of disk must be free; TORCH_BACKEND=cpu takes 1.5 GB, a choice of yours is not checked"; exit 1
	if test -x $(BIN)/uv; then \
	    backend=$$(cat $(VENV)/backend); \
	    $(INSTALL) $${backend:+--torch-backend $$backend} -e '.[$(EXTRAS)]'; \
	else \
	    sed 's/^torch==/torch===/' constraints.txt > $(VENV)/pip.txt; \
	    $(BIN)/python -m pip install -c $(VENV)/pip.txt -e '.[$(EXTRAS)]'; \
	fi
	@touch $@

book: setup  ## execute every notebook (PROFILE=quick) and build the book
	$(BIN)/python -m robustbook.notebooks run --profile $(PROFILE)
	$(BIN)/python -m robustbook.book

browser: setup  ## open every page of the built book in Chromium, after make book
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser tests/browser

print: setup  ## one PDF for each chapter of the built book, in _build/print (needs Chromium)
	$(BIN)/python -m robustbook.book.printing

# loadfile keeps the cells of one notebook in one worker. One thread each, as the workers are many.
test: setup  ## the whole suite, with nbval over the notebooks; the browser's tests are in make browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "not browser" --nbval --nbval-current-env tests notebooks

test-fast: setup  ## the suite without slow tests and pages
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not notebook and not browser" tests

lint: setup  ## ruff, mypy and the state of the notebook pairs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m robustbook.notebooks check

pairs: setup  ## execute the notebooks at their defaults, write .ipynb and .md (FROM=md or FROM=ipynb if they differ)
	$(BIN)/python -m robustbook.notebooks pairs $(if $(FROM),--from $(FROM))

bench: setup  ## time the attacks beside other libraries (in an environment of their own)
	$(BIN)/robustbook bench

pins: setup  ## bring constraints.txt up to pyproject.toml; delete a line first to let it move
	{ sed -n '/^#/p' constraints.txt; \
	  $(BIN)/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate \
	      --all-extras -c constraints.txt pyproject.toml \
	  | grep -vE "^(nvidia|cuda|triton)|== 'pypy'"; } > constraints.part
	mv constraints.part constraints.txt

clean:  ## remove what was built; results (.robustbook) and .venv stay
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache
