"""`autodiff` and `autodiff_thunk`: from annotations to sweeps."""

from __future__ import annotations

import threading
import types

from sparsead.activities import annotations as said
from sparsead.activities.call import NOTHING, Call
from sparsead.activities.function import Activities
from sparsead.activities.halves import Tape
from sparsead.activities.modes import check_mode
from sparsead.activities.structures import Pairs
from sparsead.tracing.substitution import is_user_object

_derivatives: dict = {}
_lock = threading.Lock()
KEPT = 256  # functions with activities whose recordings are at hand


def autodiff(mode, f, *args, hidden=None, zero_shadows=False, engine="auto"):
    """Derivatives of a function that may mutate its arguments, by activities and shadows.

    Parameters
    ----------
    mode : Mode
        `Forward` and `ForwardWithPrimal` compute tangents, `Reverse` and `ReverseWithPrimal` adjoints.
    f : callable
        Or ``Const(f)``, or ``Duplicated(f, df)`` for a closure or an object whose arrays have shadows.
    *args
        First the activity of the return, a class, which may be left out: ``Const`` (no derivative), ``Active`` (one number,
        seeded with 1 in reverse) or ``Duplicated`` (in forward modes). Then the arguments of `f`, each in an annotation:
        ``Const(x)``, ``Active(x)``, ``Duplicated(x, dx)``, ``WriteOnly(x, dx)``, ``BatchDuplicated(x, (dx1, dx2))``,
        ``MixedDuplicated(x, Ref(dx))``. An argument without floating numbers may come as it is, and in reverse modes a number.
    hidden : {None, "shadow", "detach"}
        What becomes of a derivative that `f` stores into memory without a shadow. None: into a Const argument it raises; arrays
        that `f` captured are scratch, with hidden shadows that begin as zeros. "shadow": Const arguments have hidden shadows
        as well. "detach": derivatives are dropped there.
    zero_shadows : bool
        In reverse modes, shadows of what `f` does not write begin as zeros: they hold the derivative of this call alone, whatever
        was left in them. Those of what `f` writes are seeds, as ever.
    engine : {"auto", "native", "vm", "reference"}
        As for `grad`.

    Returns
    -------
    tuple
        The derivative, then with a WithPrimal mode the value of `f`. In forward modes the derivative is the tangent of the
        return, and missing if that is Const: ``(dret, value)``, ``(dret,)``, ``(value,)`` or ``()``. In reverse modes it is a
        tuple with one entry for each argument, None unless it is Active: ``((d1, .., dn), value)`` or ``((d1, .., dn),)``. With N
        shadows a tangent, and the derivative of an Active argument, is a tuple of N.

    Raises
    ------
    TypeError
        Activities that the mode does not have, or that do not fit the values; a complex Active return in `Reverse`;
        ActivityError, which is one: a derivative would be lost in memory that has no shadow, or an array that is only to be
        written is read.
    ValueError
        Shadows that do not match their arguments: structure, shape, dtype, strides, memory that is shared or not; different
        numbers of lanes.
    NotImplementedError
        Something in `f` has no derivative rule, or none by complex numbers.

    Notes
    -----
    `f` is really executed: arguments hold what it left in them. The state before the call and the state after it, with the
    returned value, have one Jacobian J. A tangent shadow becomes ``J @ shadow``. An adjoint shadow is that of the state after the
    call when it goes in, and of the state before when it comes out: ``J.T @ shadow``, plus what the seed of the return gives. So
    the shadow of what is only read is added to, that of what is overwritten is taken and becomes zero, and ``x *= 2`` doubles it.
    If anything raises, arguments and shadows are as they were.

    The shadow of a complex number is that of its real part plus i times that of its imaginary part, so J.T is the transpose with
    conjugates: seed 1 gives ``conj(df/dz)`` of a holomorphic function, in `ReverseHolomorphic` ``df/dz``.

    The semantics are those of Enzyme: Moses and Churavy, NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> from sparsead import Active, Const, Duplicated, Reverse, ReverseWithPrimal, autodiff
    >>> def step(x, y):
    ...     y[:] = x * x
    >>> x, dx = np.array([1.0, 2.0]), np.zeros(2)
    >>> y, dy = np.zeros(2), np.array([1.0, 10.0])
    >>> autodiff(Reverse, step, Const, Duplicated(x, dx), Duplicated(y, dy))
    ((None, None),)
    >>> dx, dy
    (array([ 2., 40.]), array([0., 0.]))
    >>> autodiff(ReverseWithPrimal, lambda a, b: a * b, Active, Active(2.0), Active(3.0))
    ((3.0, 2.0), 6.0)

    """
    if check_mode(mode).split:
        raise TypeError(f"{mode!r} is split into two calls: use autodiff_thunk, or the combined mode")
    returned, args = _return_of(args)
    call = prepared_call(mode, f, returned, args, hidden, engine, zero_shadows)
    return call.derivative._run(call.values, {}, call.work)


