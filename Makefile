# Two commands do everything on a fresh machine: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# onnxruntime and onnxruntime-gpu exclude each other: the machine decides
ACCEL ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
SPEC ?= configs/training/small.yaml
BARS ?= 2000
VENUE ?= binance
N ?=
SEED ?= 1
export OMP_WAIT_POLICY := passive
export ORT_DISABLE_TELEMETRY := 1
PIP := $(PY) -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run paper test browser sshd setup train lint format schema parity faults crash soak gate lifecycle quality bench peers starter picture install uninstall clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.serving ## trade on the local exchange, synthetic or DATA=klines.parquet, and show it (Ctrl-C stops)
	@$(PY) -m daemon rehearse $(if $(DATA),--data $(DATA)) $(if $(FUNDING),--funding $(FUNDING)) $(ARGS)

paper: $(VENV)/.serving ## trade on the real exchange's prices, or MIRROR=URL's, with an account of our own (needs the network)
	@$(PY) -m daemon paper $(if $(MIRROR),--mirror $(MIRROR)) $(ARGS)

test: $(VENV)/.full browser sshd ## set up and run every test
	@$(PY) -m pytest -n logical --maxprocesses 4 --dist loadfile $(ARGS)

browser: ## install Debian's Chromium for the tests of pages, where it is missing and that may be done
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing Chromium for the tests of pages (once)" >&2; \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	      chromium fonts-dejavu-core; } >/dev/null 2>&1 || echo "Chromium could not be installed: tests in a browser are left out" >&2; \
	  else echo "no Chromium, and installing it takes root on Debian: tests in a browser are left out" >&2; fi

sshd: ## install Debian's ssh server for the tests of training elsewhere, where it is missing and that may be done
	@command -v sshd >/dev/null || test -x /usr/sbin/sshd || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing an ssh server for the tests of training elsewhere (once; it is neither started nor enabled)" >&2; \
	    policy=/usr/sbin/policy-rc.d; made=; \
	    test -e $$policy || { printf '#!/bin/sh\nexit 101\n' >$$policy; chmod 755 $$policy; made=$$policy; }; \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	      openssh-server; } >/dev/null 2>&1 || echo "no ssh server could be installed: tests over ssh are left out" >&2; \
	    rm -f $$made; systemctl disable ssh.service ssh.socket >/dev/null 2>&1 || true; \
	  else echo "no ssh server, and installing it takes root on Debian: tests over ssh are left out" >&2; fi

setup: $(VENV)/.full ## the full set-up alone: serving, training, tests

train: $(VENV)/.full ## train a model set, on DATA=klines.parquet or the synthetic market
	@$(PY) -m training run --spec $(SPEC) $(if $(DATA),--data $(DATA),--synthetic) \
	  $(if $(FUNDING),--funding $(FUNDING)) $(ARGS)

lint: $(VENV)/.full ## ruff and mypy
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

format: $(VENV)/.full ## let ruff put the code in form
	@$(VENV)/bin/ruff check --fix . && $(VENV)/bin/ruff format .

schema: $(VENV)/.full ## write the JSON Schemas of the configuration files
	@$(PY) -m daemon schema && $(PY) -m market schema && $(PY) -m training schema && $(PY) -m backtest schema

parity: $(VENV)/.serving ## replay BARS real hours of SYMBOLS through daemon and VENUE=binance|bybit, compare with both backtests trade by trade
	@$(PY) -m tests.parity --bars $(BARS) --venue $(VENUE) $(if $(SYMBOLS),--symbols $(SYMBOLS)) \
	  $(if $(DATA),--data $(DATA)) $(if $(FUNDING),--funding $(FUNDING)) $(ARGS)

faults: $(VENV)/.full ## play every numbered fault through daemon and exchange; writes docs/faults.md and .json; ONLY=17,18 plays some, writes nothing
	@$(PY) -m tests.faults $(if $(ONLY),--only $(ONLY)) --seed $(SEED) $(ARGS)

crash: $(VENV)/.full ## kill the daemon N times (500) at every step, restart it, and check that nothing is naked, doubled or lost
	@$(PY) -m tests.crash $(if $(N),--kills $(N)) --seed $(SEED) $(if $(RESUME),--resume) $(if $(JSON),--json) $(ARGS)

soak: $(VENV)/.full ## N frames (a million) of ten symbols at full speed in a storm of faults: exceptions, memory, candles
	@$(PY) -m tests.soak $(if $(N),--frames $(N)) --seed $(SEED) $(if $(JSON),--json) $(ARGS)

gate: $(VENV)/.full ## judge planted sets on SEEDS (20) markets: what the gate wrongly promotes and misses; writes docs/gate.md and .json
	@$(PY) -m tests.gate --seeds $(or $(SEEDS),20) $(if $(JSON),--json) $(ARGS)

lifecycle: $(VENV)/.full ## train, judge, swap, refuse and roll back for real, over ssh and Ray, or OVER=ssh|ray: the timeline
	@$(PY) -m tests.lifecycle $(if $(OVER),--over $(OVER)) $(if $(JSON),--json) $(ARGS)

quality: $(VENV)/.full ## write up what SET (latest) is worth on DATA=klines.parquet: docs/results/model-quality.md, plots, docs/tasks.md
	@$(PY) -m training quality --model-set $(or $(SET),latest) --data $(DATA) $(if $(FUNDING),--funding $(FUNDING)) \
	  $(if $(COMPANION),--companion $(COMPANION)) $(if $(ABLATION),--ablation $(ABLATION)) $(ARGS)

bench: $(VENV)/.full ## every performance figure of the project
	@for b in benchmarks/*.py; do echo "== $$b"; PYTHONPATH=. $(PY) -P $$b || exit 1; done

peers: $(VENV)/.serving ## set up the backtest's peers in var/peers, for benchmarks/backtest.py (2 GB, a few minutes)
	@$(PY) -m benchmarks.peers.environment

starter: $(VENV)/.full ## make the starter set again, on the synthetic market
	@$(PY) -m training run --spec configs/training/starter.yaml --synthetic --out models/starter $(ARGS)

picture: $(VENV)/.serving ## draw the terminal view for the README
	@PYTHONPATH=. $(PY) docs/picture.py

PREFIX ?= /opt/regimen
DESTDIR ?=
EXTRAS ?= $(ACCEL)
INTERPRETER ?=
OWN := $(PREFIX)/venv/bin/python
PLACES = PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" INTERPRETER="$(or $(INTERPRETER),$(OWN))"

install: ## put program and units into PREFIX (/opt/regimen), as root; DESTDIR=, EXTRAS=cpu,train; INTERPRETER= uses that Python as it is
ifeq ($(INTERPRETER),)
	@$(PLACES) PYTHON="$(PYTHON)" EXTRAS="$(EXTRAS)" systemd/libraries.sh
endif
	@$(PLACES) systemd/install.sh

uninstall: ## take it out again; configuration and state stay unless PURGE=yes
	@$(PLACES) PURGE="$(PURGE)" systemd/uninstall.sh

clean: ## remove what was built: environment, state, caches
	@rm -rf $(VENV) var build .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Regimen needs Python 3.11 or later as '$(PYTHON)'; install it, or name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up $(VENV) (once)" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.serving: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing what trading needs ($(ACCEL))" >&2
	@$(PIP) '.[$(ACCEL)]'
	@touch $@

$(VENV)/.full: $(VENV)/.serving
	@echo "installing what training and the tests need" >&2
	@$(PIP) '.[$(ACCEL),train,cluster,dev]'
	@touch $@
