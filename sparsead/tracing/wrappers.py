"""What NumPy's protocols cannot catch, caught while a trace runs.

Creation functions make traced arrays inside a traced function, ``np.asarray`` keeps the trace, functions with a rule see
traced values in lists, random numbers raise, and readings of the clock are marked. The wrappers stand in NumPy's namespace
only while some trace runs, and in threads that do not trace they are NumPy's own functions: they look at a ContextVar.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import math
import random
import sys
import time
import types

import numpy as np

from sparsead.ops.composites import COMPOSITES
from sparsead.tracing._installed import Installed
from sparsead.tracing._traced import CURRENT, Traced, TracedArray, as_array, concrete_of
from sparsead.tracing.clock import STAND_INS, Calendar, Reading, marked, refuse, unmarked
from sparsead.tracing.errors import TraceError
from sparsead.tracing.functions import NATIVE, array_of, contains_traced
from sparsead.tracing.libraries import is_library
from sparsead.tracing.loops.together import OfSteps, enumerated, zipped


def _is_held(dtype):
    """Dtypes that can hold values of a trace; integers are structure and stay plain."""
    return dtype.kind in "fcb"


def _zeros(trace, original, *args, **kwargs):
    made = original(*args, **kwargs)
    return trace.fresh(made, True) if _is_held(made.dtype) else made


def _empty(trace, original, *args, **kwargs):
    made = original(*args, **kwargs)
    return trace.fresh(made) if _is_held(made.dtype) else made


def _known(trace, original, *args, **kwargs):
    made = original(*args, **kwargs)
    if type(made) is np.ndarray and made.dtype.kind in "fc":
        return trace.constant_array(made)
    return made


def _like(kind):
    def rule(trace, original, prototype, *args, **kwargs):
        return kind(trace, original, concrete_of(prototype), *args, **kwargs)

    return rule


def _full(trace, original, shape, fill_value, dtype=None, *args, **kwargs):
    if not isinstance(fill_value, Traced):
        return _known(trace, original, shape, fill_value, dtype, *args, **kwargs)
    made = trace.fresh(np.empty(shape, fill_value.dtype if dtype is None else dtype))
    made[...] = fill_value
    return made


def _full_like(trace, original, a, fill_value, dtype=None, *args, **kwargs):
    made = np.empty_like(concrete_of(a), dtype, *args, **kwargs)
    if not _is_held(made.dtype):
        made[...] = fill_value
        return made
    made = trace.fresh(made)
    made[...] = fill_value
    return made


def _array(trace, original, a, dtype=None, *args, copy=True, order="K", **kwargs):
    if not isinstance(a, Traced) and not contains_traced(a):
        made = original(a, dtype, *args, copy=copy, order=order, **kwargs)
        return _known(trace, lambda: made) if made is not a else made
    made = array_of(trace, a)
    if dtype is not None and made.dtype != np.dtype(dtype):
        return made.astype(dtype)
    fresh = not isinstance(a, TracedArray)
    return made.copy(order) if copy is True and not fresh else made


def _asarray(trace, original, a, dtype=None, order=None, **kwargs):
    if not isinstance(a, Traced) and not contains_traced(a):
        made = original(a, dtype, order, **kwargs)
        return _known(trace, lambda: made) if made is not a else made
    made = array_of(trace, a) if not isinstance(a, TracedArray) else a
    if dtype is not None and made.dtype != np.dtype(dtype):
        made = made.astype(dtype)
    return made if order in (None, "K", "A") else _ordered(made, order)


def _ordered(a, order):
    return a if a.concrete.flags[f"{order}_CONTIGUOUS"] else a.copy(order)


def _contiguous(order):
    def rule(trace, original, a, dtype=None, **kwargs):
        if not isinstance(a, Traced) and not contains_traced(a):
            return original(a, dtype, **kwargs)
        made = _ordered(_asarray(trace, None, a, dtype), order)
        return made.reshape(1) if made.ndim == 0 else made  # as NumPy does

    return rule


def _linspace(trace, original, start, stop, num=50, endpoint=True, *args, **kwargs):
    if not isinstance(start, Traced) and not isinstance(stop, Traced):
        return _known(trace, original, start, stop, num, endpoint, *args, **kwargs)
    if args or kwargs:
        raise TraceError(f"np.linspace with traced ends takes start, stop, num and endpoint only{trace.at()}")
    steps = np.arange(num) / max(num - bool(endpoint), 1)
    made = as_array(trace, start + (stop - start) * steps)
    if endpoint and num > 1:
        made[-1] = stop
    return made


def _strided(trace, original, x, *args, **kwargs):
    """Views of any strides; a store through one that overlaps itself is refused where it happens."""
    if not isinstance(x, TracedArray):
        return original(x, *args, **kwargs)
    return x.view_as(original(x.concrete, *args, **kwargs))


_CREATION = {
    "zeros": _zeros, "zeros_like": _like(_zeros), "empty": _empty, "empty_like": _like(_empty), "ones": _known,
    "ones_like": _like(_known), "full": _full, "full_like": _full_like, "array": _array, "asarray": _asarray,
    "asanyarray": _asarray, "ascontiguousarray": _contiguous("C"), "asfortranarray": _contiguous("F"),
    "linspace": _linspace, "arange": _known, "eye": _known, "identity": _known, "logspace": _known, "geomspace": _known,
    "tri": _known, "fromfunction": _known,
}

_VIEWS = {"as_strided": _strided, "sliding_window_view": _strided}  # fmt: skip


def _no_random(name):
    def rule(trace, original, *args, **kwargs):
        raise TraceError(
            f"{name} is called inside the traced function{trace.at()}: its numbers would be frozen in the tape; draw them "
            "outside and pass them as an argument"
        )

    return rule


def _clock(trace, original, *args):
    return marked(original(*args))


def _calendar(trace, original, *args):
    """``time.localtime`` and its kin: of a moment that is given, or else of now."""
    moments = [unmarked(x) for x in args if x is not None]
    made = original(*moments)
    return made if moments and not any(isinstance(x, Reading) for x in args) else Calendar(made)


def _calendar_text(trace, original, *args):
    return original(*[unmarked(x) for x in args])


def _of_numbers(trace, original, *args):
    """A function of math, which reads the number of a marked float without asking."""
    if any(isinstance(x, Reading) for x in args):
        refuse(f"an argument of math.{original.__name__}")
    return original(*args)


_RANDOM = [name for name in dir(np.random) if name[0].islower() and callable(getattr(np.random, name))
           and name not in ("test", "get_state", "set_state", "get_bit_generator", "set_bit_generator", "seed")]  # fmt: skip
_PY_RANDOM = ["random", "uniform", "gauss", "normalvariate", "randint", "randrange", "choice", "choices", "sample",
              "shuffle", "expovariate", "betavariate", "triangular"]  # fmt: skip
_CLOCKS = ["time", "perf_counter", "monotonic", "process_time", "thread_time", "clock_gettime"]
_CLOCKS += [f"{name}_ns" for name in _CLOCKS]


def _is_numpy(frame):
    """Whether NumPy's own code, or ours, is calling: it means the plain function."""
    return frame.f_globals.get("__name__", "").partition(".")[0] in ("numpy", "sparsead")


