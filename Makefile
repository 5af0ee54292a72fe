# Each target is one verb of `python -m course`, which works the same without make.
PYTHON ?= python3

.PHONY: book test bench results lab clean

book:
	$(PYTHON) -m course build

test:
	$(PYTHON) -m course test

bench:
	$(PYTHON) -m course bench

results:
	$(PYTHON) -m course results

lab:
	$(PYTHON) -m course lab

clean:
	$(PYTHON) -m course clean
