"""Whether a loop that stays a loop does what the function does, step by step."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from sparsead.derivatives.prepared import _State
from sparsead.derivatives.products import Vjp
from sparsead.testing.derivatives import _Captured, _mapped, _Point
from sparsead.tracing.loops.overriding import overriding
from sparsead.tracing.record import bind, name_of


class LoopError(AssertionError):
    """A loop over ``sparsead.steps`` does not do what its function does."""


@dataclass(frozen=True)
class LoopReport:
    """What `check_loop` found; nothing differs.

    Attributes
    ----------
    function : str
    loops : int
        Loops of the tape. 0: all of them were so short that they were traced step by step, and nothing was checked but that.
    steps : int
        Steps of the longest loop, as far as it was run.
    values, gradient : float
        Largest difference of the values and of the gradients, relative to the largest element of the array.
    """

    function: str
    loops: int
    steps: int
    values: float
    gradient: float

    def __repr__(self):
        return (
            f"<{self.function}: {self.loops} loop(s), {self.steps} steps, values agree to {self.values:.1e}, gradients to "
            f"{self.gradient:.1e}>"
        )


def check_loop(f, *args, steps=None, rtol=1e-9, seed=0, **kwargs):
    """Check that the loops of a function over ``sparsead.steps`` do what the function does by itself.

    The function is run as it is; then with its loops as ops of a tape; then with all steps traced one by one. The values that it
    returns and the arrays that it changes in place have to be the same the first two ways, and the gradient by all
    floating arguments (of random combinations of these results) the last two ways.

    A trace sees the first steps of a loop, and goes by them. What Python remembers from step to step is looked for, and refused
    if it changes; but where nobody can look (attributes of modules, files, state inside of code in C) it goes unnoticed, and
    this check finds it out.

    Parameters
    ----------
    f : callable
        Anything that `sparsead.vjp` takes. It is called twice, and traced twice.
    *args, **kwargs
        The point. Neither they nor arrays that `f` captures are changed.
    steps : int, optional
        No loop takes more steps than that, in any of the ways. To unroll a loop of a million steps takes long; 1000 will do,
        if the function does nothing new after them.
    rtol : float
        Tolerance, relative to the largest element of an array. Rounding grows in chaotic loops: take fewer steps there.
    seed : int
        Of the random combinations.

    Returns
    -------
    LoopReport

    Raises
    ------
    LoopError
        An AssertionError that says which result or gradient differs, where, by how much, and from which number of steps on.
    TypeError, ValueError, TraceError
        As `sparsead.vjp` raises them.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> def decay(u, rate):
    ...     for k in sparsead.steps(100):
    ...         u -= rate * u * (1 + 0.1 * k)
    ...     return u @ u
    >>> report = sparsead.testing.check_loop(decay, np.array([1.0, 2.0]), 0.01)
    >>> report.loops, report.steps
    (1, 100)

    """
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1):
        raise ValueError(f"check_loop: steps={steps!r} has to be an integer of 1 or more")
    return _LoopCheck(f, args, kwargs, rtol, seed).report(steps)


class _LoopCheck:
    def __init__(self, f, args, kwargs, rtol, seed):
        self.f, self.args, self.kwargs, self.rtol, self.seed = f, args, kwargs, rtol, seed
        self.name, self.captured = name_of(f), _Captured(f)
        bound = bind(f, args, kwargs)
        self.wrt = tuple(name for name in bound.arguments if _Point(bound, [(("argument", name),)]).leaves)
        self.changing = [name for name, x in bound.arguments.items() if isinstance(x, np.ndarray) and x.dtype.kind in "fc"]
        self.point = _Point(bound, [(("argument", name),) for name in self.wrt])
        if not self.wrt:
            Vjp(f).prepare(*args, **kwargs)  # raises the error that names the argument
            raise TypeError(f"check_loop({self.name}): no argument holds floating numbers")

    def report(self, steps):
        """The `LoopReport`."""
        plain, longest = self._plain(steps)
        self._repeatable(plain, self._plain(steps)[0])
        values, gradient, loops = self._derived(steps, False, plain)
        worst = self._same(plain, values, "the function", "its loop", steps, longest)
        _, unrolled, _ = self._derived(steps, True, plain)
        worst_gradient = self._same(unrolled, gradient, "the unrolled loop", "the loop", steps, longest)
        return LoopReport(self.name, loops, longest if steps is None else min(steps, longest), worst, worst_gradient)

    # ---- the ways ----------------------------------------------------------------------------------------------------

    def _plain(self, steps):
        """({what: value} of the function itself, steps of its longest loop)."""
        arguments = self.point.moved({path: 0.0 for path, x in self.point.leaves.items() if not isinstance(x, np.ndarray)}, 0.0)
        bound = copy.copy(self.point.bound)
        bound.arguments = arguments
        with self.captured.kept(), overriding(steps) as override:
            returned = copy.deepcopy(self.f(*bound.args, **bound.kwargs))
        found = {} if returned is None else {"the value returned": returned}
        return found | {f"argument {name}": arguments[name] for name in self.changing}, override.longest

    def _derived(self, steps, unroll, plain):
        """({what: value}, {what: gradient}, number of loops of the tape) of a tape."""
        of = (("return",) if "the value returned" in plain else ()) + tuple(self.changing)
        vjp = Vjp(self.f, self.wrt, of)
        vjp._state = _State(None)  # recordings of its own: how loops are traced is no part of what they are found by
        with overriding(steps, unroll):
            values, pullback = vjp(*self.args, **self.kwargs)
        rng = np.random.default_rng(self.seed)
        gradients = pullback(tuple(_mapped(x, lambda x: _seed(rng, x)) for x in values))
        by_name = {f"the gradient by {name}": g for name, g in zip(self.wrt, gradients, strict=True)}
        return dict(zip(plain, values, strict=True)), by_name, sum(op.op.name == "loop" for op in vjp.tape)

    # ---- comparisons -------------------------------------------------------------------------------------------------

    def _repeatable(self, once, again):
        found = _difference(once, again, 0.0)
        if found is not None:
            raise LoopError(
                f"check_loop({self.name}): {found.what} is {found.one:.10g} at the first call and {found.other:.10g} at the "
                "second: the function remembers something from call to call, which its tape cannot do"
            )

    def _same(self, one, other, first, second, steps, longest):
        """The largest difference; LoopError if it is above the tolerance."""
        found = _difference(one, other, self.rtol)
        if found is None:
            return _largest(one, other)
        raise LoopError(
            f"check_loop({self.name}): {found.what} is {found.one:.10g} by {first} and {found.other:.10g} by {second}; "
            f"{found.count} of {found.size} elements differ{self._since(steps, longest)}. Something in the body is not the same "
            "at each step, and is no function of arrays and of the counter: a number that Python remembers, an iterator, a file"
        )

    def _since(self, steps, longest):
        """In words, the fewest steps that show a difference."""
        low, high = 0, longest if steps is None else min(steps, longest)  # equal, different
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._differs(middle) else (middle, high)
        return f", with {high} steps or more"

    def _differs(self, steps):
        plain, _ = self._plain(steps)
        values, gradient, _ = self._derived(steps, False, plain)
        if _difference(plain, values, self.rtol) is not None:
            return True
        return _difference(self._derived(steps, True, plain)[1], gradient, self.rtol) is not None


@dataclass(frozen=True)
class _Difference:
    what: str
    one: float | complex
    other: float | complex
    count: int
    size: int


def _seed(rng, x):
    seed = rng.uniform(0.5, 1.0, np.shape(x))
    return seed * (1 + 1j) if np.iscomplexobj(x) else seed


def _pairs(one, other):
    """(what, array, array) of all arrays and numbers of two dicts of structures."""
    for what in one:
        a, b = [], []
        _mapped(one[what], a.append)
        _mapped(other[what], b.append)
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            yield f"{what}[{k}]" if len(a) > 1 else what, np.asarray(x), np.asarray(y)


def _errors(x, y):
    """Differences relative to the largest element; 0 where both are NaN, or the same infinity."""
    with np.errstate(all="ignore"):
        size = np.max(np.abs(x), initial=0.0, where=np.isfinite(x)) or 1.0
        errors = np.abs(x - y) / size
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    return np.where(same, 0.0, np.where(np.isnan(errors), np.inf, errors))


def _difference(one, other, rtol):
    """The first array that differs, at its worst element; None if none does."""
    for what, x, y in _pairs(one, other):
        if x.shape != y.shape:
            raise LoopError(f"{what} has shape {x.shape} in one way, and {y.shape} in another")
        errors = _errors(x, y)
        if errors.size and not np.max(errors) <= rtol:
            at = np.unravel_index(np.argmax(errors), x.shape)
            place = f"{what}, element {tuple(map(int, at))}," if x.ndim else what
            return _Difference(place, x[at].item(), y[at].item(), int(np.count_nonzero(errors > rtol)), x.size)
    return None


def _largest(one, other):
    return max([float(np.max(_errors(x, y), initial=0.0)) for _, x, y in _pairs(one, other)], default=0.0)
