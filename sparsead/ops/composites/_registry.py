"""The two tables of composites, filled by decorators that stand above each function."""

from typing import Any

import numpy as np

COMPOSITES = {}  # NumPy's function object -> ours, with the same signature
METHODS = {}  # name of a method of ndarray -> ours, which takes the array first

NOVALUE = np._NoValue  # NumPy's mark of an argument not given; None has a meaning of its own in `initial=`


def composite(*names):
    """Register a function for NumPy functions by their dotted names, its own name by default.

    A name that the installed NumPy lacks is skipped: the oldest supported one has fewer.
    """

    def register(function):
        for name in names or (function.__name__,):
            target: Any = np
            for part in name.split("."):
                target = getattr(target, part, None)
            if target is not None:
                COMPOSITES[target] = function
        return function

    return register


def method(*names):
    """Register a function as methods of ndarray by their names, its own name by default."""

    def register(function):
        METHODS.update(dict.fromkeys(names or (function.__name__,), function))
        return function

    return register


def unsupported(function, keyword, advice):
    """The error to raise for a keyword that NumPy has and the composite lacks."""
    return TypeError(f"{function}() of traced arrays does not support {keyword}=; {advice}")
