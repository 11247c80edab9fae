# Two commands: `make lab` opens the course, `make test` proves it.
# Both make the environment first (once, in .venv).
#   make lab PYTHON=python3.12        another Python
#   make lab PIP_ARGS="…"             further options for pip
#   make lab LAB_ARGS="--port 9999"   further options for JupyterLab

PYTHON ?= python3
PIP_ARGS ?=
LAB_ARGS ?=

# The same digits on every machine: one thread for each linear-algebra call.
export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1
export MKL_NUM_THREADS = 1

# Nothing is fetched while the course runs: no news, no updates, no extension store.
QUIET = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}

PROBLEM = $(shell $(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or \
	sys.stdout.write("the course needs Python 3.11 or later, and $(PYTHON) is %d.%d" % sys.version_info[:2])' \
	2>/dev/null || echo "there is no Python at $(PYTHON)")

.PHONY: lab test execute measure

lab: .venv/ready
	.venv/bin/python -m jupyter lab --ip 127.0.0.1 --allow-root --ServerApp.root_dir=. \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb --LabApp.extension_manager=readonly $(LAB_ARGS)

test: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/python -m pytest

# make execute NB=notebooks/06_class_imbalance.ipynb: run a notebook top to bottom, store its outputs
execute: .venv/ready
	MLSYS_PROGRESS=$$(mktemp -u) .venv/bin/python -m jupyter nbconvert --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False $(NB)

# make measure: each chapter's time and memory, and the tests', written into the README
measure: .venv/ready
	.venv/bin/python tests/measure.py

.venv/ready: requirements.lock pyproject.toml
	$(if $(PROBLEM),$(error $(PROBLEM); name another with: make $(MAKECMDGOALS) PYTHON=python3.12))
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install $(PIP_ARGS) -r requirements.lock
	.venv/bin/python -m pip install --no-deps --no-build-isolation --editable .
	mkdir -p .venv/share/jupyter/lab/settings
	echo '$(QUIET)' > .venv/share/jupyter/lab/settings/overrides.json
	touch .venv/ready
