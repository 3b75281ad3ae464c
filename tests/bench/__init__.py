"""The benchmarks' own instruments: what they count, and how they calculate."""
