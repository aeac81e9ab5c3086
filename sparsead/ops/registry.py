"""Importing this module enters every family of ops into the registry of `sparsead.tape.spec`."""

from sparsead.ops import (
    black_box,
    branch,
    contraction,
    effect,
    implicit,
    inactive,
    linalg,
    loop,
    moving,
    reductions,
    rule,
    structural,
    table,
)

__all__ = [
    "black_box",
    "branch",
    "contraction",
    "effect",
    "implicit",
    "inactive",
    "linalg",
    "loop",
    "moving",
    "reductions",
    "rule",
    "structural",
    "table",
]
