"""Sweeps: the tapes that are run for calls with activities, and how shadows go in and come out.

Nothing of the caller's is written before all has been computed.
"""

from __future__ import annotations

import copy

import numpy as np

from sparsead.activities import annotations as said
from sparsead.activities.memory import extracted, pooled
from sparsead.activities.states import Fresh, Made, Number, Side, apply, as_number, has_part, remove_part
from sparsead.activities.structures import is_frozen, is_number, make_zero, part_of, parts, set_part
from sparsead.derivatives.inputs import is_under, rebuilt
from sparsead.derivatives.nested import execute
from sparsead.derivatives.products import _found_in
from sparsead.tape._memory import blank
from sparsead.tracing._traced import Traced
from sparsead.tracing.errors import ActivityError
from sparsead.tracing.substitution import path_text
from sparsead.transform._adjoint import adjoint
from sparsead.transform._batch import batch
from sparsead.transform._simplify import prune, simplify
from sparsead.transform._split import split
from sparsead.transform._tangent import tangent


class Sweep:
    """What all sweeps of one recording have in common.

    Parameters
    ----------
    derivative : Activities
    prepared : Prepared
    width : int
        Lanes; 0: shadows come alone.
    """

    def __init__(self, derivative, prepared, width):
        self.derivative, self.prepared, self.width = derivative, prepared, width
        self.post, recording = prepared.outputs, prepared.recording
        self.kind = derivative.return_kind(prepared)
        self.blocks, self.n_blocks = recording.blocks, len(recording.blocks)
        self.members = [[(place, recording.arrays[k].path) for place, k in enumerate(b.members)] for b in recording.blocks]
        self.floats = recording.floats
        self.changes = [c for c in self.post.changes if derivative.has_shadow(c.path)]
        self.active = [b for b, members in enumerate(self.members) if derivative.is_active(members[0][1])]
        self.active_blocks = list(self.active)
        self.single = not width and all(len(self.members[b]) == 1 for b in self.active_blocks)
        self.paths = [self.members[b][0][1] for b in self.active_blocks]
        paths = [path for members in self.members for _, path in members] + [leaf.path for leaf in self.floats]
        self.flat = not self.changes and all(path in derivative.index for path in paths if derivative.is_active(path))
        self.forward = derivative.mode.forward
        self.active += [self.n_blocks + k for k, leaf in enumerate(self.floats) if derivative.is_active(leaf.path)]
        self.wanted = sorted({*self.post.written.values(), *(k for c in self.post.changes for k in outputs_of(c.node))}
                             | set(outputs_of(self.post.returned) if derivative.mode.primal else ()))  # fmt: skip

    def bound_to(self, prepared):
        """The same for another recording, which differs from this one's in plain values alone."""
        other = copy.copy(self)
        other.prepared, other.post = prepared, prepared.outputs
        other.changes = [c for c in other.post.changes if self.derivative.has_shadow(c.path)]
        return other

    def check_places(self, call):
        """TypeError if a number has a shadow that cannot be exchanged."""

    def _laned(self, tape, inputs, outputs):
        return batch(tape, inputs, self.width, outputs) if self.width else tape

    def _type(self, output):
        return self.prepared.tape.type(self.prepared.tape.outputs[output])

    # ---- what goes in ------------------------------------------------------------------------------------------------

    def _gathered(self, call, one):
        """``one(lane)`` for each lane, as one array."""
        if not self.width:
            return one(0)
        return np.stack([one(lane) for lane in range(self.width)])

    def _shadow_of_input(self, call, position):
        """The shadow of an input of the tape."""
        if position >= self.n_blocks:
            leaf = self.floats[position - self.n_blocks]
            dtype = np.asarray(leaf.value).dtype
            return self._gathered(call, lambda lane: _as_array(call.number(leaf.path, lane), dtype))
        block, members = self.blocks[position], self.members[position]
        if block.whole and not self.width:
            return call.shadow(members[0][1], 0)
        return self._gathered(
            call, lambda lane: pooled(block, {place: call.shadow(path, lane) for place, path in members})
        )  # fmt: skip

    # ---- what comes out ----------------------------------------------------------------------------------------------

    def _primal_side(self, call, values):
        return Side(call.argument, values.__getitem__, lambda value: value)

    def _primal(self, call, values):
        """(what exchanged parts become, the value or None)."""
        if not self.post.changes and not self.derivative.mode.primal:
            return (), None
        side = self._primal_side(call, values)
        changed = self._built(side, self.post.changes)
        return changed, side.build(self.post.returned) if self.derivative.mode.primal else None

    def _write(self, call, values, changed):
        """Give the caller's memory the contents that it has after the call."""
        for b, k in self.post.written.items():
            for place, path in self.members[b]:
                call.argument(path)[...] = extracted(self.blocks[b], values[k], place)
        for path, contents in self.post.contents:
            call.argument(path)[...] = contents
        if changed:
            apply(self.post.changes, call.given, changed)

    def _built(self, side, changes):
        return [None if c.node is None else side.build(c.node) for c in changes]

    def _shadow_side(self, call, lane, output):
        def at(path):
            found = call.shadow_at(path, lane)
            if found is not MISSING:
                return found
            if self.derivative.returned not in (None, said.Const) or self.changes:
                raise ActivityError(self._const_text(path))
            return make_zero(call.argument(path))

        return Side(at, output, make_zero)

    def _const_text(self, path):
        shadows = ", ".join(path_text(place) for place in self.derivative.wrt)
        return (
            f"{self.derivative.name} returns or stores {path_text(path)}, which is Const, where a shadow is wanted, such as that "
            f"of {shadows}; make {path_text(path)} Duplicated, or return a copy"
        )

    def _write_shadows(self, call, results):
        """`results`: for each active block its new shadow, with lanes in front in a batch."""
        for b, result in results:
            if self.single and self.blocks[b].whole and not call.added:
                call.shadow(self.members[b][0][1], 0)[...] = result
                continue
            for lane in range(self.width or 1):
                memory = result[lane] if self.width else result
                for place, path in self.members[b]:
                    shadow = call.shadow(path, lane)
                    new = extracted(self.blocks[b], memory, place)
                    if b in call.added:
                        shadow += new
                    else:
                        shadow[...] = new


