# Short names for tools/dev.py, which works the same without make.  make run ARGS="--cycles 3"
PYTHON ?= python3
ARGS ?=

.PHONY: run test lint sweep readme
run test lint sweep readme:
	@$(PYTHON) tools/dev.py $@ $(ARGS)
