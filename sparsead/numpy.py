"""NumPy, with the functions that make arrays ready for tracing: ``import sparsead.numpy as np``.

Everything is NumPy's own, except that creation functions and ``asarray`` and its like follow the trace that is under
way. While sparsead traces, they do so under NumPy's own names too; under this name they also do where NumPy's
functions were bound to other names before, or where nothing may be patched.

For example::

    import sparsead
    import sparsead.numpy as np

    def f(x):
        y = np.zeros(3)
        y[1:] = x
        return np.sum(y**2)

    sparsead.grad(f)(np.array([1.0, 2.0]))  # array([2., 4.])
"""

import numpy as _numpy

from sparsead.tracing.wrappers import stand_in as _stand_in


def __getattr__(name):
    if name.startswith("__") and name not in _numpy.__all__:  # protocols of modules: NumPy's are NumPy's
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = _stand_in(getattr(_numpy, name))  # next time Python finds it by itself
    return found


def __dir__():
    return dir(_numpy)


__all__ = _numpy.__all__
