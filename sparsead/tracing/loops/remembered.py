"""What Python remembers from step to step: the numbers, lengths and traced values that the names of a frame lead to."""

from __future__ import annotations

from collections import Counter, defaultdict
from inspect import CO_GENERATOR
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import NamedTuple

import numpy as np

from sparsead.tracing import _traced
from sparsead.tracing._traced import CURRENT, Traced, TracedArray

REACH = 1000  # items of containers and objects that are looked at


class Seen(NamedTuple):
    """What is there at the head of a step."""

    values: dict  # of storages, by serial number
    numbers: dict  # the same of traced numbers
    state: dict  # what Python remembers, by path

    def names(self):
        """The paths that lead to each serial number."""
        found = defaultdict(list)
        for path, x in self.state.items():
            if x[0] == "traced":
                found[x[2]].append(path)
        return found


def remembered(frame):
    """{path: description} of what the names of a frame reach: numbers, lengths, and which traced values stand where.

    Besides its own names these are the globals that it uses, and, as long as it is that of a generator, the names of the frame
    that asks it for the next item.
    """
    found, budget, where = {}, [REACH], ""
    while frame is not None:
        names, globals_ = frame.f_locals, frame.f_globals
        used = {name: globals_[name] for name in frame.f_code.co_names if name in globals_ and name not in names}
        for name, value in {**names, **used}.items():
            _remember(name + where, value, found, set(), budget)
        frame, where = frame.f_back if frame.f_code.co_flags & CO_GENERATOR else None, where + " (of the caller)"
    return found


def _remember(path, value, found, seen, budget):
    budget[0] -= 1
    if budget[0] < 0:
        return
    if isinstance(value, Traced):
        if value.home is CURRENT.get():
            window = _traced.window_of(value) if isinstance(value, TracedArray) else _number(value)
            found[path] = ("traced", *window)
        return
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        found[path] = ("number", str(value) if value != value else value, type(value))
        return
    if isinstance(value, np.ndarray):
        found[path] = ("array", id(value), value.tobytes() if value.nbytes <= 4096 else None)
        return
    if id(value) in seen or isinstance(value, (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)):
        return
    seen.add(id(value))
    if isinstance(value, (list, tuple, dict)):
        found[path] = ("length", len(value))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in list(items):
            _remember(f"{path}[{key!r}]", item, found, seen, budget)
    elif hasattr(value, "__dict__"):
        for key, item in list(vars(value).items()):
            _remember(f"{path}.{key}", item, found, seen, budget)


def _number(value):
    return (*_traced.number_of(value), None)


def changes(then, now, a, b):
    """Paths and kinds of what is now not as it was then, given the roles by serial number then and now."""
    found = [path for path, (x, y) in pairs(then.state, now.state) if not _alike(x, y, a, b)]
    if found:
        return found
    if any(a[s] != b[s] for s in then.values if s in b):
        return ["an array"]
    new, old = [b[s] for s in now.values if s not in then.values], [a[s] for s in then.values if s not in now.values]
    return [] if Counter(new) == Counter(old) else ["arrays that are made in the loop and kept"]


def _alike(x, y, a, b):
    """Whether two descriptions are the same, given the roles of the one's and of the other's values by serial number."""
    if x is None or y is None or x[0] != y[0]:
        return False
    return x == y if x[0] != "traced" else x[3] == y[3] and a[x[2]] == b[y[2]]


def pairs(a, b):
    """(path, (there, here)) for all paths of two states."""
    return [(path, (a.get(path), b.get(path))) for path in {**a, **b}]


def described(path, before, now):
    """In words, how what stands at a path differs."""
    if before is None or now is None:
        return path if before is now else f"{path} appears or disappears in the body of the loop"
    if "number" in (before[0], now[0]):
        return (f"{path} changes from step to step ({before[1]!r}, then {now[1]!r}): a Python number that the body rebinds "
                "would be stale after the loop. Compute it from the counter, as t = k * dt, or use an array of one "
                "element")  # fmt: skip
    if before[0] == now[0] == "length":
        return f"{path} grows or shrinks in the body of the loop: store into an array instead, as history[k] = u"
    return f"{path} changes from step to step in another way than an array that is computed"
