"""Importing this module enters every family of ops into the registry of `sparsead.tape.spec`."""

from sparsead.ops import contraction, inactive, reductions, structural, table

__all__ = ["contraction", "inactive", "reductions", "structural", "table"]
