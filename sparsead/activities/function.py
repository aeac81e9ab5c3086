"""A function with activities: its recordings, and the sweeps that are made of them.

Everything is one Jacobian J, from what the arguments held before the call to what they hold after it and to what was returned.
Memory that the call does not write has the identity there: in reverse its shadow goes into the sweep as an adjoint that comes in
and is added to. Memory that it writes is an output of the tape, and its shadow is the seed of that output.
"""

from __future__ import annotations

from sparsead.activities import annotations as said
from sparsead.activities.adjoints import HolomorphicSweep, ReverseSweep
from sparsead.activities.halves import SplitSweep
from sparsead.activities.states import At, Collector, Made, Number, Plain
from sparsead.activities.structures import is_differentiable, is_frozen, walked
from sparsead.activities.sweeps import outputs_of
from sparsead.activities.tangents import ForwardSweep
from sparsead.derivatives.inputs import is_under, places_of
from sparsead.derivatives.prepared import Derivative, Prepared, state_of
from sparsead.engine import check_engine
from sparsead.tracing._binding import Binder
from sparsead.tracing.errors import ActivityError
from sparsead.tracing.record import name_of, record, signature
from sparsead.tracing.substitution import is_user_object, path_text, resolve

HIDDEN = (None, "shadow", "detach")