def _wrap(original, rule):
    reads = rule in (_clock, _calendar, _calendar_text)
    means_original = is_library if reads else _is_numpy  # what `logging` reads stays in its records

    @functools.wraps(original)
    def function(*args, **kwargs):
        trace = CURRENT.get()
        if trace is None or means_original(sys._getframe(1)):
            return original(*args, **kwargs)
        return rule(trace, original, *args, **kwargs)

    return function


def _dispatched(original, rule):
    """A function of NumPy with a rule of ours: NumPy sees traced values among its arguments, but not in lists."""

    @functools.wraps(original)
    def function(*args, **kwargs):
        trace = CURRENT.get()
        if trace is None:
            return original(*args, **kwargs)
        for x in (*args, *kwargs.values()) if kwargs else args:
            if isinstance(x, (list, tuple)) and contains_traced(x):
                return rule(*args, **kwargs)
        made = original(*args, **kwargs)
        if type(made) in (np.ndarray, list, tuple) and not is_library(sys._getframe(1)):
            return _born(trace, made, [x for x in (*args, *kwargs.values()) if type(x) is np.ndarray])
        return made

    return function


def _outside(original, rule):
    """A function that runs outside of the trace."""

    @functools.wraps(original)
    def function(*args, **kwargs):
        token = CURRENT.set(None)
        try:
            return original(*args, **kwargs)
        finally:
            CURRENT.reset(token)

    return function


