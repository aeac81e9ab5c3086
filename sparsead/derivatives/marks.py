"""What a traced function may say of a value: its number, or that its derivative stops here."""

from __future__ import annotations

import numpy as np

from sparsead.tracing._traced import CURRENT, Traced, TracedArray


def value(x):
    """The number of a traced value at the trace, for printing and for decisions that need not be followed.

    Parameters
    ----------
    x : traced or plain value

    Returns
    -------
    ndarray, NumPy scalar or Python number
        A copy for arrays; anything that is not traced comes back as it is. The number is that of the trace: a replay does not
        come here again.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.value(2.0)
    2.0

    """
    if isinstance(x, TracedArray):
        x.home.settle()
        return np.array(x.concrete)
    return x.settled() if isinstance(x, Traced) else x


def stop_gradient(x):
    """`x` with derivative zero.

    Examples
    --------
    >>> import sparsead
    >>> float(sparsead.grad(lambda x: x * sparsead.stop_gradient(x))(3.0))
    3.0

    """
    trace = CURRENT.get()
    return trace.stop(x) if trace is not None and isinstance(x, Traced) else x
