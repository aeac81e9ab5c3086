"""Forward modes: values and tangents of one tape."""

from __future__ import annotations

from sparsead.activities import annotations as said
from sparsead.activities.states import apply
from sparsead.activities.sweeps import Sweep, outputs_of
from sparsead.transform._simplify import prune, simplify
from sparsead.transform._tangent import tangent


class ForwardSweep(Sweep):
    """Values and tangents in one sweep."""

    def __init__(self, derivative, prepared, width):
        super().__init__(derivative, prepared, width)
        self.wanted_dots = sorted(
            {self.post.written[b] for b in self.active if b in self.post.written}
            | {k for c in self.changes for k in outputs_of(c.node)}
            | set(outputs_of(self.post.returned) if self.kind is not said.Const else ())
        )
        tape = simplify(tangent(prepared.tape, self.active, derivative.mode.strong))
        n, n_in = len(prepared.tape.outputs), len(prepared.tape.inputs)
        tape = prune(tape, [tape.outputs[k] for k in self.wanted] + [tape.outputs[n + k] for k in self.wanted_dots])
        tape = self._laned(tape, range(n_in, len(tape.inputs)), range(len(self.wanted), len(tape.outputs)))
        self._ready(tape, "tangent")

    def run(self, call, inputs):
        """The result of `autodiff`."""
        seeds = [self._shadow_of_input(call, position) for position in self.active]
        results = self._executed([*inputs, *seeds])
        n = len(self.wanted)
        values, dots = dict(zip(self.wanted, results, strict=False)), dict(zip(self.wanted_dots, results[n:], strict=True))
        changed, value = self._primal(call, values)
        lanes, tangents = [], []
        for lane in range(self.width or 1):
            side = self._shadow_side(call, lane, lambda k, lane=lane: dots[k][lane] if self.width else dots[k])
            lanes.append(self._built(side, self.changes))
            tangents.append(side.build(self.post.returned) if self.kind is not said.Const else None)
        self._write(call, values, changed)
        self._write_shadows(call, [(b, dots[self.post.written[b]]) for b in self.active if b in self.post.written])
        for lane, new in enumerate(lanes):
            apply(self.changes, call.shadow_arguments(lane), new)
        self._done_with(results)
        result = () if self.kind is said.Const else (tuple(tangents) if self.width else tangents[0],)
        return (*result, value) if self.derivative.mode.primal else result
