"""Rules of the user: derivatives of functions that cannot be traced, or that are better known than traced."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from sparsead.activities.annotations import Active, BatchDuplicated, Const, Duplicated
from sparsead.derivatives.black_box import outside_of_traces
from sparsead.sparsity.rules import RULES
from sparsead.tape._tape import Tape
from sparsead.tape.spec import BY_NAME, GuardFailed
from sparsead.tracing._traced import CURRENT, Traced, concrete_of
from sparsead.tracing.record import name_of, signature
from sparsead.tracing.registered import register


class RuleConfig(NamedTuple):
    """What a rule is asked for.

    Attributes
    ----------
    needs_primal : bool
        Whether the value of the function is wanted from the rule. It is not: values come from the function.
    needs_shadow : bool
        Whether the function returns something whose tangent is wanted, or whose adjoint comes as the seed.
    width : int
        Lanes; more than one only for rules that were registered with ``lanes=True``.
    overwritten : tuple of bool
        For each argument whether the function writes it: `reverse` finds there what it left.
    """

    needs_primal: bool
    needs_shadow: bool
    width: int
    overwritten: tuple


class Rule:
    """A function with a rule for its derivatives; made by `rule`."""

    def __init__(self, function, writes=(), partials=None, inactive=False, lanes=False):
        if not callable(function):
            raise TypeError(f"sparsead.rule takes a function, got {type(function).__name__}")
        self.function, self.inactive, self.lanes, self.name = function, inactive, lanes, name_of(function)
        self.writes = _places(function, writes)
        self.partials = None if partials is None else tuple(partials)
        if self.partials is not None and self.writes:
            raise ValueError(
                f"sparsead.rule({self.name}): partials are those of what is returned; use forward and reverse with writes="
            )
        self._forward = self._augmented = self._reverse = None
        functools.update_wrapper(self, function, updated=())
        register(function, self)

    def __call__(self, *args):
        """``f(*args)``; inside a traced function also a note of it on the tape."""
        trace = CURRENT.get()
        if trace is None or not any(isinstance(a, Traced) for a in args):
            return outside_of_traces(self.function, args)
        return RuledCall(self, args).traced(trace, args)

    def forward(self, f):
        """Register the rule of forward modes, ``f(config, *args) -> tangent of the return or None``.

        Arguments come annotated, as ``Const(x)`` or ``Duplicated(x, dx)``. The rule writes into them what the function writes,
        and into shadows the tangents of that.
        """
        self._forward = f
        return f

    def augmented_primal(self, f):
        """Register the first half of the rule of reverse modes, ``f(config, *args) -> (value, tape)``.

        Arguments come annotated, as ``Const(x)``, ``Duplicated(x, dx)`` and, numbers, ``Active(x)``. The rule writes into them
        what the function writes; what `reverse` needs besides goes on the tape, any object. Without it the function itself is
        called, and the tape is None.
        """
        self._augmented = f
        return f

    def reverse(self, f):
        """Register the second half of the rule of reverse modes, ``f(config, seed, tape, *args) -> (d1, .., dn)``.

        `seed` is the adjoint of the return, None if there is none. The rule adds to the shadows of what was read, takes and
        zeroes those of what was overwritten, and gives for each argument its derivative if it is Active, else None.
        """
        self._reverse = f
        return f

    def __repr__(self):
        return f"sparsead.rule({self.name})"

    def __reduce__(self):
        raise TypeError(f"{self!r} cannot be copied or pickled: its rules belong to this process")

    def __deepcopy__(self, memo):
        return self


def rule(f=None, *, writes=(), partials=None, inactive=False, lanes=False):
    """Give a function that cannot be traced, a compiled one for example, a rule for its derivatives.

    Parameters
    ----------
    f : callable
        ``f(*args)``: arrays and numbers of float64 or float32, and anything else, which is constant. It returns None, a number,
        an array, or a tuple of these; it may write into arguments that `writes` names. What it captures carries no derivative.
    writes : int, str, or tuple of these
        Arguments that `f` writes. The others arrive as read-only arrays.
    partials : tuple of callable or None
        The easy form, for an `f` that writes nothing and returns one number or array: for each argument ``p(value, *args)`` gives
        an array of shape ``value.shape + arg.shape``; None: no derivative.
    inactive : bool
        No derivative goes through the function.
    lanes : bool
        Rules take `BatchDuplicated` arguments and give tuples for many lanes at once; else they are called once for each.

    Returns
    -------
    Rule
        It is `f`, called from traced functions too. `Rule.forward`, `Rule.augmented_primal` and `Rule.reverse` are decorators
        that register its rules. Traced functions that reach `f` by a name of their own call the rule as well. Without `f` a
        decorator.

    Raises
    ------
    TypeError, ValueError
        Names in `writes` that `f` does not have; or, when it is called, a rule that gives the wrong number of results, a wrong
        shape or dtype. The message names the rule.
    NotImplementedError
        A derivative of a kind that has no rule, or a second one.

    Notes
    -----
    In reverse, `augmented_primal` is run again, on copies of what the arguments held, right before `reverse`.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> @sparsead.rule(writes="y")
    ... def scale_into(y, x, factor):
    ...     for k in range(len(x)):
    ...         y[k] = float(x[k]) * factor
    >>> @scale_into.reverse
    ... def _(config, seed, tape, y, x, factor):
    ...     by_factor = y.shadow @ x.value
    ...     if isinstance(x, sparsead.Duplicated):
    ...         x.shadow += factor.value * y.shadow
    ...     y.shadow[:] = 0
    ...     return None, None, by_factor
    >>> def f(x, factor):
    ...     y = x * 1.0
    ...     scale_into(y, x, factor)
    ...     return y @ y
    >>> sparsead.grad(f, wrt=(0, 1))(np.array([1.0, 2.0]), 3.0)
    (array([18., 36.]), np.float64(30.0))

    """
    if f is None:
        return lambda f: Rule(f, writes, partials, inactive, lanes)
    return Rule(f, writes, partials, inactive, lanes)


def _places(function, writes):
    names = list(signature(function).parameters)
    found = []
    for item in writes if isinstance(writes, tuple) else (writes,):
        if isinstance(item, str) and item not in names:
            raise ValueError(f"sparsead.rule({name_of(function)}): writes={item!r} is none of its arguments, {', '.join(names)}")
        found.append(names.index(item) if isinstance(item, str) else int(item))
    return tuple(found)


class Part(NamedTuple):
    """One part of what a call gives and writes: where it stands in the vector, and what it is."""

    at: int
    shape: tuple
    dtype: Any
    kind: type  # of a number

    def of(self, vector):
        """The part of a vector, as the function would give it."""
        n = int(np.prod(self.shape))
        part = vector[..., self.at : self.at + n]
        return part.reshape(part.shape[:-1] + self.shape).astype(self.dtype)


class RuledCall:
    """One call on a tape: what is fixed about it.

    Attributes
    ----------
    moving : list of int
        Positions of the arguments that are operands.
    written : list of int
        Positions of the arrays that are written.
    parts : list of Part
        Of the written arrays, then of what is returned.
    returns : {"none", "one", "tuple"}
    """

    def __init__(self, rule, args):
        self.rule, self.name, self.args = rule, repr(rule), list(args)
        self.moving = [k for k, a in enumerate(args) if isinstance(a, (Traced, np.ndarray))]
        self.kinds = {k: type(concrete_of(args[k])) for k in self.moving}
        self.floating = [k for k in self.moving if np.asarray(concrete_of(args[k])).dtype.kind == "f"]
        self.written = [k for k in rule.writes if k < len(args)]
        for k in self.written:
            if k not in self.floating or self.kinds[k] is not np.ndarray:
                raise TypeError(f"{self.name}: argument {k}, which is written, is no floating array")
        for k in self.moving:
            self.args[k] = None
        self.parts, self.returns, self.dtype, self.size = [], "none", np.dtype(float), 0

    def __repr__(self):
        return self.name

    # ---- in a trace --------------------------------------------------------------------------------------------------

    def traced(self, trace, args):
        """The call in a trace: its results, with what it writes stored into the arguments."""
        concrete = [concrete_of(args[k]) for k in self.moving]
        given, returned = self._called(concrete)
        self._plan([given[k] for k in self.written], returned)
        operands = [trace.c_order(trace.operand(args[k])) for k in self.moving]
        tape = Tape()
        inputs = [tape.add(BY_NAME["input"], (), [tape.pool.type(*_type(trace, v))])[0] for v in operands]
        tape.inputs = inputs
        tape.outputs = list(tape.add(BY_NAME["rule"], inputs, [tape.pool.type(self.dtype, (self.size,))], self))
        vector = self._flat([given[k] for k in self.written] + self._returned(returned))
        (made,) = trace.inline(tape, operands)
        result = trace.result(vector, made)
        if self.rule.inactive:
            result = trace.stop(result)
        for k, part in zip(self.written, self.parts, strict=False):
            args[k][...] = self._taken(result, part)
        return self._as_returned([self._taken(result, part) for part in self.parts[len(self.written) :]])

    def _taken(self, vector, part):
        n = int(np.prod(part.shape))
        taken = vector[part.at : part.at + n].reshape(part.shape).astype(part.dtype)
        return taken if part.kind is np.ndarray else taken[()]

    def _as_returned(self, parts):
        return None if self.returns == "none" else tuple(parts) if self.returns == "tuple" else parts[0]

    def _plan(self, written, returned):
        self.returns = "none" if returned is None else "tuple" if isinstance(returned, tuple) else "one"
        found = [*written, *self._returned(returned)]
        for x in found:
            if not isinstance(x, (np.ndarray, float, np.floating)) or np.asarray(x).dtype.kind != "f":
                raise TypeError(f"{self.name} returned {x!r:.40}: it has to give floating numbers, arrays of them, or None")
        for x in found:
            self.parts.append(Part(self.size, np.shape(x), np.asarray(x).dtype, type(x)))
            self.size += np.size(x)
        self.dtype = np.result_type(*(part.dtype for part in self.parts)) if self.parts else np.dtype(float)

    def _returned(self, returned):
        return [] if returned is None else list(returned) if isinstance(returned, tuple) else [returned]

    def _flat(self, parts):
        return np.concatenate([np.zeros(0, self.dtype), *(np.ravel(x) for x in parts)]).astype(self.dtype)

    # ---- values ------------------------------------------------------------------------------------------------------

    def _arguments(self, operands):
        """What the function is called with: copies in C order, read-only where it may not write."""
        args = list(self.args)
        for k, x in zip(self.moving, operands, strict=True):
            if self.kinds[k] is np.ndarray:
                args[k] = np.array(x, order="C")
                args[k].flags.writeable = k in self.written
            else:
                args[k] = self.kinds[k](np.asarray(x)[()])
        return args

    def _called(self, operands):
        args = self._arguments(operands)
        return args, outside_of_traces(self.rule.function, args)

    def value(self, operands):
        """All that the call gives and writes, as one vector."""
        args, returned = self._called(operands)
        found = [args[k] for k in self.written] + self._returned(returned)
        if [(np.shape(x), np.asarray(x).dtype) for x in found] != [(p.shape, p.dtype) for p in self.parts]:
            raise GuardFailed(f"{self.name} gave other shapes than in the trace")
        return self._flat(found)

    def _config(self, width):
        overwritten = tuple(k in self.written for k in range(len(self.args)))
        return RuleConfig(False, len(self.parts) > len(self.written), width, overwritten)

    # ---- tangents ----------------------------------------------------------------------------------------------------

    def tangents(self, operands, dots, lanes, flags):
        """The tangent of the vector, with lanes in front if there are any."""
        if not lanes:
            return self._tangents(operands, {k: [dot] for k, dot in dots.items()})[0]
        spread = {k: list(dot) if flag else [dot] * lanes for (k, dot), flag in zip(dots.items(), flags, strict=True)}
        if self.rule.lanes and self.rule._forward is not None:
            return np.stack(self._tangents(operands, spread))
        return np.stack([self._tangents(operands, {k: [d[lane]] for k, d in spread.items()})[0] for lane in range(lanes)])

    def _tangents(self, operands, dots):
        if self.rule._forward is None:
            return [self._by_partials(operands, dots)]
        args, width = self._arguments(operands), len(next(iter(dots.values())))
        shadows = {self.moving[i]: [np.array(d, np.asarray(operands[i]).dtype) for d in dot] for i, dot in dots.items()}
        for k in self.written:
            shadows.setdefault(k, [np.zeros_like(args[k]) for _ in range(width)])
        given = [self._shadowed(x, shadows.get(k), k) for k, x in enumerate(args)]
        found = outside_of_traces(self.rule._forward, [self._config(width), *given])
        found = list(found) if width > 1 else [found]
        if len(found) != width:
            raise ValueError(f"forward of {self.name} gave {len(found)} tangents for {width} lanes")
        returned = self.parts[len(self.written) :]
        return [
            self._flat([shadows[k][lane] for k in self.written] + self._checked(dret, returned, "forward"))
            for lane, dret in enumerate(found)
        ]

    def _shadowed(self, x, shadows, k):
        """An argument of a rule, annotated; numbers have numbers as their shadows."""
        if shadows is None:
            return Const(x)
        shadows = shadows if self.kinds[k] is np.ndarray else [self.kinds[k](s[()]) for s in shadows]
        return Duplicated(x, shadows[0]) if len(shadows) == 1 else BatchDuplicated(x, tuple(shadows))

    def _checked(self, given, parts, which):
        """Derivatives of what is returned, as arrays; an error names the rule."""
        given = [] if given is None and not parts else list(given) if self.returns == "tuple" else [given]
        if len(given) != len(parts):
            raise TypeError(f"{which} of {self.name} gave {len(given)} tangents, the function returns {len(parts)} values")
        for x, part in zip(given, parts, strict=True):
            self._check(x, part.shape, part.dtype, which)
        return given

    def _check(self, x, shape, dtype, which):
        if x is None or np.asarray(x).dtype.kind not in "fiu":
            raise TypeError(f"{which} of {self.name} gave {x!r:.40} where floating numbers of shape {shape} are wanted")
        if np.shape(x) != shape:
            raise ValueError(f"{which} of {self.name} gave shape {np.shape(x)}, it has to be {shape}")
        if isinstance(x, np.ndarray) and x.ndim and x.dtype != dtype:
            raise TypeError(f"{which} of {self.name} gave dtype {x.dtype}, it has to be {dtype}")

    # ---- adjoints ----------------------------------------------------------------------------------------------------

    def adjoints(self, operands, moving, bar, lanes):
        """The adjoints of some operands, one after the other in one vector, with lanes in front if there are any."""
        if not lanes:
            return self._adjoints(operands, moving, [bar])[0]
        if self.rule.lanes and self.rule._reverse is not None:
            return np.stack(self._adjoints(operands, moving, list(bar)))
        return np.stack([self._adjoints(operands, moving, [one])[0] for one in bar])

    def _adjoints(self, operands, moving, bars):
        seeds = [[part.of(bar) for part in self.parts] for bar in bars]
        if self.rule._reverse is None:
            return [self._pulled(operands, moving, seeds[0])]
        args, width, n = self._arguments(operands), len(bars), len(self.written)
        shadows = {k: [np.array(seed[i]) for seed in seeds] for i, k in enumerate(self.written)}
        wanted = [self.moving[i] for i in moving]
        for k in wanted:
            if self.kinds[k] is np.ndarray:
                shadows.setdefault(k, [np.zeros_like(args[k], subok=False) for _ in bars])
        given = [self._annotated(k, x, shadows.get(k), k in wanted) for k, x in enumerate(args)]
        config = self._config(width)
        tape = self._augmented(config, given)
        of_return = [
            self._as_returned([self._plain(s, p) for s, p in zip(seed[n:], self.parts[n:], strict=True)]) for seed in seeds
        ]
        found = outside_of_traces(self.rule._reverse, [config, tuple(of_return) if width > 1 else of_return[0], tape, *given])
        if not isinstance(found, tuple) or len(found) != len(args):
            count = len(found) if isinstance(found, tuple) else type(found).__name__
            raise TypeError(f"reverse of {self.name} has to give a tuple of {len(args)}, one for each argument, got {count}")
        return [self._joined(wanted, found, shadows, given, lane, width) for lane in range(width)]

    def _plain(self, seed, part):
        return seed if part.kind is np.ndarray else seed[()]

    def _annotated(self, k, x, shadows, wanted):
        if shadows is not None:
            return self._shadowed(x, shadows, k)
        return Active(x) if wanted else Const(x)

    def _augmented(self, config, given):
        if self.rule._augmented is None:
            outside_of_traces(self.rule.function, [a.value for a in given])
            return None
        made = outside_of_traces(self.rule._augmented, [config, *given])
        if not isinstance(made, tuple) or len(made) != 2:
            raise TypeError(f"augmented_primal of {self.name} has to give (value, tape), got {type(made).__name__}")
        return made[1]

    def _joined(self, wanted, found, shadows, given, lane, width):
        parts = []
        for k in wanted:
            if k in shadows:
                parts.append(shadows[k][lane])
            else:
                x = found[k][lane] if width > 1 and isinstance(found[k], tuple) else found[k]
                self._check(x, (), self.kinds[k], f"reverse, by argument {k},")
                parts.append(x)
        dtype = np.result_type(*(np.asarray(given[k].value).dtype for k in wanted))
        return np.concatenate([np.ravel(x) for x in parts]).astype(dtype)

    # ---- partials ----------------------------------------------------------------------------------------------------

    def _partial(self, operands, value, i):
        """The partial by operand i, an array of shape ``value.shape + arg.shape``; None if there is none."""
        k = self.moving[i]
        if self.rule.partials is None:
            raise NotImplementedError(
                f"{self.name} has no rule for this mode: register one with .forward, .reverse, or partials="
            )
        if len(self.rule.partials) != len(self.args):
            raise TypeError(f"{self.name} has {len(self.rule.partials)} partials and {len(self.args)} arguments")
        p = self.rule.partials[k]
        if p is None:
            return None
        made = outside_of_traces(p, [value, *self._arguments(operands)])
        self._check(made, np.shape(value) + np.shape(operands[i]), np.asarray(operands[i]).dtype, f"partial by argument {k}")
        return np.asarray(made)

    def _value_for_partials(self, operands):
        if self.returns != "one":
            raise NotImplementedError(f"{self.name}: partials are for functions that return one number or array")
        return self._called(operands)[1]

    def _by_partials(self, operands, dots):
        value = self._value_for_partials(operands)
        total = np.zeros(np.shape(value), self.dtype)
        for i, (dot,) in dots.items():
            p = self._partial(operands, value, i)
            if p is not None:
                total = total + np.tensordot(p, dot, np.ndim(dot))
        return self._flat([total])

    def _pulled(self, operands, moving, seeds):
        value = self._value_for_partials(operands)
        parts = []
        for i in moving:
            p = self._partial(operands, value, i)
            bar = np.zeros(np.shape(operands[i])) if p is None else np.tensordot(seeds[0], p, np.ndim(seeds[0]))
            parts.append(np.ravel(bar))
        return np.concatenate(parts).astype(np.result_type(*(np.asarray(operands[i]).dtype for i in moving)))


def _type(trace, v):
    t = trace.tape.type(v)
    return t.dtype, t.shape, t.strides


def _pattern(p, op):
    """Everything depends on everything."""
    rows = np.zeros(0, np.int32)
    for v in op.operands:
        if p.active(v):
            p.note_dense(op)
            rows = np.concatenate([rows, p.rows(v).ravel()])
    shape = p.tape.type(op.results[0]).shape
    p.put(op.results[0], np.broadcast_to(p.unite_groups(rows[None]), shape))


RULES["rule"] = _pattern

__all__ = ["Rule", "RuleConfig", "RuledCall", "rule"]
