"""Split reverse modes: the two sweeps as calls of their own, with a tape in between."""

from __future__ import annotations

import numpy as np

from sparsead.activities import annotations as said
from sparsead.activities.adjoints import ReverseSweep
from sparsead.activities.states import Fresh, Made, Number, apply, has_part, remove_part
from sparsead.activities.structures import parts
from sparsead.activities.sweeps import numbers_in
from sparsead.derivatives.nested import entered, execute
from sparsead.derivatives.products import found_in
from sparsead.tape._memory import blank
from sparsead.tracing._traced import CURRENT, TracedArray
from sparsead.transform._split import split


class SplitSweep(ReverseSweep):
    """The two halves of a reverse sweep: the caller may do what he likes in between."""

    def _fresh(self):
        """Outputs that are new arrays with shadows of their own."""
        nodes = [c.node for c in self.changes] + ([] if self.kind in (said.Const, said.Active) else [self.post.returned])
        self.bases = {k: base for node in nodes for k, base in bases_in(node)}
        return sorted(self.bases)

    def _return_seeds(self):
        new = [k for c in self.changes if isinstance(c.node, Made) for k, _ in numbers_in(c.node, None)]
        if self.kind in (said.Const, said.Active):
            return super()._return_seeds() + new
        return [k for k, _ in numbers_in(self.post.returned, None)] + new

    def _programs(self):
        n, n_late, tape = len(self.wanted), len(self.of) + len(self.incoming), self.tape
        self.where, self.backward = [(k, None) for k in range(n)], None
        if n_late:
            tape, backward = split(tape, n_late)
            self.where = found_in(backward, backward.outputs[:n])
            backward.outputs = backward.outputs[n:]
            self.backward = self.prepared.program(backward, "reverse")
        self.program = self.prepared.program(tape, "forward")

    def run(self, call, inputs):
        """(tape, value or None, shadow of the return or None): the forward half."""
        residuals = execute(self.program, inputs)
        found = [residuals[at] if at is not None else constant for at, constant in self.where]
        values = {k: x.copy() if isinstance(x, np.ndarray) else x for k, x in zip(self.wanted, found, strict=True)}
        changed, value = self._primal(call, values)
        fresh = [{k: zeros_laid(base, self._type(k)) for k, base in self.bases.items()} for _ in range(self.width or 1)]
        mirrored = [self._mirrored(call, lane, new) for lane, new in enumerate(fresh)]
        shadows = self._return_shadows(call, fresh)
        self._write(call, values, changed)
        call.added_parts = self._new_parts(call)
        for lane, new in enumerate(mirrored):
            apply([c for c in self.changes if c.node is not None], call.shadow_arguments(lane),
                  [x for c, x in zip(self.changes, new, strict=True) if c.node is not None], kept=True)  # fmt: skip
        return Tape(self, call, residuals, fresh, mirrored, shadows), value, self._given(shadows)

    def _new_parts(self, call):
        """Paths of what is new in the shadows."""
        owners = [(c, call.owner(c.path, lane)) for lane in range(self.width or 1) for c in self.changes if c.node is not None]
        return frozenset((*c.path, c.step) for c, owner in owners if not has_part(owner, c.step))

    def _mirrored(self, call, lane, fresh):
        new = super()._mirrored(call, lane, fresh)
        return [0.0 if isinstance(c.node, Number) else x for c, x in zip(self.changes, new, strict=True)]

    def _return_shadows(self, call, fresh):
        if self.kind in (said.Const, said.Active):
            return None
        sides = [self._shadow_side(call, lane, lambda k, new=new: new.get(k, ZERO)) for lane, new in enumerate(fresh)]
        return [side.build(self.post.returned) for side in sides]

    def _given(self, shadows):
        """The shadow of the return as the caller gets it."""
        if shadows is None:
            return None
        shadows = [said.Ref(x) for x in shadows] if self.kind in said.MIXED else shadows
        return tuple(shadows) if self.width else shadows[0]

    @property
    def takes_seed(self):
        """Whether the reverse half is given the adjoint of the return."""
        return self.kind is said.Active or self.kind in said.MIXED

    def reverse(self, call, tape, seed):
        """((d1, .., dn),): the reverse half."""
        given = self._return_adjoints(tape, seed)
        for new in tape.mirrored:
            for change, shadow in zip(self.changes, new, strict=True):
                if isinstance(change.node, Made):
                    for k, number in numbers_in(change.node, shadow):
                        given.setdefault(k, []).append(number)
        for k in self.fresh:
            given[k] = [lane[k] for lane in tape.fresh]
        seeds = self._seeds(call, given)
        n = len(self.wanted)
        adjoints = execute(self.backward, entered([*tape.residuals, *seeds])) if self.backward else tape.residuals[n:]
        derivatives = self._finished(call, adjoints)
        for lane in range(self.width or 1):
            self._restore(call, lane)
            for array in tape.fresh[lane].values():
                array[...] = 0
        return (derivatives,)

    def _return_adjoints(self, tape, seed):
        """Of numbers in the return, for each output, in each lane."""
        if self.kind is said.Active:
            return {self.post.active: list(seed) if self.width else [seed]}
        found = {}
        for lane, shadow in enumerate(tape.shadows or ()):
            given = (seed[lane] if self.width else seed) if self.kind in said.MIXED else shadow
            given = given.value if isinstance(given, said.Ref) else given
            if given is not shadow:
                add_arrays(shadow, given)
            for k, number in numbers_in(self.post.returned, given):
                found.setdefault(k, []).append(number)
        return found

    def _restore(self, call, lane):
        """Shadows get the length that they had: what the call has put into structures goes."""
        for change in reversed(self.changes):
            owner = call.owner(change.path, lane)
            if (*change.path, change.step) in call.added_parts and has_part(owner, change.step):
                remove_part(owner, change.step)


