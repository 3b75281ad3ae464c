"""The simulated API and the sample events that the demo, the benches and the tests use."""
