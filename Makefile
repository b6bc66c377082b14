# Everything is made inside this folder, nothing as root. The environments are made again when their requirements change.

VENV = .venv
PYTHONS = 3.12 3.11 3.10 3.9 3.8
TESTS = tests
REQUIREMENTS = requirements.txt requirements-tests.txt dev/requirements.txt dev/requirements-bench.txt \
	dev/requirements-no-deps.txt

.PHONY: help environment demo playground test e2e soak bench lint clean

help:  ## print this list
	@sed -n 's/^\([a-z0-9]*\):.*## /make \1|/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

environment:  ## make the environment of the other targets
	@dev/environment.sh $(VENV) "$(PYTHONS)" $(REQUIREMENTS)

demo: environment  ## run the pack against simulated systems on this machine, through every rule
	$(VENV)/bin/python -m dev.demo

playground: environment  ## the same, kept running, with a page to act as a person on both sides; PORT=number
	@$(VENV)/bin/python -m dev.playground $(PORT)

ifdef ST2_VENV
test:
	@dev/in_stackstorm.sh $(ST2_VENV) "$(REQUIREMENTS)" tests/unit
else
test: environment  ## run every test; with ST2_VENV=folder the unit tests inside that StackStorm environment
	$(VENV)/bin/python -m pytest -n auto --dist worksteal $(TESTS)
endif

e2e: environment  ## play the scenarios of tests/e2e here, or on the StackStorm at ST2_API_URL (see docs/platform.md)
	$(VENV)/bin/python -m pytest $(if $(ST2_API_URL),--installed,-n auto --dist worksteal) tests/e2e

soak: environment  ## run the tests that take minutes, and the made-up input with many more examples
	$(VENV)/bin/python -m pytest -m "soak or fuzz" --hypothesis-profile=soak $(TESTS)

bench: environment  ## measure how fast the pack is, beside what it is compared with, in one run
	$(VENV)/bin/python -m dev.bench

lint: environment  ## check with the rules of StackStorm Exchange, and the types of lib
	@dev/environment.sh .venv-lint "3.11 3.10 3.9 3.8 3.12" dev/requirements-lint.txt
	$(VENV)/bin/python -m dev.exchange
	.venv-lint/bin/python -m flake8 .
	PYTHONPATH=lib:dev/local_stackstorm/standin .venv-lint/bin/python -m pylint -E actions/*.py sensors/*.py
	.venv-lint/bin/python -m mypy lib

clean:  ## remove the environments and all caches
	rm -rf .venv* .mypy_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
