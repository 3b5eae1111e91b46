# Included by the Makefile above.
.PHONY: fuzz fuzz-all fuzz-keep

ATHERIS := 3.0.0
TARGET ?= reader
TIME ?= 600
FUZZ := build/fuzz/$(TARGET)

fuzz: $(VENV)/.fuzz ## Search for mistakes for TIME=600 seconds: TARGET=reader, broker, log or settings
	$(BIN)/python -m fuzz.seeds $(TARGET) $(FUZZ)
	PYTHONHASHSEED=0 $(BIN)/python -m fuzz.run $(TARGET) $(FUZZ) -max_total_time=$(TIME) $(ARGS)

fuzz-all: $(VENV)/.fuzz ## Each target in turn for TIME=600 seconds, on short data: as many inputs as can be
	@for target in reader broker log settings; do \
	  $(MAKE) --no-print-directory fuzz TARGET=$$target ARGS="-max_len=64 $(ARGS)" || exit; \
	done

fuzz-keep: $(VENV)/.test ## Renew fuzz/corpus from what `make fuzz` has found for TARGET=…
	$(BIN)/python -m fuzz.keep $(TARGET) $(FUZZ)

# Not among the dependency groups: it is large, and nothing but `make fuzz` needs it.
$(VENV)/.fuzz: $(VENV)/.test fuzz/targets.mk
	$(PIP) install atheris==$(ATHERIS)
	@touch $@