def _return_of(args):
    """(activity of the return or None, the arguments)."""
    return (args[0], args[1:]) if args and said.is_activity(args[0]) else (None, args)


def prepared_call(mode, f, returned, args, hidden, engine, zero_shadows=False):
    """The `Call` that the parameters of `autodiff` describe."""
    own, function, lead, front = (None, f, None, ()) if type(f) is types.FunctionType else _called(f)
    args = [a if type(a) in said.KINDS else said.guessed(a, mode, f"argument {k}") for k, a in enumerate(args)]
    annotations = (*front, *args)
    kinds = tuple([type(a) for a in annotations])
    captured = _captured(own) if own is not None and not front else NOTHING
    key = (id(function), kinds, type(own), returned, id(mode), captured, hidden, engine, lead)
    derivative = _derivatives.get(key)
    if derivative is None:
        check_activities(mode, returned, kinds)
        derivative = Activities(function, kinds, own and type(own), _plain_kind(returned), mode, captured, hidden, engine, lead)
        with _lock:
            while len(_derivatives) >= KEPT:
                _derivatives.pop(next(iter(_derivatives)))
            _derivatives[key] = derivative
    return Call(derivative, annotations, None if front else own, len(front), zero_shadows)


def _called(f):
    """(annotation of the function or None, the function that is traced, what it is bound to, annotations of that).

    An object that is called, and that of a method, is the first argument of a function.
    """
    own, f = (f, f.value) if isinstance(f, said.Annotation) else (None, f)
    if isinstance(own, said.Active):
        raise TypeError("a function is Const or Duplicated, never Active")
    shadows = () if own is None else own.shadows
    if isinstance(f, types.MethodType) and isinstance(f.__func__, types.FunctionType):
        return own, f.__func__, "method", (_alike(own, f.__self__, tuple(s.__self__ for s in shadows)),)
    if is_user_object(f) and callable(f):
        return own, type(f).__call__, "object", (_alike(own, f, shadows),)
    return own, f, None, ()


def _alike(own, value, shadows):
    """An annotation like `own` for the object that is called."""
    if not shadows:
        return said.Const(value)
    return type(own)(value, tuple(shadows)) if own.batch else type(own)(value, shadows[0])


def _captured(own):
    pairs = Pairs()
    if own.shadows:
        pairs.enter(own.value, own.shadows, (("function", own.value),))
    return frozenset(pairs.arrays)


def _plain_kind(returned):
    return {said.BatchDuplicated: said.Duplicated, said.BatchMixedDuplicated: said.MixedDuplicated}.get(returned, returned)


def check_activities(mode, returned, kinds):
    """TypeError for activities that a mode does not have."""
    if mode.forward and said.Active in kinds:
        raise TypeError(f"{mode!r} has no Active arguments: the tangent of a number is its shadow, Duplicated(x, dx)")
    if mode.forward and any(kind in said.MIXED for kind in kinds):
        raise TypeError(f"{mode!r} has no MixedDuplicated arguments: Duplicated(x, dx) takes any structure there")
    if returned in said.WRITE_ONLY:
        raise TypeError(f"{returned.__name__} is for arguments; a return is Const, Active or Duplicated")
    if mode.forward and (returned is said.Active or returned in said.MIXED):
        raise TypeError(f"{mode!r} has no {returned.__name__} return: its tangent is asked for with Duplicated")
    if not mode.forward and not mode.split and returned not in (None, said.Const, said.Active):
        raise TypeError(
            f"{mode!r} has no {returned.__name__} return, as nobody could seed it: write the result into an argument, use the "
            "split mode, autodiff_thunk(ReverseSplitWithPrimal, f, Duplicated, ...), or sparsead.vjp with a seed"
        )
    if mode.holomorphic and any(kind.batch for kind in kinds):
        raise TypeError(f"{mode!r} takes no batches: it is one itself")


