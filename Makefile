# SPDX-License-Identifier: MIT OR Apache-2.0
# `make help` explains the commands: the text after ## beside each target. The work is done by the scripts in tools/.

SHELL := /bin/bash
.DEFAULT_GOAL := build

# Another nginx than Debian's: its source and build folders; one of the two is enough.
ifneq ($(NGINX_SOURCE_DIR)$(NGINX_BUILD_DIR),)
override NGINX_BUILD_DIR := $(abspath $(or $(NGINX_BUILD_DIR),$(NGINX_SOURCE_DIR)/objs))
override NGINX_SOURCE_DIR := $(abspath $(or $(NGINX_SOURCE_DIR),$(NGINX_BUILD_DIR)/..))
export NGINX_BUILD_DIR NGINX_SOURCE_DIR
ifneq ($(wildcard $(NGINX_BUILD_DIR)/nginx),)
export GANGWAY_NGINX ?= $(NGINX_BUILD_DIR)/nginx
endif
endif

MODULES := gangway-nginx gangway-apache gangway-apache-proxy gangway-python gangway-python-runtime gangway-host gangway-command

.PHONY: help setup build debug demo test test-setup nginx-1.28 asan valgrind miri check fuzz bench bench-setup modules deb test-packages test-source reproducible images test-images release clean

help: ## this text
	@echo "make [COMMAND] [VARIABLE=value]: each command runs what it needs first."
	@sed -n 's/^\([a-z0-9.-]*\):.*## /\1\t/p' Makefile | while IFS=$$'\t' read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done
	@echo "NGINX_SOURCE_DIR and NGINX_BUILD_DIR in the environment choose another nginx than Debian's."

setup: ## install missing Debian packages (as root; starts no service), prepare nginx's headers
	@tools/packages.sh setup
	@tools/nginx-headers.sh

build: setup ## the finished modules, gangway-host and gangway in dist/ (this is what plain `make` does)
	@tools/modules.sh dist $(MODULES) -- --release

debug: setup ## the same without optimization, in dist/debug/
	@tools/modules.sh dist/debug $(MODULES)

demo: build ## a Flask application inside Debian's own server, until Ctrl-C: SERVER=nginx|apache PORT=8080
	@exec tools/demo.sh "$(or $(SERVER),nginx)" "$(or $(PORT),8080)"

test: test-setup build $(if $(filter nginx apache%,$(SERVER)),,nginx-1.28) ## unit tests, then the behaviour suite: SERVER=nginx|nginx128|apache ARGS='-k name'
	@SERVER="$(SERVER)" tools/test.sh $(ARGS)

test-setup: setup
	@tools/packages.sh test
	@tools/venv.sh build/venv-test tests/requirements.txt

nginx-1.28: setup ## build nginx 1.28 in build/nginx-1.28/, its module in dist/nginx-1.28/
	@tools/packages.sh test
	@tools/nginx-1.28.sh nginx-1.28
	@NGINX_SOURCE_DIR=$(CURDIR)/build/nginx-1.28 NGINX_BUILD_DIR=$(CURDIR)/build/nginx-1.28/objs \
		tools/modules.sh dist/nginx-1.28 gangway-nginx -- --release --target-dir "$(or $(CARGO_TARGET_DIR),target)/nginx-1.28"

asan: test-setup ## the behaviour suite with AddressSanitizer: SERVER=nginx128|apache (both), ARGS='-n 2'
	@$(if $(SERVER),,tools/asan.sh nginx128 $(ARGS) &&) tools/asan.sh $(or $(SERVER),apache) $(ARGS)

valgrind: test-setup debug ## the behaviour suite on httpd under valgrind: ARGS='-k name'; slow
	@GANGWAY_DIST="$(CURDIR)/dist/debug" tools/valgrind.sh $(ARGS)

miri: setup ## exchange, engine and pool under Miri, with an engine in Rust: needs rustup's nightly with miri and rust-src
	@tools/miri.sh $(ARGS)

check: setup ## formatting, clippy, documentation, the C header as C99 and C++17, the scripts' syntax
	@tools/check.sh

fuzz: setup ## the fuzz targets for longer than `make test` does: SECONDS_EACH=60 with cargo-fuzz, else RUNS=3000000
	@SECONDS_EACH="$(SECONDS_EACH)" RUNS="$(RUNS)" SEED="$(SEED)" tools/fuzz.sh $(ARGS)

bench: bench-setup build ## Gangway beside its peers: SUITE=wsgi|asgi|managed|upstreams|cgi|handlers ARGS='--quick' and more, see benches/README.md
	@/usr/bin/python3 benches/bench.py $(SUITE) $(ARGS)

bench-setup: setup
	@tools/packages.sh bench
	@tools/venv.sh build/venv-bench benches/requirements.txt

modules: setup ## the module for nginx.org's build of a version, in dist/nginx-VERSION/: NGINX=1.28.3
	@tools/packages.sh test
	@tools/nginx-module.sh $(NGINX)

deb: ## Debian packages of what is committed, in dist/deb/, and an archive for apt in dist/apt/: RELEASE=trixie PACKAGES=nginx, see docs/install.md
	@$(if $(RELEASE),,tools/packages.sh setup)
	@tools/packages.sh deb
	@RELEASE="$(RELEASE)" PACKAGES="$(PACKAGES)" BUILT="$(BUILT)" tools/deb.sh
	@tools/apt-repository.sh

test-packages: ## the packages of dist/apt installed as docs/install.md says, used, upgraded, removed in fresh roots: SUITE='bookworm trixie bookworm:trixie'; as root
	@tools/packages.sh deb
	@tools/test-packages.sh $(or $(SUITE),bookworm)

test-source: ## what docs/install.md says of the source, in a fresh root: SUITE=trixie; as root, builds for some minutes
	@tools/packages.sh deb
	@tools/test-source.sh $(or $(SUITE),bookworm)

reproducible: ## builds the packages of a release twice, in two folders, and compares the bytes: RELEASE=trixie PACKAGES=nginx; as root
	@tools/packages.sh deb
	@RELEASE="$(RELEASE)" PACKAGES="$(PACKAGES)" tools/reproducible.sh

images: ## container images of dist/apt and dist/nginx-VERSION: IMAGES='nginx httpd modules'; without an engine as files in dist/images/, as root
	@tools/packages.sh deb
	@tools/images.sh $(IMAGES)

test-images: ## lint the Containerfiles, run the images of dist/images/ in namespaces; as root
	@tools/packages.sh deb
	@tools/test-images.sh

release: ## everything of a release, in dist/release/: VERSION=0.1.0; as root, see docs/release.md
	@tools/packages.sh setup
	@tools/packages.sh deb
	@tools/release.sh "$(VERSION)"

clean: ## remove everything that make and cargo made
	@rm -rf build dist
	@cargo clean --quiet