def _as_array(value, dtype):
    return value if isinstance(value, Traced) else np.asarray(value, dtype)


MISSING = object()


def outputs_of(node):
    """Outputs of the tape that a node is made of."""
    if isinstance(node, (Number, Fresh)):
        return [node.output]
    if isinstance(node, Made):
        return [k for part in node.parts for k in outputs_of(part)]
    return []


def numbers_in(node, shadow):
    """(output, shadow) of the numbers that a node is made of."""
    if isinstance(node, Number):
        return [(node.output, shadow)] if node.dtype.kind == "f" else []
    if not isinstance(node, Made):
        return []
    found = []
    for step, part in zip(node.steps, node.parts, strict=True):
        found += numbers_in(part, None if shadow is None else part_of(shadow, step))
    return found


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
        self.program = prepared.program(tape, f"tangent {width}" if width else "tangent")

    def run(self, call, inputs):
        """The result of `autodiff`."""
        seeds = [self._shadow_of_input(call, position) for position in self.active]
        results = execute(self.program, [*inputs, *seeds])
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
        result = () if self.kind is said.Const else (tuple(tangents) if self.width else tangents[0],)
        return (*result, value) if self.derivative.mode.primal else result


class ReverseSweep(Sweep):
    """Values and adjoints: shadows of memory that is written, and of numbers that are exchanged, are seeds; others come in."""

    def __init__(self, derivative, prepared, width):
        super().__init__(derivative, prepared, width)
        post = self.post
        self.seeded_blocks = [b for b in self.active if b in post.written]
        self.incoming = [b for b in self.active if b < self.n_blocks and b not in post.written]
        self.seeded_changes = [c for c in self.changes if isinstance(c.node, Number) and c.node.dtype.kind == "f"]
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
        self.program = self.prepared.program(self.tape, f"adjoint {self.width}" if self.width else "adjoint")

    def run(self, call, inputs):
        """The result of `autodiff`."""
        results = execute(self.program, [*inputs, *self._seeds(call, None)])
        n = len(self.wanted)
        values = dict(zip(self.wanted, results, strict=False))
        changed, value = self._primal(call, values)
        mirrored = [self._mirrored(call, lane, {}) for lane in range(self.width or 1)] if self.changes else ()
        self._write(call, values, changed)
        derivatives = self._finished(call, results[n:])
        for lane, new in enumerate(mirrored):
            self._apply_mirrored(call, lane, new, True)
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
        return _as_array(found if is_number(found) else 0.0, change.node.dtype)

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
    if seed.dtype.kind not in "fiu" or seed.shape not in ((), t.shape):
        raise TypeError(f"the seed of the return has to be a number like the return, not {seed!r:.60}")
    return np.full(t.shape, seed, t.dtype)


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
            self.where = _found_in(backward, backward.outputs[:n])
            backward.outputs = backward.outputs[n:]
            self.backward = self.prepared.program(backward, "reverse")
        self.program = self.prepared.program(tape, "forward")

    def run(self, call, inputs):
        """(tape, value or None, shadow of the return or None): the forward half."""
        residuals = execute(self.program, inputs)
        found = [residuals[at] if at is not None else constant for at, constant in self.where]
        values = {k: np.array(x) if isinstance(x, np.ndarray) else x for k, x in zip(self.wanted, found, strict=True)}
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
        adjoints = execute(self.backward, [*tape.residuals, *seeds]) if self.backward else tape.residuals[n:]
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
    return made


def bases_in(node):
    """(output, layout) of the new arrays that a node is made of."""
    if isinstance(node, Fresh):
        return [(node.output, node.base)] if node.dtype.kind == "f" else []
    return [found for part in node.parts for found in bases_in(part)] if isinstance(node, Made) else []


def add_arrays(shadow, given):
    """Add the arrays in `given` to those in `shadow`, which has the same structure."""
    if isinstance(shadow, np.ndarray):
        if given is not shadow:
            shadow += given
        return
    mine, others = dict(parts(shadow)), dict(parts(given))
    for step, part in mine.items():
        add_arrays(part, others[step])
