"""Tests of the parts of the worker."""
