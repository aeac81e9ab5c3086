"""Reverse modes: one tape that takes adjoints of what is there after a call to adjoints of what was there before."""

from __future__ import annotations

import numpy as np

from sparsead.activities import annotations as said
from sparsead.activities.states import Number, apply, as_number, has_part
from sparsead.activities.structures import is_frozen, is_number, part_of, set_part
from sparsead.activities.sweeps import Sweep, as_array
from sparsead.derivatives.inputs import is_under, rebuilt
from sparsead.tracing._traced import Traced
from sparsead.tracing.substitution import path_text
from sparsead.transform._adjoint import adjoint
from sparsead.transform._batch import batch
from sparsead.transform._simplify import prune, simplify


class ReverseSweep(Sweep):
    """Values and adjoints: shadows of memory that is written, and of numbers that are exchanged, are seeds; others come in."""

    def __init__(self, derivative, prepared, width):
        super().__init__(derivative, prepared, width)
        post = self.post
        self.seeded_blocks = [b for b in self.active if b in post.written]
        self.incoming = [b for b in self.active if b < self.n_blocks and b not in post.written]
        self.seeded_changes = [c for c in self.changes if isinstance(c.node, Number) and c.node.dtype.kind in "fc"]
        self.replaced = {(*c.path, c.step) for c in self.changes}
        self.fresh = self._fresh()
        self.of = [post.written[b] for b in self.seeded_blocks] + [c.node.output for c in self.seeded_changes] + self.fresh
        self.of += (returned := [k for k in self._return_seeds() if k not in self.of])
        lanes = (width,) if width else ()
        self.ones = [np.ones(lanes + self._type(k).shape, self._type(k).dtype) for k in returned]
        zero_kind = 2 if derivative.mode.strong else 0
        self.tape = simplify(adjoint(prepared.tape, self.active, self.of, self.incoming, zero_kind=zero_kind)[0])
        n, n_in = len(prepared.tape.outputs), len(prepared.tape.inputs)
        tape = prune(self.tape, [self.tape.outputs[k] for k in self.wanted] + self.tape.outputs[n:])
        self.tape = self._laned(tape, range(n_in, len(tape.inputs)), range(len(self.wanted), len(tape.outputs)))
        self._programs()

    def _fresh(self):
        return []

    def _return_seeds(self):
        return [self.post.active] if self.kind is said.Active else []

    def _programs(self):
        self._ready(self.tape, "adjoint")

    def run(self, call, inputs):
        """The result of `autodiff`."""
        results = self._executed([*inputs, *self._seeds(call, None)])
        n = len(self.wanted)
        values = dict(zip(self.wanted, results, strict=False))
        changed, value = self._primal(call, values)
        mirrored = [self._mirrored(call, lane, {}) for lane in range(self.width or 1)] if self.changes else ()
        self._write(call, values, changed)
        derivatives = self._finished(call, results[n:])
        for lane, new in enumerate(mirrored):
            self._apply_mirrored(call, lane, new, True)
        self._done_with(results)
        return (derivatives, value) if self.derivative.mode.primal else (derivatives,)

    def check_places(self, call):
        """TypeError if a number has a shadow that cannot be exchanged."""
        for leaf in self.floats:
            owner = call.pairs.owners.get(leaf.path, (None, ()))[0]
            mixed = any(is_under(leaf.path, p) for p in self.derivative.mixed_places)
            if owner is not None and is_frozen(owner) and not mixed:
                raise TypeError(
                    f"{path_text(leaf.path)} is a number in a {type(owner).__name__}, which cannot change: the argument is "
                    "MixedDuplicated(x, Ref(dx))"
                )

    def _seeds(self, call, given):
        """Adjoints of the seeded outputs, then those that come in; `given` are those of outputs without shadow, None: ones."""
        seeds = [self._shadow_of_input(call, b) for b in self.seeded_blocks]
        for change in self.seeded_changes:
            seeds.append(self._gathered(call, lambda lane, c=change: self._shadow_of_part(call, c, lane)))
        if given is None:
            seeds += self.ones
        for k in self.of[len(seeds) :]:
            t = self._type(k)
            seeds.append(self._gathered(call, lambda lane, s=given[k], t=t: _filled(s[lane], t)))
        for b in self.incoming:
            shadow = self._shadow_of_input(call, b)
            seeds.append(np.zeros(shadow.shape, shadow.dtype) if b in call.added or call.fresh else shadow)
        return seeds

    def _shadow_of_part(self, call, change, lane):
        """The shadow of an exchanged number, which is zero where there is none."""
        owner = call.owner(change.path, lane)
        found = part_of(owner, change.step) if has_part(owner, change.step) else 0.0
        return as_array(found if is_number(found) else 0.0, change.node.dtype)

    def _mirrored(self, call, lane, fresh):
        """What exchanged parts become in the shadow: references are mirrored, new arrays have zeros."""

        def output(k):
            return fresh[k] if k in fresh else np.zeros(self._type(k).shape, self._type(k).dtype)

        side = self._shadow_side(call, lane, output)
        return [None if c.node is None or isinstance(c.node, Number) else side.build(c.node) for c in self.changes]

    def _apply_mirrored(self, call, lane, new, restored):
        pairs = [(c, x) for c, x in zip(self.changes, new, strict=True) if not isinstance(c.node, Number)]
        apply([c for c, _ in pairs], call.shadow_arguments(lane), [x for _, x in pairs], restored)

    def _finished(self, call, adjoints):
        """Put adjoints into shadows; returns derivatives of the arguments, None where they have shadows."""
        found = dict(zip(self.active, adjoints, strict=True))
        self._write_shadows(call, [(b, found[b]) for b in self.active_blocks])
        if len(self.active) == len(self.active_blocks) and not self.derivative.mixed:
            return (None,) * (len(call.annotations) - call.hidden)
        lanes = [{} for _ in range(self.width or 1)]
        for position in self.active:
            if position >= self.n_blocks:
                leaf = self.floats[position - self.n_blocks]
                for lane, numbers in enumerate(lanes):
                    adj = found[position][lane] if self.width else found[position]
                    numbers[leaf.path] = self._number(call, leaf, adj, lane)
        return tuple([self._slot(call, k, lanes) for k in range(len(call.annotations))][call.hidden :])

    def _number(self, call, leaf, adj, lane):
        """The new shadow of a number: it has the old one in it if it is still there after the call."""
        number = as_number(adj, type(leaf.value))
        stays = call.has_number(leaf.path) and leaf.path not in self.replaced
        return number + call.number(leaf.path, lane) if stays and not call.fresh else number

    def _slot(self, call, k, lanes):
        annotation, place = call.annotations[k], self.derivative.places[k]
        kind = type(annotation)
        if kind is said.Active:
            found = tuple(rebuilt(annotation.value, place, numbers) for numbers in lanes)
            return found if self.width else found[0]
        for lane, numbers in enumerate(lanes):
            mine = {path: x for path, x in numbers.items() if is_under(path, place)}
            if kind in said.MIXED:
                annotation.refs[lane].value = remade(annotation.shadows[lane], place, mine)
            elif mine:
                for path, x in mine.items():
                    set_part(call.pairs.owners[path][1][lane], path[-1], x)
        return None


