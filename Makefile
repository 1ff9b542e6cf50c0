# Short names for tools/dev.py, which works the same without make.  make run ARGS="--cycles 3"
PYTHON ?= python3
ARGS ?=

.PHONY: run test lint sweep readme bench
run test lint sweep readme:
	@$(PYTHON) tools/dev.py $@ $(ARGS)

# All of it, with docs/bench.json and the tables of README.md written anew; make bench QUICK=1: under a minute, writes nothing
bench:
	@$(PYTHON) tools/dev.py bench $(if $(QUICK),--quick,--readme) $(ARGS)
