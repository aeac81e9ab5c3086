"""What a loop does at the end of each step: it shows numbers, and asks whether it is over."""

from __future__ import annotations

import numpy as np

from sparsead.ops.effect import Effect, shown
from sparsead.tracing._traced import Traced
from sparsead.tracing.errors import TraceError


class Ends:
    """The functions that `sparsead.steps` was given.

    Parameters
    ----------
    on_step, watch, until : callable or None
        See `sparsead.steps`.
    """

    def __init__(self, on_step, watch, until):
        for name, function in (("on_step", on_step), ("watch", watch), ("until", until)):
            if function is not None and not callable(function):
                raise TypeError(f"sparsead.steps: {name} has to be a function, got {type(function).__name__}{ADVICE[name]}")
        if watch is not None and on_step is None:
            raise TypeError("sparsead.steps: watch gives what on_step is called with, and there is no on_step")
        self.on_step, self.watch, self.until = on_step, watch, until

    def __bool__(self):
        return self.on_step is not None or self.until is not None

    def over(self, trace, k):
        """End step `k`: whether the loop is over. Of a trace, what is shown is put on the tape."""
        if self.on_step is not None:
            if trace is None:
                self.on_step(k, *map(shown, self._values()))
            else:
                self._record(trace, k)
        return self.until is not None and bool(self.until())

    def _values(self):
        values = () if self.watch is None else self.watch()
        values = values if isinstance(values, tuple) else (values,)
        for x in values:
            if not isinstance(x, (Traced, np.ndarray, np.generic, bool, int, float)):
                raise TypeError(f"sparsead.steps: watch gives arrays and numbers, or a tuple of them; got {type(x).__name__}")
        return values

    def _record(self, trace, k):
        for name in trace.original.computed(self.on_step):
            raise TraceError(f"sparsead.steps: on_step reads {name} by itself, which the function computes{trace.at()}: it would "
                             f"not see its numbers. Let it take {name} as an argument, and write watch=lambda: {name}")
        function = trace.original(self.on_step)
        k = k if isinstance(k, Traced) else np.int64(k)
        trace.effect(Effect(function), [trace.operand(x) for x in (k, *self._values())])


ADVICE = {
    "on_step": "; write on_step=lambda k, u: ..., watch=lambda: u",
    "watch": "; write watch=lambda: (u, t), so that names are looked up at the end of each step",
    "until": "; write until=lambda: residual < 1e-8, so that it is asked at the end of each step",
}