def autodiff_thunk(mode, f, returned, *kinds, hidden=None, engine="auto"):
    """The two halves of a reverse sweep as functions, for all that a combined mode cannot seed.

    Parameters
    ----------
    mode : Mode
        `ReverseSplitWithPrimal` or `ReverseSplitNoPrimal`. With `Forward` or `ForwardWithPrimal` there is one function, which
        gives what `autodiff` gives.
    f : callable
        As for `autodiff`.
    returned : type
        Activity of the return: ``Const``, ``Active``, ``Duplicated`` or ``MixedDuplicated``.
    *kinds : type
        Activity of each argument, or an annotated argument that has it. If none are given: those that the first half is called
        with.
    hidden, engine
        As for `autodiff`.

    Returns
    -------
    forward : callable
        ``forward(*args) -> (tape, value, shadow)``, with annotated arguments as for `autodiff`. It runs `f`. `value` is None in
        `ReverseSplitNoPrimal`. `shadow` is that of the return where it is Duplicated: zeros for new memory, and the shadow of an
        argument (or a view of it) if `f` returns the argument: add the seed to it. A MixedDuplicated return has it in a `Ref`.
        Else None.
    reverse : callable
        ``reverse(*args, tape)``, or ``reverse(*args, seed, tape)`` if the return is Active or MixedDuplicated, gives
        ``((d1, .., dn),)``. With N shadows the seed is a tuple of N.

    Raises
    ------
    TypeError
        As for `autodiff`; or a half is called with arguments of another number or other activities, or without its seed.
    RuntimeError
        A tape is used for a second time. `vjp` gives a pullback that may be called many times.

    Notes
    -----
    All that the second half needs is on the tape: arguments may be modified between the two. Shadows go in and come out as those
    of `autodiff`; new memory that shadows were made for is consumed. Numbers and arrays that `f` puts into structures get shadows
    with zeros there, which the second half takes out again.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> from sparsead import Duplicated, ReverseSplitWithPrimal
    >>> forward, reverse = sparsead.autodiff_thunk(ReverseSplitWithPrimal, lambda x: 2 * x, Duplicated, Duplicated)
    >>> x, dx = np.array([1.0, 2.0]), np.zeros(2)
    >>> tape, value, shadow = forward(Duplicated(x, dx))
    >>> shadow += [1.0, 10.0]
    >>> reverse(Duplicated(x, dx), tape)
    ((None,),)
    >>> dx
    array([ 2., 20.])

    """
    if not said.is_activity(returned):
        raise TypeError(f"the third argument is the activity of the return, such as sparsead.Active, not {returned!r:.60}")
    kinds = tuple(type(kind) if isinstance(kind, said.Annotation) else kind for kind in kinds)
    for kind in kinds:
        if not said.is_activity(kind):
            raise TypeError(f"after the return come activities of arguments, such as sparsead.Duplicated, not {kind!r:.60}")
    if check_mode(mode).forward:
        check_activities(mode, returned, kinds)
        return lambda *args: autodiff(mode, f, returned, *_counted(f, kinds, args), hidden=hidden, engine=engine)
    if not mode.split:
        raise TypeError(f"{mode!r} is not split: use ReverseSplitWithPrimal or ReverseSplitNoPrimal, or autodiff")
    check_activities(mode, returned, kinds)

    def forward(*args):
        call = prepared_call(mode, f, returned, _counted(f, kinds, args), hidden, engine)
        return call.derivative._run(call.values, {}, call.work)

    def reverse(*args):
        if not args or not isinstance(args[-1], Tape):
            raise TypeError("the reverse half takes the arguments, the seed of an Active return, and last the tape")
        *args, tape = args
        seed, args = _seed_of(tape, args)
        call = prepared_call(mode, f, returned, _counted(f, kinds, args), hidden, engine)
        return tape.run(call, seed)

    return forward, reverse


def _counted(f, kinds, args):
    """The arguments of a half, without the function if that was passed too; TypeError if there are too many or too few."""
    value = f.value if isinstance(f, said.Annotation) else f
    if args and (args[0] is value or (isinstance(args[0], said.Annotation) and args[0].value is value)):
        args = args[1:]
    if kinds and len(kinds) != len(args):
        raise TypeError(f"{len(kinds)} arguments were announced ({_names(kinds)}), {len(args)} are given")
    for k, (kind, x) in enumerate(zip(kinds, args, strict=False)):
        if isinstance(x, said.Annotation) and type(x) is not kind:
            raise TypeError(f"argument {k} is {type(x).__name__}, but {kind.__name__} was announced")
    return tuple(args)


def _names(kinds):
    return ", ".join(kind.__name__ for kind in kinds)


def _seed_of(tape, args):
    """(seed or None, the arguments) of a reverse half."""
    n = len(tape.call.annotations) - tape.call.hidden
    wanted = tape.sweep.takes_seed
    rest = args[1:] if len(args) == n + 1 + wanted else args
    if len(rest) != n + wanted:
        what = f"{n} arguments, " + ("the seed of the return, " if wanted else "") + "and the tape"
        raise TypeError(f"the reverse half takes {what}; here are {len(args)} before the tape")
    if wanted and isinstance(rest[-1], said.Annotation) and not isinstance(rest[-1], said.Ref):
        raise TypeError("the seed of the return is missing before the tape")
    return (rest[-1], args[:-1]) if wanted else (None, args)
