"""Fuzz tests of everything that reads bytes from outside: HYPOTHESIS_PROFILE=fuzz makes them long."""
