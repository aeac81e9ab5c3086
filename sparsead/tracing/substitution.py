"""What a function reaches, replaced by traced values on copies.

The walk starts at the arguments and at the function itself: closure cells, globals that its code names, defaults,
attributes of objects, items of containers, and so on through the functions it finds. Floating arrays become traced
storages, floats among the arguments become live scalars; integers, strings and captured numbers are remembered and
compared at each call. Functions, objects and containers on the way are copied, so that nobody else sees the
replacement; what holds nothing to replace stays the very object it is.
"""

from __future__ import annotations

import builtins
import copy
import dataclasses
import functools
import types
from typing import Any, NamedTuple

import numpy as np

from sparsead.tracing._traced import CURRENT, Traced, concrete_of
from sparsead.tracing.clock import unmarked
from sparsead.tracing.errors import TraceError
from sparsead.tracing.libraries import attributes, bare, global_names, is_user_function, is_user_module, slots
from sparsead.tracing.memory import PLAIN
from sparsead.tracing.registered import rule_of
from sparsead.tracing.sparse import PATTERN, TracedSparse, is_sparse
from sparsead.tracing.wrappers import is_needed, stand_in

MAX_OBJECTS = 20_000
GENERATORS = (np.random.Generator, np.random.RandomState)


class Leaf(NamedTuple):
    """Something the trace depends on.

    Attributes
    ----------
    path : tuple
        Root and steps that lead to it; see `resolve`.
    kind : {"array", "float", "static", "contents", "length", "identity"}
        A traced array, a live float, a value compared by equality, an array compared by contents, a container compared by
        length, a function or module that has to be the same object.
    value : object
        What stood there at the trace (for "contents": a copy).
    """

    path: tuple
    kind: str
    value: Any


def resolve(path, arguments):
    """What stands at `path` now."""
    (kind, where), steps = path[0], path[1:]
    place = arguments[where] if kind == "argument" else where
    for step, name in steps:
        if step == "attribute":
            place = getattr(place, name)
        elif step == "cell":
            place = place.cell_contents
        else:
            place = place[name]
    return place


def path_text(path):
    """A path as the user would write it."""
    (kind, where), steps = path[0], path[1:]
    text = str(where) if kind == "argument" else getattr(where, "__name__", kind)
    if steps[:1] == (("attribute", "__closure__"),) and len(steps) > 2:
        text, steps = where.__code__.co_freevars[steps[1][1]], steps[2:]
    for step, name in steps:
        if step == "attribute":
            text += f".{name}"
        elif step == "cell":
            text += " (captured)"
        elif kind == "namespace":
            text, kind = str(name), "name"
        else:
            text += f"[{name!r}]"
    return text


def same_kind_of_dict(obj, items):
    """A dict like `obj`, which has the keys of `items`, with other values; a defaultdict keeps its factory."""
    if type(obj) is dict:
        return items
    new = copy.copy(obj)
    new.update(items)
    return new


