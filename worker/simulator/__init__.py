"""The simulated Sorted API: the only fake of it, for the demo, tests and benchmarks."""
