# The one door: `make demo` shows the whole journey, `make test` proves it. Needs Python 3.10 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
TOOLS := "platformio>=6.1" "idf-component-manager>=2" "west>=1.2"

.PHONY: help install demo test test-long test-torch check bench docs facts golden bundles emulate tools dist clean

help:
	@echo "make demo     build the digit spotter for three targets, verify each, run it"
	@echo "make test     the tests"
	@echo "make test-long  the tests that take minutes (marked long)"
	@echo "make test-torch  the tests that need PyTorch (a build for the CPU, in .venv-torch)"
	@echo "make check    ruff, mypy and the import contracts"
	@echo "make install  a complete .venv here (.venv/bin/qedge)"
	@echo "make bench    the benchmarks"
	@echo "make docs     write the generated pages of docs/ again, and the site to build/site"
	@echo "make facts    ask the registry whether the wheels that docs/devices.md names are there"
	@echo "make golden   measure the golden figures of the C export again (needs the MLPerf Tiny models)"
	@echo "make bundles  build the models of the sample apps again (the camera's needs CIFAR-10's images)"
	@echo "make emulate  run the bundles on an emulated Raspberry Pi (Debian, as root)"
	@echo "make tools    PlatformIO, ESP-IDF's component manager and west, in an environment of their own, for long tests"
	@echo "make dist     wheel and source archive in dist/"

install: $(STAMP)

# uv leaves compiling to the first import, which where PYTHONDONTWRITEBYTECODE is set (many containers) is every import.
WARM := from qedge.cli._app import build_app; build_app(); import tensorflow as tf; tf.keras, tf.lite

# uv installs the same packages several times faster; plain pip does when uv cannot.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 10) else \
	"error: found Python %d.%d, expected 3.10 or newer\nhint: make install PYTHON=python3.12" % v)'
	@$(PYTHON) -m venv .venv || { echo "hint: apt-get install python3-venv" >&2; rm -rf .venv; exit 1; }
	@echo "installing into .venv (TensorFlow and a C compiler are in it: about 1.2 GB to fetch)"
	@{ $(BIN)/python -m pip install --quiet --disable-pip-version-check uv \
	  && $(BIN)/uv pip install --quiet --python $(BIN)/python --editable ".[dev]"; } \
	  || $(BIN)/python -m pip install --disable-pip-version-check --editable ".[dev]"
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c "$(WARM)" >/dev/null 2>&1 || true
	@touch $(STAMP)

demo: install
	@$(BIN)/python examples/digits/demo.py

test: install
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not long"

test-long: install
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m long

test-torch: install
	@$(BIN)/python tests/frontends/run_torch.py

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: install
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable ".[bench]" \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	@failed=0; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; status=$$?; \
	  if [ $$status = 2 ]; then echo "$$script wants to be told more: see its --help"; \
	  elif [ $$status != 0 ]; then failed=1; fi; done; exit $$failed

docs: install
	@for script in docs/make_*.py; do $(BIN)/python $$script || exit 1; done
	@$(BIN)/python docs/site/build.py

facts: install
	@$(BIN)/python docs/ask_facts.py

golden: install
	@$(BIN)/python benchmarks/mcu.py --write

bundles: install
	@$(BIN)/python examples/make_bundles.py

emulate: install
	@$(BIN)/python tests/emulated/run.py
	@$(BIN)/python tests/emulated/engine_c.py

# Their dependencies are pinned against each other's and ours.
tools: install
	@$(PYTHON) -m venv .venv/tools
	@$(BIN)/uv pip install --quiet --python .venv/tools/bin/python $(TOOLS) \
	  || .venv/tools/bin/python -m pip install --quiet --disable-pip-version-check $(TOOLS)

dist: install
	@$(BIN)/python -m build --outdir dist .

clean:
	rm -rf .venv .venv-torch build dist
