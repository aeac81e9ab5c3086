"""Loops as functions, for those who write them so: all of them are loops over `sparsead.steps`."""

from __future__ import annotations

import numpy as np

from sparsead.tracing._traced import CURRENT
from sparsead.tracing.steps import steps


def fori_loop(lower, upper, body, state):
    """``for k in range(lower, upper): state = body(k, state)``; returns the last state.

    Parameters
    ----------
    lower, upper : int
    body : callable
        ``body(k, state) -> state``. It may update arrays of the state in place.
    state : object
        Arrays, numbers, or tuples, lists and dicts of them.

    Returns
    -------
    object
        Of the structure of `state`.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> sparsead.fori_loop(0, 10, lambda k, u: 0.5 * u + k, np.zeros(2))
    array([16.00390625, 16.00390625])
    """
    for k in steps(max(upper - lower, 0)):
        state = body(k + lower, state)
    return state


def while_loop(condition, body, state, max_steps=1_000_000):
    """``while condition(state): state = body(state)``; returns the last state.

    Parameters
    ----------
    condition : callable
        ``condition(state) -> bool``.
    body : callable
        ``body(state) -> state``.
    state : object
        Arrays, numbers, or tuples, lists and dicts of them.
    max_steps : int
        Most steps, 1 or more.

    Returns
    -------
    object
        Of the structure of `state`.

    Raises
    ------
    RuntimeError
        The condition still holds after `max_steps` steps.

    Notes
    -----
    The number of steps is part of what is traced: a call that takes another number of steps traces the function again.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> root = lambda a: sparsead.while_loop(lambda x: abs(x * x - a) > 1e-12, lambda x: 0.5 * (x + a / x), a)
    >>> round(float(sparsead.grad(root)(2.0)), 6)
    0.353553
    """
    for _ in steps(max_steps):
        if not condition(state):
            return state
        state = body(state)
    if condition(state):
        raise RuntimeError(f"sparsead.while_loop: the condition still holds after {max_steps} steps")
    return state


def scan(f, state, rows):
    """``for row in rows: state, out = f(state, row)``; returns the last state and the outputs, one below the other.

    Parameters
    ----------
    f : callable
        ``f(state, row) -> (state, out)``, with outputs of the same shape at each step.
    state : object
        Arrays, numbers, or tuples, lists and dicts of them.
    rows : array_like, shape (n, ...)

    Returns
    -------
    state : object
    outs : ndarray, shape (n, ...)

    Raises
    ------
    ValueError
        There are no rows: the shape of the outputs is not known.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> sparsead.scan(lambda s, x: (s + x, s * x), 0.0, np.array([1.0, 2.0, 3.0]))
    (np.float64(6.0), array([0., 2., 9.]))
    """
    n = len(rows)
    if n == 0:
        raise ValueError("sparsead.scan: there are no rows")
    state, out = f(state, rows[0])
    outs = np.empty((n, *np.shape(out)), getattr(out, "dtype", float))
    trace = CURRENT.get()
    outs = outs if trace is None else trace.fresh(outs)
    outs[0] = out
    for k in steps(n - 1):
        state, outs[k + 1] = f(state, rows[k + 1])
    return state, outs
