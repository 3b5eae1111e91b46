# Included by the Makefile above.
.PHONY: bench bench-log bench-check bench-client bench-workers

bench: $(VENV)/.installed ## Measure against beanstalkd and Redis; more settings with ARGS="…"
	$(MAKE) -C bench
	$(BIN)/python bench/run.py $(ARGS)

bench-log: $(VENV)/.installed ## Measure with command logs, on a disk; more settings with ARGS="…"
	$(MAKE) -C bench
	$(BIN)/python bench/run.py --set logged $(ARGS)

bench-check: $(VENV)/.installed ## Test the load generator itself
	$(MAKE) -C bench check PYTHON=$(abspath $(BIN)/python)

bench-client: $(VENV)/.bench ## Measure the Python client beside redis-py; more settings with ARGS="…"
	$(BIN)/python bench/client.py $(ARGS)

bench-workers: $(VENV)/.bench ## Measure workers beside RQ, Celery, Dramatiq and Huey; settings with ARGS="…"
	$(BIN)/python bench/clients/run.py $(ARGS)

$(VENV)/.bench: $(VENV)/.installed
	$(PIP) install --group bench
	@touch $@
