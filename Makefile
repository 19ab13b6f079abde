# Every verb does its own set-up. `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
# More arguments for the verb's program: make test ARGS="-k losses", make demo ARGS="--seed 1".
ARGS ?=
# Read by tools/setup_env.sh. DETECTRON2: pypi (the default of a new environment) or git.
PYTHON ?=
DETECTRON2 ?=
export VENV PYTHON DETECTRON2

PY := $(VENV)/bin/python

.PHONY: help setup test lint format demo study gpu-table clean

help:  ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo 'variables: VENV=$(VENV)  PYTHON=<a Python 3.11+>  DETECTRON2=pypi|git  ARGS="..."'

setup:  ## build or update the virtual environment (nothing to do: about a second)
	@bash tools/setup_env.sh

test: setup  ## run the tests
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -m "not runslow" $(ARGS)

lint: setup  ## ruff, shell syntax, no big file
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	@for script in tools/*.sh .ci/run; do bash -n "$$script" || exit 1; done
	@git ls-files -z --cached --others --exclude-standard | xargs -0 ls -ld | \
		awk '$$5 > 500000 {print "over 500 kB, keep it out of git: " $$NF; bad = 1} END {exit bad}'

format: setup  ## apply ruff's fixes and formatting
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

demo: setup  ## data set, two stages, one table: plain against balanced
	$(PY) tools/run_study.py --preset demo --output output/demo $(ARGS)

study: setup  ## the README's table: 3 seeds, every row tuned alike (hours, resumes)
	$(PY) tools/run_study.py --preset study --output output/study $(ARGS)

gpu-table: setup  ## methods at full size on one large GPU (resumes); without one: ARGS=--tiny
	$(PY) tools/gpu_table.py $(ARGS)

clean:  ## remove caches and build products; .venv, datasets and output stay
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .coverage
	find lt_det tools tests configs -name __pycache__ -type d -prune -exec rm -rf {} +