class Tape:
    """What the reverse half needs of the forward half, for one use."""

    def __init__(self, sweep, call, residuals, fresh, mirrored, shadows):
        self.sweep, self.call, self.residuals = sweep, call, residuals
        self.fresh, self.mirrored, self.shadows = fresh, mirrored, shadows
        self.used = False

    def run(self, call, seed):
        """The reverse half, for the arguments of `call`."""
        if call.derivative is not self.call.derivative:
            raise TypeError(f"this tape is of {self.sweep.derivative.name} with other activities")
        if self.used:
            raise RuntimeError("this tape has been used: run the forward half again; sparsead.vjp has pullbacks for many seeds")
        if any(a is not b for x, y in zip(call.annotations, self.call.annotations, strict=True)
               for a, b in zip(x.shadows, y.shadows, strict=True)):  # fmt: skip
            call.check_memory(self.sweep.prepared, self.sweep, [None])
        else:
            call = self.call
        self.used = True
        return self.sweep.reverse(call, self, seed)

    def __repr__(self):
        return f"<tape of {self.sweep.derivative.name}{', used' if self.used else ''}>"


ZERO = np.zeros(())


def zeros_laid(base, t):
    """A zero array whose memory is laid out as `base`, which is (shape, strides)."""
    shape, strides = base
    made = blank(shape, strides, t.dtype)
    made[...] = 0
    trace = CURRENT.get()
    return made if trace is None else trace.fresh(made, True)


def bases_in(node):
    """(output, layout) of the new arrays that a node is made of."""
    if isinstance(node, Fresh):
        return [(node.output, node.base)] if node.dtype.kind in "fc" else []
    return [found for part in node.parts for found in bases_in(part)] if isinstance(node, Made) else []


def add_arrays(shadow, given):
    """Add the arrays in `given` to those in `shadow`, which has the same structure."""
    if isinstance(shadow, (np.ndarray, TracedArray)):
        if given is not shadow:
            shadow += given
        return
    mine, others = dict(parts(shadow)), dict(parts(given))
    for step, part in mine.items():
        add_arrays(part, others[step])
