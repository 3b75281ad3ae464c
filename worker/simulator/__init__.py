"""The simulated Sorted API: the only fake of it, for `closer simulate`, the demo, tests and benchmarks."""
