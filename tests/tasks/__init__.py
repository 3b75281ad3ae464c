"""Tests of tasks: what a closure is, and how one is closed."""
