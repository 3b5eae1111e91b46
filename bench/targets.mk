# Included by the Makefile above.
.PHONY: bench bench-log bench-check

bench: $(VENV)/.installed ## Measure against beanstalkd and Redis; more settings with ARGS="…"
	$(MAKE) -C bench
	$(BIN)/python bench/run.py $(ARGS)

bench-log: $(VENV)/.installed ## Measure with command logs, on a disk; more settings with ARGS="…"
	$(MAKE) -C bench
	$(BIN)/python bench/run.py --set logged $(ARGS)

bench-check: $(VENV)/.installed ## Test the load generator itself
	$(MAKE) -C bench check PYTHON=$(abspath $(BIN)/python)
