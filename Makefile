# Two commands do all the set-up: `make demo` runs the daemon, `make test` tests it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCE ?= synthetic
FRAMES ?=
PORT ?=
TESTS ?= tests
PARTS ?=
RELEASE ?= bookworm
ARCH ?= arm64
KEY ?=
SOAK_SECONDS ?= 3600
OUTAGE_SECONDS ?= 300
PHOTOS ?=
TRACE ?=
BASE ?=
DEVICE ?= Debian
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
RTX ?= tensorrt-rtx==1.7.1.116
GPU_SECONDS ?= 1800

.PHONY: demo test test-long check lint format types docs picture fuzz deb image test-image test-install lint-deb apt-repository add-on bench-control bench-pipeline bench-arm bench-arm-half bench-teach test-outage test-device test-device-arm64 test-jetson test-gpu clean

# SOURCE may hold a password: it is neither shown nor read by make and the shell. An early Ctrl-C
# meets a Python that is still starting, which would answer with a traceback: SIGTERM ends it quietly.
demo: export DEMO_SOURCE = $(value SOURCE)
demo: $(VENV)/.run
	@trap 'stopped=1; kill $$edged 2>/dev/null || exit 0' INT TERM; \
	  $(BIN)/edged demo --source "$$DEMO_SOURCE" $(if $(FRAMES),--frames $(FRAMES)) $(if $(PORT),--port $(PORT)) & \
	  edged=$$!; { wait $$edged; status=$$?; while kill -0 $$edged; do wait $$edged; done; } 2>/dev/null; \
	  [ -n "$$stopped" ] || exit $$status

# Four at once, because many wait; then, one after the other, those that measure time or count frames.
test: $(VENV)/.develop
ifeq ($(TESTS),tests)
	$(BIN)/python -m pytest -m 'not long and not alone' --numprocesses 4 --dist loadfile tests
	$(BIN)/python -m pytest -m alone tests
else
	$(BIN)/python -m pytest $(TESTS)
endif

# What takes minutes and seldom breaks: rollouts by Ansible, engines of all shipped networks, checks of a
# GPU, FP16 forms, the package's Python, the walk through the pages, the recipe in models/ and what Keras
# writes, which need PyTorch.
test-long: $(VENV)/.train
	$(BIN)/python -m pytest -m long --numprocesses auto --maxprocesses 4 --dist loadfile $(TESTS)

check: lint types test

lint: $(VENV)/.develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.develop
	$(BIN)/mypy

# docs/configuration.md and docs/metrics.md from the schema and the metrics.
docs: $(VENV)/.develop
	$(BIN)/python docs/generate.py

# The README's picture, from a run of the daemon beside busy programs; two minutes.
picture: $(VENV)/.develop
	$(BIN)/python tests/benchmarks/promise.py

# More than 100,000 inputs for what reads pictures, configurations, requests and the mailbox, thousands
# of damaged clips and model files, 500 reloads, 1,000 clients that hang; some minutes.
fuzz: $(VENV)/.develop
	EDGED_FUZZ=26000 $(BIN)/python -m pytest -q tests/fuzz \
	  tests/daemon/test_pressure.py tests/daemon/test_changes.py::test_thirty_reloads_leave_nothing_behind

# Five minutes in which the webhook fails, the broker is down and the disk full; the disk needs root.
test-outage: $(VENV)/.develop
	EDGED_OUTAGE_SECONDS=$(OUTAGE_SECONDS) $(BIN)/python -m pytest -q tests/sinks/test_outage_live.py

# The Debian package of one release (bookworm, trixie, jammy) and architecture (arm64, amd64).
deb: $(VENV)/.package
	$(BIN)/python deploy/package/build.py $(RELEASE) $(ARCH)

# The container image edged:VERSION-ARCH, with Podman; the other architecture needs qemu-user-static. BASE: in
# place of debian:bookworm-slim. Without the cache, as Podman 4 takes a layer from it although the package is new
# (github.com/podman-container-tools/buildah/issues/5400).
image: $(VENV)/.package
	$(BIN)/python deploy/package/build.py bookworm $(ARCH)
	podman build --no-cache --format docker --arch $(ARCH) --build-arg VERSION=$(VERSION) \
	  $(if $(BASE),--build-arg BASE=$(BASE)) --tag edged:$(VERSION)-$(ARCH) --file deploy/container/Containerfile dist