class HolomorphicSweep(ReverseSweep):
    """The derivative of a complex number: three lanes of one sweep, with the shadows as they come in, and with seeds 1 and i.

    Of f = u + iv the last two give a = u_x + i u_y and b = v_x + i v_y, and (conj(a) + i conj(b)) / 2 is Wirtinger's df/dz: the
    derivative, if f is holomorphic. It is added to what the first lane makes of the shadows.
    """

    def __init__(self, derivative, prepared, width):
        super().__init__(derivative, prepared, width)
        for position in self.active:
            tape = prepared.tape
            if not tape.type(tape.inputs[position]).is_complex:
                raise TypeError(
                    f"{tape.names[tape.inputs[position]]} is real and the return of {derivative.name} complex: in "
                    f"{derivative.mode!r} what has a derivative is complex, or Const"
                )

    def _laned(self, tape, inputs, outputs):
        return batch(tape, inputs, 3, outputs)

    def _seeds(self, call, given):
        seeds, ones = super()._seeds(call, given), {id(one) for one in self.ones}
        return [np.stack([0 * s, s, 1j * s] if id(s) in ones else [s, 0 * s, 0 * s]) for s in seeds]

    def _finished(self, call, adjoints):
        return super()._finished(call, [a[0] + (np.conj(a[1]) + 1j * np.conj(a[2])) / 2 for a in adjoints])


def remade(shadow, path, numbers):
    """`shadow` with new numbers: tuples are made anew, what can change is changed."""
    if path in numbers:
        return numbers[path]
    if isinstance(shadow, tuple):
        new = [remade(x, (*path, ("item", k)), numbers) for k, x in enumerate(shadow)]
        return tuple.__new__(type(shadow), new)
    if isinstance(shadow, (list, dict)):
        for k, x in enumerate(shadow) if isinstance(shadow, list) else list(shadow.items()):
            shadow[k] = remade(x, (*path, ("item", k)), numbers)
    elif hasattr(shadow, "__dict__") and not is_frozen(shadow):
        for name, x in list(vars(shadow).items()):
            setattr(shadow, name, remade(x, (*path, ("attribute", name)), numbers))
    return shadow


def _filled(seed, t):
    """A seed as an array of type `t`."""
    if isinstance(seed, Traced):
        return seed
    seed = np.asarray(seed)
    if seed.dtype.kind not in ("fiuc" if t.is_complex else "fiu") or seed.shape not in ((), t.shape):
        raise TypeError(f"the seed of the return has to be a number like the return, not {seed!r:.60}")
    return np.full(t.shape, seed, t.dtype)
