"""The battery of faults: `make faults` runs all and reports; CI runs a shorter form."""