class Activities(Derivative):
    """A function with the activities of its arguments, of itself and of its return.

    Parameters
    ----------
    function : callable
    kinds : tuple of type
        Annotation of each argument.
    own : type or None
        That of the function itself; None: it came without one.
    returned : type or None
        Of the return; None: guessed.
    mode : Mode
    captured : frozenset of tuple
        Paths of captured arrays that have shadows.
    hidden : {None, "shadow", "detach"}
    engine : str
    lead : {None, "object", "method"}
        What the first argument is, if it is what is called.
    """

    kind = "autodiff"

    def __init__(self, function, kinds, own, returned, mode, captured, hidden, engine, lead):
        from sparsead.engine import vm  # noqa: F401  (before any trace: it takes from NumPy by name what traces replace there)

        if not callable(function):
            raise TypeError(f"sparsead.autodiff takes a function after the mode, got {type(function).__name__}")
        check_engine(engine, False)
        if hidden not in HIDDEN:
            raise ValueError(f"hidden={hidden!r} is unknown: it is 'shadow' or 'detach'")
        self.function, self.kinds, self.own, self.returned, self.mode = function, kinds, own, returned, mode
        self.captured, self.hidden, self.engine, self.fast, self.lead = captured, hidden, engine, False, lead
        self.has_aux, self.options = False, {}
        name, parameters = name_of(function), list(signature(function).parameters.values())
        self.places: tuple = ()
        try:
            self.places = places_of(tuple(range(len(kinds))), "argument", name, parameters) if kinds else ()
        except ValueError:  # too many arguments: binding them says so in Python's words
            pass
        self.wrt = tuple(p for p, kind in zip(self.places, kinds, strict=False) if kind is not said.Const)
        self.wrt_given, self.of_given = self.wrt, "return"
        self.index = {place: k for k, place in enumerate(self.places)}
        self.mixed_places = [place for place, kind in zip(self.places, kinds, strict=False) if kind in said.MIXED]
        self.mixed = bool(self.mixed_places) or said.Active in kinds
        self.batched = mode.width > 0 or any(kind.batch for kind in (*kinds, own or said.Const))
        self._binder = Binder(function)
        role = (Activities, kinds, own, returned, mode, captured, hidden, engine, lead)
        self._state = state_of(function, role)

    @property
    def name(self):
        """Of the function, for messages."""
        return name_of(self.function)

    # ---- recordings --------------------------------------------------------------------------------------------------

    def _record(self, bound, function=None):
        names = dict(bound.arguments)
        recording = record(
            function or self.function, bound, self.is_active,
            Collector(names, self.returned is said.Active or (self.returned is None and not self.mode.forward)),
            self._barrier, copies=True,
        )  # fmt: skip
        self._check_memory(recording)
        self._check_structures(names)
        self._check_own(recording, names)
        self._check_numbers(recording)
        self._check_parts(recording.outputs)
        prepared = Prepared(recording, self.wrt, engine=self.engine, name=f"sparsead.autodiff of {name_of(self.function)}")
        self._check_return(prepared)
        return prepared

    def is_active(self, path):
        """Whether the array or number at `path` has a derivative."""
        return any(is_under(path, place) for place in self.wrt) or (path[0][0] == "function" and path in self.captured)

    def _barrier(self, path):
        """What becomes of derivatives that are stored at `path`: Const memory carries none, nor does a Const function's."""
        if any(is_under(path, place) for place, kind in zip(self.places, self.kinds, strict=True) if kind in said.WRITE_ONLY):
            return "unread"
        if self.hidden == "shadow" or self.is_active(path):
            return None
        captured = path[0][0] != "argument" or (self.lead is not None and is_under(path, self.places[0]))
        if not captured or self.own is said.Const:
            return "detach" if self.hidden == "detach" else "raise"
        return "detach" if self.hidden == "detach" else None

    def _check_memory(self, recording):
        for block in recording.blocks:
            paths = [recording.arrays[k].path for k in block.members]
            active = [self.is_active(path) for path in paths]
            if any(active) and not all(active):
                a, b = paths[active.index(True)], paths[active.index(False)]
                raise ValueError(f"{path_text(b)}, which is Const, shares memory with {path_text(a)}, which has a shadow")

    def _check_structures(self, names):
        """ValueError if something is Const in one place and has a shadow in another."""
        const, others = ({}, {})
        for place, kind in zip(self.places, self.kinds, strict=True):
            found = const if kind is said.Const else others
            found.update((id(part), part) for part in walked(resolve(place, names)))
        for key in const.keys() & others.keys():
            if isinstance(const[key], (list, dict)) or is_user_object(const[key]):
                if is_differentiable(const[key]):
                    kind = type(const[key]).__name__
                    raise ValueError(f"a {kind} is reached from a Const argument, and from one with a shadow")

    def _check_numbers(self, recording):
        """In reverse, the adjoint of a number is given back: it has no place where it could be put."""
        for place, kind in zip(self.places, self.kinds, strict=True):
            if not self.mode.forward and kind in said.DUPLICATED and any(leaf.path == place for leaf in recording.floats):
                raise TypeError(f"{path_text(place)} is a number, whose shadow cannot change: in reverse modes it is Active(x)")

    def _check_parts(self, post):
        """Numbers and arrays with derivatives that are put into Const structures would lose them."""
        for change in post.changes:
            own = self.lead is not None and is_under(change.path, self.places[0]) and self.own is not said.Const
            if self.hidden == "shadow" or own or self.has_shadow(change.path):
                continue
            if any(post.carrying[k] for k in outputs_of(change.node)):
                raise ActivityError(
                    f"{path_text((*change.path, change.step))} is given a value with a derivative, but {path_text(change.path)} "
                    'is Const: make it Duplicated, or say hidden="shadow"'
                )

    def _check_own(self, recording, names):
        """An object that is called and changes has to say what its state is."""
        if self.own is not None or self.lead != "object":
            return
        place = self.places[0]
        written = [recording.arrays[k].path for b in recording.outputs.written if b < len(recording.blocks)
                   for k in recording.blocks[b].members]  # fmt: skip
        written += [change.path for change in recording.outputs.changes]
        for path in written:
            if is_under(path, place):
                what = type(names[place[0][1]]).__name__
                raise ActivityError(
                    f"the {what} that is called writes its own {path_text(path)}: say what that is, with "
                    "Duplicated(f, make_zero(f)) where it carries derivatives, with Const(f) where it does not"
                )

    # ---- the return --------------------------------------------------------------------------------------------------

    def return_kind(self, prepared):
        """Activity of the return: the one given, or the one that the returned value calls for."""
        return prepared.once(("return", prepared.outputs.signature), lambda: self._return_kind(prepared.outputs))

    def _return_kind(self, post):
        if self.returned is not None:
            return self.returned
        if not carries(post.returned):
            return said.Const
        if self.mode.forward:
            return said.Duplicated
        return said.Active if post.active is not None else said.Duplicated

    def _check_return(self, prepared):
        post, kind, name = prepared.outputs, self.return_kind(prepared), name_of(self.function)
        if kind is said.Const:
            return
        if not carries(post.returned) and not (kind is said.Active and post.active is not None):
            what = described(post.returned)
            raise TypeError(f"{name} returns what has no derivative ({what}): its return is Const, not {kind.__name__}")
        if self.mode.forward:
            return
        if kind is said.Active and not self.mode.split and not self.mode.holomorphic and is_complex_at(prepared, post.active):
            raise TypeError(
                f"{name} returns a complex number, whose derivative in {self.mode!r} is ambiguous: use ReverseHolomorphic, "
                "return its real or imaginary part, or use the split mode or sparsead.vjp with a seed"
            )
        if kind is said.Active and post.active is None:
            raise TypeError(
                f"{name} returns {described(post.returned)}, and an Active return is one number: use sparsead.jacobian, "
                "sparsead.vjp with a seed, or the split mode, autodiff_thunk(ReverseSplitWithPrimal, f, Duplicated, ...)"
            )
        if kind is said.Duplicated and self.mode.split and fixed_number(post.returned):
            raise TypeError(
                f"{name} returns {described(post.returned)}, with a number whose shadow cannot change: its return is Active "
                "if it is one number, else MixedDuplicated"
            )
        if kind is not said.Active and not self.mode.split:
            raise TypeError(
                f"{name} returns {described(post.returned)}, and a combined reverse mode has no seed for it: write the result "
                "into an argument, use the split mode, autodiff_thunk(ReverseSplitWithPrimal, f, Duplicated, ...), or "
                "sparsead.vjp with a seed"
            )

    # ---- sweeps ------------------------------------------------------------------------------------------------------

    def has_shadow(self, path):
        """Whether what stands at `path` belongs to an argument with a shadow."""
        return any(is_under(path, place) for place in self.wrt)

    def sweep(self, prepared, width):
        """What is run for calls with so many lanes (0: shadows come alone)."""
        found = prepared.once(("sweep", width, prepared.outputs.signature), lambda: self._made(prepared, width))
        return found if found.post is prepared.outputs else found.bound_to(prepared)

    def _made(self, prepared, width):
        if self.mode.forward:
            return ForwardSweep(self, prepared, width)
        if self.mode.split:
            return SplitSweep(self, prepared, width)
        seeded = self.return_kind(prepared) is said.Active and is_complex_at(prepared, prepared.outputs.active)
        return (HolomorphicSweep if seeded else ReverseSweep)(self, prepared, width)


def is_complex_at(prepared, output):
    """Whether an output of the tape, if it is one, is complex."""
    return output is not None and prepared.tape.type(prepared.tape.outputs[output]).is_complex


def carries(node):
    """Whether there are floating numbers in what a node makes."""
    if isinstance(node, Made):
        return any(carries(part) for part in node.parts)
    if isinstance(node, Plain):
        return is_differentiable(node.value)
    return isinstance(node, At) or node.dtype.kind in "fc"


def fixed_number(node):
    """Whether a floating number in what a node makes stands where it cannot be exchanged."""
    if isinstance(node, Number):
        return node.dtype.kind in "fc"
    if not isinstance(node, Made):
        return False
    frozen = is_frozen(node.pattern)
    return any(fixed_number(part) for part in node.parts if frozen or not isinstance(part, Number))


def described(node):
    """What a node makes, in words."""
    if isinstance(node, Plain):
        return "None" if node.value is None else f"a {type(node.value).__name__}"
    if isinstance(node, Made):
        return f"a {type(node.pattern).__name__}"
    if isinstance(node, Number):
        return f"a number of dtype {node.dtype}"
    return path_text(node.path) if isinstance(node, At) else f"an array of shape {node.shape}"
