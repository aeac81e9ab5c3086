"""The way back from what a traced function sees to the user's own objects: for functions that are called outside of the trace."""

from __future__ import annotations

import types

from sparsead.ops.effect import contents_of_cell
from sparsead.tracing._traced import Traced
from sparsead.tracing.libraries import global_names


class Originals:
    """The way back: the user's own object for one that the traced function sees.

    Parameters
    ----------
    given, captured : Replacement
        Of the arguments and of the function.
    outer : Originals or None
        Of the enclosing trace.
    """

    def __init__(self, given, captured, outer):
        self.replacements, self.outer = (given, captured), outer

    def __call__(self, obj):
        """The object that `obj` stands for; a function made in the traced one, on the user's objects; else `obj` itself."""
        found = self._known().get(id(obj), obj)
        if found is obj and type(obj) is types.MethodType:
            found = self._method(obj)
        elif found is obj and type(obj) is types.FunctionType:
            found = self._function(obj)
        return found if self.outer is None else self.outer(found)

    def computed(self, function):
        """Names of traced values that `function` reads by itself and that stand for nothing of the user's."""
        for name, value in _read_by(function):
            if isinstance(value, Traced) and isinstance(self(value), Traced):
                yield name

    def _known(self):
        given, captured = self.replacements
        pairs = [(obj, new) for obj, new in given.replaced() if not isinstance(new, Traced)]
        # An array that the function writes is scratch: what the caller's holds has nothing to do with it.
        pairs += [(obj, new) for obj, new in captured.replaced() if not isinstance(new, Traced) or _is_untouched(new)]
        return {id(new): obj for obj, new in pairs if new is not obj}

    def _method(self, method):
        owner = self(method.__self__)
        return method if owner is method.__self__ else getattr(owner, method.__name__)

    def _function(self, f):
        namespaces = {id(new): old for r in self.replacements for old, new in r.namespaces()}
        cells = [cell if _is_empty(cell) else types.CellType(self(cell.cell_contents)) for cell in f.__closure__ or ()]
        same = all(_is_empty(c) or c.cell_contents is x.cell_contents for c, x in zip(f.__closure__ or (), cells, strict=True))
        if id(f.__globals__) not in namespaces and same:
            return f
        namespace = namespaces.get(id(f.__globals__), f.__globals__)
        new = types.FunctionType(f.__code__, namespace, f.__name__, f.__defaults__, tuple(cells) if f.__closure__ else None)
        new.__kwdefaults__ = f.__kwdefaults__
        return new


def _is_untouched(traced):
    return traced.storage.version == traced.storage.first


def _is_empty(cell):
    try:
        return cell.cell_contents is None
    except ValueError:
        return True


def _read_by(function):
    """(name, value) of what a function can read besides its arguments: captured variables, globals, attributes of its object."""
    owner, inner = getattr(function, "__self__", None), getattr(function, "__func__", function)
    if not isinstance(inner, types.FunctionType):
        owner, inner = function, vars(type(function)).get("__call__")
    if not isinstance(inner, types.FunctionType):
        return
    names = global_names(inner.__code__)
    for name, cell in zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True):
        yield from ((name, x) for x in contents_of_cell(cell))
    yield from ((name, inner.__globals__[name]) for name in sorted(names & inner.__globals__.keys()))
    yield from ((f"self.{name}", x) for name, x in getattr(owner, "__dict__", {}).items() if name in names)