class Walk:
    """One walk: collects leaves, then `replaced` builds the copies with what the leaves became."""

    def __init__(self):
        self.leaves: list[Leaf] = []
        self.enclosing: list[Traced] = []  # values of a trace around this one
        self.reached = []  # objects on the way; ids are only unique while their objects live
        self._seen = {}

    def scan(self, obj, path, live):
        """Collect the leaves under `obj`. `live`: floats are live (arguments), not compared (captured)."""
        if isinstance(obj, Traced):
            self.enclosing.append(obj)
            return
        if isinstance(obj, (bool, int, str, bytes, type(None), np.bool_, np.integer)):
            self.leaves.append(Leaf(path, "static", obj))
        elif isinstance(obj, (float, complex, np.inexact)):
            self.leaves.append(Leaf(path, "float" if live else "static", obj))
        elif isinstance(obj, np.ndarray):
            self._array(obj, path)  # every path to an array is a leaf of its own: aliasing may change between calls
        elif is_sparse(obj):
            self._descend(obj, path, live)
        elif rule_of(obj) is not None:
            self.leaves.append(Leaf(path, "identity", obj))
        elif not isinstance(obj, (list, tuple, dict, functools.partial, types.MethodType)) and not is_user_object(obj):
            # A function, a ufunc, a module, a class: another one by the same name means another program.
            if len(path) > 1 or path[0][0] == "argument":
                self.leaves.append(Leaf(path, "identity", obj))
            self._descend(obj, path, live)
        else:
            self._descend(obj, path, live)

    def path_of(self, obj):
        """The path by which an object was found first; None if it was not."""
        return self._seen.get(id(obj))

    def _descend(self, obj, path, live):
        if id(obj) not in self._seen:
            self._seen[id(obj)] = path
            self.reached.append(obj)
            if len(self._seen) > MAX_OBJECTS:
                raise TraceError(f"the function reaches more than {MAX_OBJECTS} objects (at {path_text(path)})")
            for child, step in self._children(obj, path):
                self.scan(child, step, live)

    def _children(self, obj, path):
        if isinstance(obj, (list, tuple)):
            self.leaves.append(Leaf((*path, ("attribute", "__len__")), "length", len(obj)))
            yield from ((x, (*path, ("item", k))) for k, x in enumerate(obj))
        elif isinstance(obj, dict):
            self.leaves.append(Leaf((*path, ("attribute", "__len__")), "length", len(obj)))
            yield from ((x, (*path, ("item", k))) for k, x in obj.items())
        elif is_sparse(obj):
            self.leaves.append(Leaf((*path, ("attribute", "__class__")), "identity", type(obj)))
            yield from ((getattr(obj, name), (*path, ("attribute", name))) for name in ("data", "shape", *PATTERN[obj.format]))
        elif isinstance(obj, types.FunctionType):
            yield from _function_children(obj)
        elif isinstance(obj, types.MethodType):
            yield obj.__self__, (*path, ("attribute", "__self__"))
            yield obj.__func__, (*path, ("attribute", "__func__"))
        elif isinstance(obj, functools.partial):
            yield from ((getattr(obj, a), (*path, ("attribute", a))) for a in ("func", "args", "keywords"))
        elif _is_cached(obj):
            yield obj.__wrapped__, (*path, ("attribute", "__wrapped__"))
        elif is_user_object(obj):
            yield from ((x, (*path, ("attribute", name))) for name, x in attributes(obj).items())
            yield from ((f, (("class", type(obj)), ("attribute", name))) for name, f in _methods(type(obj)))

    def _array(self, array, path):
        if array.dtype.kind in "fc" and type(array) not in PLAIN:
            kind = f"{type(array).__module__}.{type(array).__name__}"
            raise TypeError(
                f"{path_text(path)} is a {kind}, which may compute in a way of its own: pass a plain array, np.asarray(...) of it"
            )
        if array.dtype.kind in "fc":
            self.leaves.append(Leaf(path, "array", array))
        elif array.dtype.kind in "iub":
            self.leaves.append(Leaf(path, "contents", array.copy()))


def _function_children(f):
    if not is_user_function(f):
        return
    for k, cell in enumerate(f.__closure__ or ()):
        try:
            yield cell.cell_contents, (("function", f), ("attribute", "__closure__"), ("item", k), ("cell", None))
        except ValueError:  # an empty cell: filled later, or never
            continue
    for name in sorted(global_names(f.__code__)):
        if name in f.__globals__:
            yield f.__globals__[name], (("namespace", f.__globals__), ("item", name))
    for name in ("__defaults__", "__kwdefaults__"):
        if getattr(f, name):
            yield getattr(f, name), (("function", f), ("attribute", name))


def _is_cached(f):
    """Whether `f` is a function of the user behind a `functools.lru_cache`."""
    return isinstance(f, functools._lru_cache_wrapper) and is_user_function(f.__wrapped__)


def is_user_object(obj):
    if isinstance(obj, (type, types.ModuleType)):
        return False
    cls = type(obj)
    if cls is types.SimpleNamespace:
        return True
    has_attributes = hasattr(obj, "__dict__") or slots(cls)
    return is_user_module(cls.__module__) and cls.__module__ != "builtins" and has_attributes and not hasattr(
        cls, "__array_ufunc__"
    )  # fmt: skip


def _methods(cls):
    found = {}
    for base in reversed(cls.__mro__):
        if is_user_module(base.__module__) and base is not object:
            found.update((n, f) for n, f in vars(base).items() if is_user_function(f) or _is_cached(f))
    return list(found.items())