def _born(trace, made, given):
    """New floating arrays made of plain numbers, ready for traced values; views of plain arrays stay what they are."""
    if isinstance(made, (list, tuple)) and not hasattr(made, "_fields"):
        return type(made)(_born(trace, x, given) for x in made)
    if type(made) is np.ndarray and not any(np.may_share_memory(made, x) for x in given):
        return _known(trace, lambda: made)
    return made


def _with_rules():
    """(place, name, rule) of NumPy's functions that have a rule and know ``__array_function__``."""
    table = {**COMPOSITES, **NATIVE}
    for place in (np, np.linalg):
        for name, function in vars(place).items():
            if type(function) is type(np.sum) and function in table and not (place is np and name in _CREATION):
                yield place, name, table[function]


def _rows(rules, wrap):
    return [(place, name, getattr(place, name), wrap(getattr(place, name), rule)) for place, name, rule in rules]


def _needed():
    """(place, name, rule) of functions that, left as they are, would lose derivatives or freeze what changes."""
    yield from ((np, name, rule) for name, rule in _CREATION.items())
    yield from ((np.lib.stride_tricks, name, rule) for name, rule in _VIEWS.items())
    yield from ((np.random, name, _no_random(f"numpy.random.{name}")) for name in _RANDOM)
    yield from ((random, name, _no_random(f"random.{name}")) for name in _PY_RANDOM)
    yield from ((time, name, _clock) for name in _CLOCKS if hasattr(time, name))
    yield from ((time, name, _calendar) for name in ("localtime", "gmtime"))
    yield from ((time, name, _calendar_text) for name in ("ctime", "asctime", "strftime"))


_NEEDED = _rows(_needed(), _wrap)
_ROWS = _NEEDED + _rows(_with_rules(), _dispatched)
_ROWS += _rows([(math, name, _of_numbers) for name in dir(math) if callable(getattr(math, name)) and name[0] != "_"], _wrap)
# Arrays that a module makes while it is loaded are its own, not the trace's: they live on after it.
_ROWS += _rows([(builtins, "__import__", None), (importlib, "import_module", None)], _outside)
_ROWS += _rows([(builtins, "enumerate", enumerated), (builtins, "zip", zipped)], OfSteps)
_STAND_INS = STAND_INS | {id(original): wrapper for _, _, original, wrapper in _ROWS}
_NEEDED_IDS = STAND_INS.keys() | {id(original) for _, _, original, _ in _NEEDED}
_installed = Installed(_ROWS)


def stand_in(obj):
    """What stands for `obj` in a traced function that holds it by a name of its own; mostly `obj` itself."""
    if _is_clock_method(obj):
        return getattr(STAND_INS[id(obj.__self__)], obj.__name__)
    return _STAND_INS.get(id(obj), obj)


def is_needed(obj):
    """Whether code that reaches `obj` has to have its stand-in; the others only make more code work."""
    return id(obj) in _NEEDED_IDS or _is_clock_method(obj)


def _is_clock_method(obj):
    """Whether `obj` is what ``now = datetime.datetime.now`` keeps."""
    return isinstance(obj, types.BuiltinMethodType) and id(obj.__self__) in STAND_INS


def installed():
    """Wrappers in place while the block runs; traces may nest and run in several threads."""
    return _installed
