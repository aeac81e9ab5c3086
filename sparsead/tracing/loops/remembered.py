"""What Python remembers from step to step: the numbers, lengths and traced values that the names of a frame lead to.

The names are those of the frame, and the globals that its code names; from there the walk goes through attributes and items, and
through what functions capture. Not seen are attributes of modules, how far a generator is in a for statement of its own, and what
only code in C can see.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter, defaultdict, deque
from inspect import CO_GENERATOR
from types import BuiltinFunctionType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import NamedTuple

import numpy as np

from sparsead.tracing import _traced
from sparsead.tracing._traced import CURRENT, Traced, TracedArray
from sparsead.tracing.libraries import attributes, global_names, is_library, is_user_function, is_user_module

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

    As long as the frame is that of a generator, the names of the frame that asks it for the next item belong to them.
    """
    memory, where = _Memory(), ""
    while frame is not None:
        for name, value in frame.f_locals.items():
            memory.look(name + where, value)
        memory.globals_of(frame.f_code, frame.f_globals)
        frame, where = frame.f_back if frame.f_code.co_flags & CO_GENERATOR else None, where + " (of the caller)"
    return memory.found


class _Memory:
    """One walk over what a frame reaches."""

    def __init__(self):
        self.found, self.seen, self.budget = {}, set(), REACH

    def look(self, path, value):
        """Describe what stands at `path`, and go on from there."""
        self.budget -= 1
        if self.budget < 0 or path in self.found:
            return
        if isinstance(value, Traced):
            if value.home is CURRENT.get():
                window = _traced.window_of(value) if isinstance(value, TracedArray) else _number(value)
                self.found[path] = ("traced", *window)
        elif value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
            self.found[path] = ("number", str(value) if value != value else value, type(value))
        elif isinstance(value, np.ndarray):
            self.found[path] = ("array", id(value), value.tobytes() if value.nbytes <= 4096 else None)
        elif id(value) not in self.seen and not isinstance(value, (ModuleType, BuiltinFunctionType)):
            self.seen.add(id(value))
            self._inside(path, value)

    def _inside(self, path, value):
        if isinstance(value, (list, tuple, dict, deque, set)):
            self.found[path] = ("length", len(value))
            if not isinstance(value, set):
                items = value.items() if isinstance(value, dict) else enumerate(value)
                self._all((f"{path}[{key!r}]", item) for key, item in list(items))
        elif isinstance(value, FunctionType):
            self._function(path, value)
        elif isinstance(value, MethodType):
            self._all([(f"{path}.__self__", value.__self__), (f"{path}.__func__", value.__func__)])
        elif isinstance(value, functools.partial):
            self._all((f"{path}.{name}", getattr(value, name)) for name in ("func", "args", "keywords"))
        elif isinstance(value, GeneratorType):
            self._generator(path, value)
        elif isinstance(value, type):
            self._class(path, value)
        elif hasattr(type(value), "__next__"):
            self.found[path] = ("iterator", repr(value), operator.length_hint(value, -1))
        elif type(value).__module__.partition(".")[0] != "sparsead":
            self._all((f"{path}.{key}", item) for key, item in list(attributes(value).items()))
            self.look(f"type({path})", type(value))

    def _all(self, items):
        for path, item in items:
            self.look(path, item)

    def globals_of(self, code, namespace):
        """Look at the globals that `code` names."""
        self._all((f"global {name}", namespace[name]) for name in sorted(global_names(code)) if name in namespace)

    def _function(self, path, f):
        if not is_user_function(f):
            return
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            try:
                self.look(f"{name} (captured by {f.__name__})", cell.cell_contents)
            except ValueError:  # an empty cell
                continue
        self._all((f"{path}.{name}", getattr(f, name)) for name in ("__defaults__", "__kwdefaults__") if getattr(f, name))
        self._all((f"{path}.{name}", x) for name, x in list(vars(f).items()))
        self.globals_of(f.__code__, f.__globals__)

    def _generator(self, path, generator):
        frame = generator.gi_frame
        if frame is None:
            self.found[path] = ("iterator", "ended", 0)
        elif not is_library(frame):
            self.found[path] = ("iterator", "at", frame.f_lasti)
            self.look(f"{path}: yield from", generator.gi_yieldfrom)
            self._all((f"{path}: {name}", x) for name, x in list(frame.f_locals.items()))

    def _class(self, path, cls):
        if is_user_module(cls.__module__) and cls.__module__ != "builtins":
            bases = [base for base in reversed(cls.__mro__) if is_user_module(base.__module__) and base is not object]
            own = {name: x for base in bases for name, x in vars(base).items()}
            self._all((f"{cls.__name__}.{name}", x) for name, x in own.items() if not name.startswith("__") or callable(x))


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
    if before[0] == now[0] == "iterator":
        return f"{path} is an iterator that the body takes a step of: index an array with the counter instead, as values[k]"
    if before[0] == now[0] == "length":
        return f"{path} grows or shrinks in the body of the loop: store into an array instead, as history[k] = u"
    return f"{path} changes from step to step in another way than an array that is computed"