class Replacement:
    """Copies of functions, objects and containers, with `values` in place of the leaves they hold.

    Parameters
    ----------
    values : dict
        ``id(array) -> traced array`` for arrays.
    live : callable
        ``live(path, number) -> traced scalar`` for floats of the arguments.
    copies : bool
        Lists, dicts and objects are copied also if they hold nothing to replace.

    Attributes
    ----------
    floats : list of Leaf
        Floats that have become live, in the order of their inputs.
    """

    def __init__(self, values, live, copies=False):
        self.values, self.live, self.copies = values, live, copies
        self.floats: list[Leaf] = []
        self._memo: dict[int, Any] = {}
        self._namespaces: dict[int, dict] = {}
        self._cells: dict[int, types.CellType] = {}
        self._classes: dict[type, type] = {}
        self._alive = []
        self._objects = []

    def __call__(self, obj, path, live=False):
        """`obj` with its leaves replaced; `obj` itself if there is nothing to replace."""
        if isinstance(obj, Traced):
            return self.values.get(id(obj), obj)
        if live and isinstance(obj, (float, complex, np.inexact)):
            return self.live(path, obj)
        if isinstance(obj, (str, bytes, int, float, complex, type(None), np.generic)):
            return obj
        if id(obj) not in self._memo:
            self._alive.append(obj)
            self._memo[id(obj)] = obj  # while a cycle is being walked
            self._memo[id(obj)] = self._replaced(obj, path, live)
        return self._memo[id(obj)]

    def _replaced(self, obj, path, live):
        if isinstance(obj, np.ndarray):
            return self._array(obj)
        if self.copies and type(obj) in (list, dict):
            return self._copied(obj, path, live)
        if isinstance(obj, (list, tuple)):
            return self._sequence(obj, path, live)
        if isinstance(obj, dict):
            new = {k: self(x, (*path, ("item", k)), live) for k, x in obj.items()}
            return same_kind_of_dict(obj, new) if self.copies or any(new[k] is not x for k, x in obj.items()) else obj
        if (rule := rule_of(obj)) is not None:
            return rule
        if is_sparse(obj):
            data = self(obj.data, (*path, ("attribute", "data")), live)
            return TracedSparse(obj, data) if isinstance(data, Traced) else obj
        if isinstance(obj, types.FunctionType):
            return self._function(obj) if is_user_function(obj) else stand_in(obj)
        if isinstance(obj, types.MethodType):
            return types.MethodType(self(obj.__func__, path), self(obj.__self__, (*path, ("attribute", "__self__")), live))
        if isinstance(obj, functools.partial):
            args = [self(x, (*path, ("attribute", "args"), ("item", k)), live) for k, x in enumerate(obj.args)]
            keywords = {k: self(x, (*path, ("attribute", "keywords"), ("item", k)), live) for k, x in obj.keywords.items()}
            return functools.partial(self(obj.func, path), *args, **keywords)
        if _is_cached(obj):  # traced values must not get into the cache
            return self(obj.__wrapped__, (*path, ("attribute", "__wrapped__")))
        return self._object(obj, path, live) if is_user_object(obj) else _substitute(obj)

    def _copied(self, obj, path, live):
        """A list or dict as a copy that is known before what it holds: it may hold itself."""
        new = self._memo[id(obj)] = type(obj)()
        for k, x in obj.items() if type(obj) is dict else enumerate(obj):
            made = self(x, (*path, ("item", k)), live)
            new.append(made) if type(obj) is list else new.update({k: made})
        return new

    def _array(self, array):
        traced = self.values.get(id(array))
        if traced is not None:
            return traced
        return array.copy() if array.dtype.kind in "iub" else array

    def _sequence(self, obj, path, live):
        new = [self(x, (*path, ("item", k)), live) for k, x in enumerate(obj)]
        if all(a is b for a, b in zip(new, obj, strict=True)) and not (self.copies and isinstance(obj, list)):
            return obj
        if isinstance(obj, tuple) and hasattr(obj, "_fields"):
            return type(obj)(*new)
        return type(obj)(new)

    def _function(self, f):
        namespace = self._namespace(f.__globals__)
        if "datetime" in global_names(f.__code__):
            namespace["__builtins__"] = {**vars(builtins), "__import__": _import}
        new = types.FunctionType(f.__code__, namespace, f.__name__, None, self._closure(f))
        self._memo[id(f)] = new
        new.__dict__.update(f.__dict__)
        new.__module__, new.__qualname__ = f.__module__, f.__qualname__
        for name in global_names(f.__code__):
            if name in f.__globals__:
                namespace[name] = self(f.__globals__[name], (("namespace", f.__globals__), ("item", name)))
        for cell, old in zip(new.__closure__ or (), f.__closure__ or (), strict=True):
            self._fill(cell, old)
        new.__defaults__ = f.__defaults__ and tuple(self(x, (("function", f),)) for x in f.__defaults__)
        new.__kwdefaults__ = f.__kwdefaults__ and {k: self(x, (("function", f),)) for k, x in f.__kwdefaults__.items()}
        return new

    def replaced(self):
        """(object, what stands for it) of all that has been looked at."""
        return [(obj, self._memo[id(obj)]) for obj in self._alive if id(obj) in self._memo]

    def namespaces(self):
        """(globals, what stands for them)."""
        return [(obj, self._namespaces[id(obj)]) for obj in self._alive if id(obj) in self._namespaces]

    def _namespace(self, globals_):
        if id(globals_) not in self._namespaces:
            self._alive.append(globals_)
            self._namespaces[id(globals_)] = dict(globals_)
        return self._namespaces[id(globals_)]

    def _closure(self, f):
        if f.__closure__ is None:
            return None
        for cell in f.__closure__:
            self._cells.setdefault(id(cell), types.CellType())
        self._alive.append(f.__closure__)
        return tuple(self._cells[id(cell)] for cell in f.__closure__)

    def _fill(self, cell, old):
        try:
            contents = old.cell_contents
        except ValueError:
            return
        cell.cell_contents = self(contents, (("cell", old), ("cell", None)))

    def _object(self, obj, path, live):
        cls = type(obj)
        new = self._memo[id(obj)] = bare(cls)
        before = attributes(obj)
        after = {name: self(x, (*path, ("attribute", name)), live) for name, x in before.items()}
        changed = any(after[name] is not x for name, x in before.items())
        methods = self._class(cls)
        if not changed and methods is cls and not self.copies:
            self._memo[id(obj)] = obj
            return obj
        for name, x in after.items():
            object.__setattr__(new, name, x)  # frozen dataclasses too
        if methods is not cls:
            new.__class__ = methods
        self._objects.append((obj, new, after))
        return new

    def _class(self, cls):
        """`cls`, or a subclass of it whose methods see traced globals."""
        if cls not in self._classes:
            self._classes[cls] = cls
            if not dataclasses.is_dataclass(cls) or _methods(cls):
                new = {name: self(f, (("class", cls), ("attribute", name))) for name, f in _methods(cls)
                       if _is_cached(f) or _reaches_substitutes(f)}  # fmt: skip
                if new:
                    self._classes[cls] = type(cls.__name__, (cls,), {**new, "__module__": cls.__module__, "__slots__": ()})
        return self._classes[cls]

    def write_back(self):
        """Plain values that the function bound to attributes of its objects or to globals reach the originals."""
        for original, new, before in self._objects:
            for name, value in attributes(new).items():
                if before.get(name, _MISSING) is not value and _is_plain(value):
                    object.__setattr__(original, name, unmarked(value))


