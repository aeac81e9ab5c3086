"""What a differentiated function gives: the outputs that carry derivatives, and what comes along."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from sparsead.derivatives.inputs import at_place
from sparsead.tracing._traced import Traced, TracedArray, TracedScalar
from sparsead.tracing.errors import TraceError
from sparsead.tracing.substitution import path_text


class Slot:
    """Stands in a structure for output number `index`."""

    __slots__ = ("index", "scalar")

    def __init__(self, index, scalar):
        self.index, self.scalar = index, scalar


@dataclass
class Outputs:
    """Structures with `Slot` for each traced value.

    Attributes
    ----------
    leaves : list
        The values themselves, in the order of the slots.
    targets : list
        One structure for each entry of ``of``.
    aux : object
        Structure of the auxiliary result; None without ``has_aux``.
    n_targets : int
        The first so many leaves belong to `targets`.
    """

    leaves: list
    targets: list
    aux: Any
    n_targets: int


def collect(name, of, has_aux):
    """The function that makes `Outputs` of what the traced function returned."""

    def collector(returned, arguments):
        leaves: list = []
        value, aux = _split_aux(name, returned) if has_aux else (returned, None)
        targets = [_target(name, item, value, arguments, leaves) for item in of]
        n_targets = len(leaves)
        return Outputs(leaves, targets, structure(aux, leaves, None), n_targets)

    return collector


def _split_aux(name, returned):
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"{name} has to return (value, aux) because has_aux=True was given; it gave {type(returned).__name__}")
    return returned


def _target(name, item, value, arguments, leaves):
    if item == "return":
        if value is None:
            raise TypeError(
                f"{name} returned None, so there is nothing to differentiate: if it writes its result into an argument, name "
                'that argument with of=, for example of="dy"'
            )
        return structure(value, leaves, f"the value returned by {name}")
    argument = at_place(item, "of", arguments)
    if isinstance(argument, (TracedScalar, int, float, complex)):
        raise TypeError(f"of={path_text(item)}: {name} was given a number there, which it cannot write; pass an array")
    first = len(leaves)
    found = structure(argument, leaves, f"argument {path_text(item)} of {name}")
    for leaf in leaves[first:]:
        if isinstance(leaf, Traced):
            leaf.home.check_swapped(leaf)
    return found


def structure(obj, leaves, what):
    """`obj` with slots for its numbers, which are appended to `leaves`; `what` names it in errors, None: anything goes."""
    if isinstance(obj, (TracedArray, TracedScalar)):
        leaves.append(obj)
        return Slot(len(leaves) - 1, isinstance(obj, TracedScalar))
    if isinstance(obj, dict):
        return {k: structure(x, leaves, what) for k, x in obj.items()}
    if isinstance(obj, tuple) and hasattr(obj, "_fields"):
        return type(obj)(*(structure(x, leaves, what) for x in obj))
    if isinstance(obj, (list, tuple)):
        return type(obj)(structure(x, leaves, what) for x in obj)
    if is_dataclass(obj) and not isinstance(obj, type):
        return replace(obj, **{f.name: structure(getattr(obj, f.name), leaves, what) for f in fields(obj)})
    if what is None:
        return obj
    if isinstance(obj, (complex, np.complexfloating)):
        leaves.append(complex(obj))  # depends on no input: its derivative is zero
        return Slot(len(leaves) - 1, True)
    if isinstance(obj, (float, int, np.floating, np.integer)) and not isinstance(obj, bool):
        leaves.append(float(obj))
        return Slot(len(leaves) - 1, True)
    if isinstance(obj, np.ndarray) and obj.dtype.kind in "fiuc":
        leaves.append(obj.astype(np.result_type(obj, float)))
        return Slot(len(leaves) - 1, False)
    raise TypeError(f"{what} is {_kind(obj)}, which has no derivative: expected floating numbers or arrays of them")


def _kind(obj):
    if isinstance(obj, np.ndarray):
        return f"an array of dtype {obj.dtype} and shape {obj.shape}"
    return "None" if obj is None else f"of type {type(obj).__name__}"


def filled(obj, values):
    """A structure with each slot replaced by its value."""
    if isinstance(obj, Slot):
        value = values[obj.index]
        return value[()] if obj.scalar and isinstance(value, np.ndarray) else value
    if isinstance(obj, dict):
        return {k: filled(x, values) for k, x in obj.items()}
    if isinstance(obj, tuple) and hasattr(obj, "_fields"):
        return type(obj)(*(filled(x, values) for x in obj))
    if isinstance(obj, (list, tuple)):
        return type(obj)(filled(x, values) for x in obj)
    if is_dataclass(obj) and not isinstance(obj, type):
        return replace(obj, **{f.name: filled(getattr(obj, f.name), values) for f in fields(obj)})
    return obj


def slots(obj, found=None):
    """All slots of a structure, in order."""
    found = [] if found is None else found
    if isinstance(obj, Slot):
        found.append(obj)
    elif isinstance(obj, dict):
        for x in obj.values():
            slots(x, found)
    elif isinstance(obj, (list, tuple)):
        for x in obj:
            slots(x, found)
    elif is_dataclass(obj) and not isinstance(obj, type):
        for f in fields(obj):
            slots(getattr(obj, f.name), found)
    return found


__all__ = ["Outputs", "Slot", "TraceError", "Traced", "collect", "filled", "slots", "structure"]
