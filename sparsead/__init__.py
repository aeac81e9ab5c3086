"""Exact derivatives of NumPy simulation code that updates its arrays in place."""

from importlib.metadata import version as _version

__version__ = _version("sparsead")