def leave_numbers(reached, trace):
    """What the function of `trace` left in objects that it reaches, a log or a cache: numbers in place of traced values."""
    seen: set[int] = set()
    for obj in reached:
        _plain_left(obj, trace, seen)


def _plain_left(obj, trace, seen):
    """`obj`, or the number of a traced value; containers are changed in place."""
    if isinstance(obj, Traced):
        number = concrete_of(obj)
        return obj if obj.home is not trace else number.copy() if type(number) is np.ndarray else number
    if id(obj) in seen:
        return obj
    if isinstance(obj, list):
        places, setter = enumerate(obj), obj.__setitem__
    elif isinstance(obj, dict):
        places, setter = list(obj.items()), obj.__setitem__
    elif isinstance(obj, tuple):
        new = [_plain_left(x, trace, seen) for x in obj]
        changed = any(a is not b for a, b in zip(new, obj, strict=True))
        return (type(obj)(*new) if hasattr(obj, "_fields") else type(obj)(new)) if changed else obj
    elif is_user_object(obj):
        places, setter = attributes(obj).items(), functools.partial(object.__setattr__, obj)
    else:
        return obj
    seen.add(id(obj))
    for key, x in places:
        new = _plain_left(x, trace, seen)
        if new is not x:
            setter(key, new)
    return obj


_MISSING = object()


def _is_plain(value):
    return isinstance(value, (int, float, str, bool, type(None))) and not isinstance(value, Traced)


def _reaches_substitutes(f):
    walk = Walk()
    walk.scan(f, (("function", f),), False)
    return any(leaf.kind == "array" or isinstance(leaf.value, GENERATORS) or is_needed(leaf.value) for leaf in walk.leaves)


def _substitute(obj):
    """What stands for an object that is no container, function or object of the user."""
    return NoRandom() if isinstance(obj, GENERATORS) else stand_in(obj)


def _import(name, *args):
    """The import statement of a function that reads the clock."""
    return stand_in(builtins.__import__(name, *args))


class NoRandom:
    """Stands for a random generator that the function reaches."""

    def __getattr__(self, name):
        trace = CURRENT.get()
        raise TraceError(
            f"a random generator is used inside the traced function (method {name!r}{'' if trace is None else trace.at()}): its "
            "numbers would be frozen in the tape; draw them outside and pass them as an argument"
        )
