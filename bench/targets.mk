# Included by the Makefile above.
.PHONY: bench bench-check

bench: $(VENV)/.installed ## Measure against beanstalkd and Redis; more settings with ARGS="…"
	$(MAKE) -C bench
	$(BIN)/python bench/run.py $(ARGS)

bench-check: $(VENV)/.installed ## Test the load generator itself
	$(MAKE) -C bench check PYTHON=$(abspath $(BIN)/python)
