"""The commands for operators. Each translates its arguments, calls an operation and prints the result."""