# What is claimed of that image, with a base made by mmdebstrap: tests/container; as root, without a registry.
test-image: $(VENV)/.package
	$(BIN)/python -m tests.container $(ARCH)

# The lines of docs/install.md in a fresh system: DEVICE=Debian, 'Raspberry Pi OS', 'Ubuntu on Jetson'; as root.
test-install:
	tests/device/install.sh '$(DEVICE)'

# Debian's policy; deploy/package/lintian-overrides has the exceptions with their reasons.
lint-deb:
	lintian --fail-on error --display-info --tag-display-limit 0 dist/edged_*.deb

# An apt repository of dist/*.deb in dist/apt, signed with the secret key KEY of GnuPG.
apt-repository: $(VENV)/.package
	$(BIN)/python deploy/package/repository.py '$(KEY)'

# The add-on for Home Assistant, with the package for ARCH, in dist/home-assistant: deploy/home-assistant/README.md.
add-on:
	$(MAKE) deb RELEASE=bookworm
	mkdir -p dist/home-assistant
	cp -r deploy/home-assistant/. dist/home-assistant
	cp CHANGELOG.md dist/edged_*+deb12_$(ARCH).deb dist/home-assistant/edged

# The controller against its alternatives: tests/benchmarks/control.md and control.png; or on TRACE alone.
bench-control: $(VENV)/.develop
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.control $(if $(TRACE),--trace "$(TRACE)")

# The whole way of a frame against others: tests/benchmarks/pipeline.md and pipeline.png.
bench-pipeline: $(VENV)/.develop
	$(BIN)/python tests/benchmarks/pipeline.py

# Instructions on a Raspberry Pi's processor, counted: tests/benchmarks/arm.md and arm.png; as root.
bench-arm: $(VENV)/.develop
	$(BIN)/python -m tests.benchmarks.arm

# What float16 costs in accuracy there: tests/benchmarks/arm-half.md; hours, as root, with EDGED_DATA.
bench-arm-half: $(VENV)/.develop
	$(BIN)/python -m tests.benchmarks.arm.half

# How good taught heads are: tests/benchmarks/teach.md and teach.png; half an hour, with EDGED_DATA.
bench-teach: $(VENV)/.develop
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.teach

# A virtual device with cameras that fail, and one with a Raspberry Pi's processor; as root.
test-device: $(VENV)/.develop
	$(BIN)/python -m tests.device amd64 $(PARTS)

test-device-arm64: $(VENV)/.develop
	$(BIN)/python -m tests.device arm64 $(PARTS)

# On a Jetson: tests/jetson/README.md. JetPack's TensorRT is the system's Python's.
test-jetson:
	/usr/bin/python3 -m venv --system-site-packages .venv-jetson
	.venv-jetson/bin/python -m pip install --quiet --editable '.[jetson]'
	.venv-jetson/bin/python -m tests.jetson --soak-seconds $(SOAK_SECONDS) $(if $(PHOTOS),--photos "$(PHOTOS)")

# With TensorRT-RTX, on a GeForce or RTX GPU: tests/jetson/README.md. Status 77 says: skipped, no GPU.
test-gpu:
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/python -m pip install --quiet --editable '.[jetson]' '$(RTX)'
	timeout --kill-after=10 $(GPU_SECONDS) .venv-gpu/bin/python -m tests.jetson --report gpu-report.md \
	  --soak-seconds 120 --every 8 $(if $(PHOTOS),--photos "$(PHOTOS)")

$(VENV)/bin/python:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make a virtual environment; install it with: sudo apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.develop: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@ $(VENV)/.run

$(VENV)/.train: $(VENV)/.develop
	$(BIN)/python -m pip install --quiet torch==2.13.0 keras==3.15.1
	@touch $@

$(VENV)/.package: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --group package
	@touch $@

clean:
	rm -rf $(VENV) .venv-jetson .venv-gpu build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
