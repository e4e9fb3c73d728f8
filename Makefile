# SPDX-License-Identifier: MIT
# The verbs that people type. Meson does the building; see docs/ for what there is to run.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

BUILD ?= build
PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local
DESTDIR ?=
# Instrumented programs are slower: limits in time are multiplied by this.
PATIENCE ?= 1
FUZZ_SECONDS ?= 60

.PHONY: help run build test check asan fuzz bench lint docs format clean install deb packages-run packages-test

help:
	@echo "make run       install what is missing, build, start a node, send samples through it; Ctrl-C drains"
	@echo "make test      build and run every test"
	@echo "make check     only the fast unit tests"
	@echo "make asan      every test with AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make fuzz      FUZZ_SECONDS ($(FUZZ_SECONDS)) of fuzzing for each of our own parsers"
	@echo "make bench     measure, and print a table"
	@echo "make lint      lengths, banned functions, dependencies, documentation, and a clean build with clang"
	@echo "make docs      docs/configuration.md anew from the table of settings"
	@echo "make format    clang-format over all C"
	@echo "make install   to PREFIX ($(PREFIX)) below DESTDIR"
	@echo "make deb       a Debian package, here"
	@echo "make clean     remove the build directories"

packages-run:
	@deploy/install-packages.sh build runtime

packages-test:
	@deploy/install-packages.sh build runtime test

$(BUILD)/build.ninja:
	@meson setup $(BUILD) >$(BUILD).log 2>&1 || { cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

build: $(BUILD)/build.ninja
	@ninja -C $(BUILD) -n | grep -q 'no work to do' || echo 'Building; the first time takes a minute or two.'
	@ninja -C $(BUILD) --quiet | { grep -v 'no work to do' || true; }

run: packages-run
	@$(MAKE) --no-print-directory build
	@exec tools/run.sh $(BUILD)

test: packages-test
	@$(MAKE) --no-print-directory build
	@FILEMILL_TEST_PATIENCE=$(PATIENCE) $(PYTHON) tools/test.py --build $(BUILD)

check: packages-test
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tools/test.py --build $(BUILD) --fast

asan: packages-test
	@[ -e build-asan/build.ninja ] || \
	    meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debugoptimized >/dev/null
	@ninja -C build-asan --quiet
	@FILEMILL_TEST_PATIENCE=$(if $(filter 1,$(PATIENCE)),4,$(PATIENCE)) $(PYTHON) tools/test.py --build build-asan

fuzz: packages-test
	@tests/fuzz/run.sh $(FUZZ_SECONDS) build-fuzz

bench: packages-test
	@$(MAKE) --no-print-directory build
	@directory=$$(tools/reachable.sh $(BUILD)) && FILEMILL_BUILD=$$directory $(PYTHON) bench/run.py

lint: packages-test $(BUILD)/build.ninja
	@tools/lint/all.sh $(BUILD)

docs: build
	@$(BUILD)/filemill config --markdown >docs/configuration.md

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: build
	@deploy/install.sh $(BUILD) $(PREFIX) $(DESTDIR)

deb: packages-run
	@$(MAKE) --no-print-directory build
	@deploy/make-deb.sh $(BUILD) .

clean:
	@rm -rf build build-asan build-clang build-fuzz
