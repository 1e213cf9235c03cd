# Everything a person or CI runs. Each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A sweep is a dozen processes: without bytecode each would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-long test-cluster check bench bench-search docs clean

setup: $(STAMP)

$(STAMP): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[all,dev]"
	@# On all cores; pip does it on one. Some packages hold templates that are no Python.
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib > $(VENV)/compileall.log || true
	touch $@

# Simulate 5 x 60 frames, sweep 60 pipelines of one featurizer each with BOHB, show the leaderboard; export the
# best, sort 100 new frames.
demo: setup
	$(BIN)/sweeper simulate diffraction demo/frames --per-class 60 --size 256 --seed 1
	$(BIN)/sweeper run demo/frames --space quick --set combine.most=1 --search bohb --trials 60 --seed 1 --out demo/run
	$(BIN)/sweeper export demo/run demo/best.sweeper --error-rate 0.02
	$(BIN)/sweeper simulate diffraction demo/new --per-class 20 --size 256 --seed 2
	$(BIN)/sweeper sort demo/best.sweeper demo/new --csv demo/sorted.csv --link-to demo/by-class

# All that CI runs: formatting, lint, types, tests.
# Two tests at a time.
test: check
	$(BIN)/python -m pytest -m "not long" -n 2 --dist loadfile --no-loadscope-reorder

# More faults, injected into whole sweeps, more whole sweeps, and tens of thousands of damaged files: half an hour.
test-long: setup
	$(BIN)/python -m pytest -m long

# A cluster of test hosts on this machine: needs root and Debian's openssh-server, iproute2 and rsync.
test-cluster: setup
	SWEEPER_CLUSTER=1 $(BIN)/python -m pytest tests/cluster

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# What each script measures in its smallest form, beside what RESULTS.md records of it.
bench: setup
	rm -rf .bench && mkdir .bench
	for script in kernels overhead sweep training start sorting scaling; do \
		$(BIN)/python benchmarks/$$script.py --quick --json .bench/$$script.json || exit 1; \
	done
	$(BIN)/python benchmarks/compare.py .bench

# Searches replayed on tables of complete grids; `benchmarks/search/make_tables.py` makes the tables anew.
bench-search: setup
	$(BIN)/python -m pip install -q optuna
	$(BIN)/python benchmarks/search/compare.py --record docs/search.md

# Pages that are written from the code, and the notebook's output.
docs: setup
	$(BIN)/python -m sweeper.commands.settings_page > docs/settings.md
	$(BIN)/python -m sweeper.commands.formats_page > docs/formats.md
	rm -rf docs/first_sweep
	$(BIN)/jupyter execute --inplace --NotebookClient.record_timing=False docs/first_sweep.ipynb
	rm -rf docs/first_sweep

clean:
	rm -rf demo $(VENV)
