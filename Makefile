# make demo   set everything up and compare an Initiative revival with the baseline
# make test   set everything up and run every check
# make fuzz   the loaders of files that people write against inputs made to break them, SECONDS=60 each
# make freeze the numbers of the reference run, after a change of the model that is meant to change them
# make slow   the two that take minutes: simulation-based calibration, and 5,000 members in bounded memory
# make docs   build the documentation as a site (site/index.html), strictly: a warning or a broken link is an error
# make gallery   draw every figure anew for docs/gallery.md (some minutes)
# make reliability   kills, interrupts, full disks and flipped bits, hundreds of times (some fifteen minutes; docs/reliability.md)
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SECONDS ?= 60
# Python compiles what is imported when it is: most of what these packages hold never is.
QUIETLY := --quiet --disable-pip-version-check --no-compile

.PHONY: demo test lint freeze slow docs gallery reliability fuzz clean

demo: $(VENV)/.ready
	$(BIN)/bdsim compare baseline initiative-revival
	@echo "Figures: see the folder named above; tables of each run: results/baseline-*, results/initiative-revival-*"

test: $(VENV)/.ready-to-test lint
	$(BIN)/python -m pytest -n auto --dist worksteal -q

lint: $(VENV)/.ready-to-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

freeze: $(VENV)/.ready-to-test
	$(BIN)/python tests/guarantees/reference.py

slow: $(VENV)/.ready-to-test
	$(BIN)/python -m pytest -n auto --dist worksteal -q -m slow

reliability: $(VENV)/.ready-to-test
	$(BIN)/python benchmarks/reliability.py --json benchmarks/reliability.json --page docs/reliability.md

docs: $(VENV)/.ready-for-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet  # the notice is about the next generator, not about our pages
	@echo "The site: site/index.html"

gallery: $(VENV)/.ready
	$(BIN)/python docs/site/gallery.py

fuzz: $(VENV)/.ready-to-test
	$(BIN)/python -c 'import atheris' 2>/dev/null \
	  || $(BIN)/python -m pip install $(QUIETLY) -c constraints.txt -e '.[fuzz]'
	@failed=0; for loader in scenario draft parameters targets sources evidence fit manifest; do \
	  $(BIN)/python tests/fuzz/fuzz_loaders.py $$loader --seconds $(SECONDS) || failed=1; \
	done; exit $$failed

clean:
	rm -rf $(VENV) build dist

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "bdsim needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install $(QUIETLY) -c constraints.txt -e .
	@touch $@

$(VENV)/.ready-to-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install $(QUIETLY) -c constraints.txt -e '.[test,iamc,lint]'
	@touch $@ $(VENV)/.ready

$(VENV)/.ready-for-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install $(QUIETLY) -c constraints.txt -e '.[docs]'
	@touch $@ $(VENV)/.ready
