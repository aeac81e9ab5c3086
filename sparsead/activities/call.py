"""One call: where the shadows of its arguments are, and whether they are fit to be used."""

from __future__ import annotations

from sparsead.activities._apart import apart
from sparsead.activities.memory import check_aligned
from sparsead.activities.structures import Pairs, overlap, part_of
from sparsead.activities.sweeps import MISSING
from sparsead.tape._memory import address
from sparsead.tracing._traced import concrete_of
from sparsead.tracing.record import bind
from sparsead.tracing.substitution import path_text, resolve

NOTHING: frozenset = frozenset()


class Call:
    """One call: its annotations, and where its shadows are.

    Parameters
    ----------
    derivative : Activities
    annotations : tuple
        Of the arguments; first that of the object that is called, if it is one.
    own : annotation or None
        Of a function that has captured arrays with shadows.
    hidden : int
        So many annotations at the front have no slot in the result.
    fresh : bool
        Whether shadows of what is not written begin as zeros.
    """

    def __init__(self, derivative, annotations, own, hidden, fresh=False):
        self.derivative, self.annotations, self.own, self.hidden = derivative, annotations, own, hidden
        self.fresh = fresh
        self.values = tuple([annotation[0] for annotation in annotations])
        self.added = self.added_parts = NOTHING
        self.owners: dict = {}
        self._arguments: dict = {}
        self._pairs = self._given = None
        self.width = self._lanes() if derivative.batched else 0

    def _lanes(self):
        """How many shadows there are; 0: they come alone."""
        found = [*self.annotations, self.own] if self.own is not None else self.annotations
        counts = {len(annotation.shadows) for annotation in found} | {self.derivative.mode.width}
        counts.discard(0)
        if len(counts) > 1:
            n, m, *_ = sorted(counts)
            raise ValueError(f"all shadows of a call have the same number of lanes: here are {n} and {m}")
        width = max(counts, default=0)
        return width if width > 1 else 0

    def work(self, prepared, inputs, arguments):
        """Run the sweep of a recording."""
        sweep = self.derivative.sweep(prepared, self.width)
        if not sweep.flat:
            self.pair()
            sweep.check_places(self)
        sweep.check_writeable(self)
        self.check_memory(prepared, sweep, inputs)
        return sweep.run(self, inputs)

    # ---- arguments and their shadows ---------------------------------------------------------------------------------

    @property
    def given(self):
        """The arguments by name, defaults filled in."""
        if self._given is None:
            self._given = dict(bind(self.derivative.function, self.values, {}).arguments)
        return self._given

    @property
    def pairs(self):
        """The shadows of all that the arguments lead to, as it was when they were asked for first."""
        return self._pairs or self.pair()

    def pair(self):
        """Find the shadows of all that the arguments lead to: before anything changes."""
        self._pairs = pairs = Pairs()
        for place, annotation in zip(self.derivative.places, self.annotations, strict=True):
            if annotation.shadows:
                pairs.enter(annotation.value, annotation.shadows, place)
        if self.own is not None and self.own.shadows:
            pairs.enter(self.own.value, self.own.shadows, (("function", self.own.value),))
        return pairs

    def argument(self, path):
        """What stands at `path` now."""
        if path[0][0] != "argument":  # arguments are bound to names only where that is asked for: it takes longer than the rest
            return resolve(path, None)
        k = self.derivative.index.get(path)
        return resolve(path, self.given) if k is None else self.values[k]

    def shadow(self, path, lane):
        """The shadow of the array at `path`."""
        k = self.derivative.index.get(path)
        return self.pairs.arrays[path][1][lane] if k is None else self.annotations[k].shadows[lane]

    def has_number(self, path):
        """Whether the number at `path` has a shadow."""
        k = self.derivative.index.get(path)
        return path in self.pairs.numbers if k is None else bool(self.annotations[k].shadows)

    def number(self, path, lane):
        """The shadow of the number at `path`, as it is now."""
        k = self.derivative.index.get(path)
        if k is not None:
            return self.annotations[k].shadows[lane]
        owners = self.pairs.owners[path][1]
        return part_of(owners[lane], path[-1]) if owners else self.pairs.numbers[path][lane]

    def owner(self, path, lane):
        """The shadow of the list, dict or object that stood at `path` before the call."""
        if (path, lane) not in self.owners:
            self.owners[path, lane] = resolve(path, self.shadow_arguments(lane))
        return self.owners[path, lane]

    def shadow_arguments(self, lane):
        """The shadows of the arguments, by name; None for what has none."""
        if lane not in self._arguments:
            found: dict = {}
            for place, annotation in zip(self.derivative.places, self.annotations, strict=True):
                shadow = annotation.shadows[lane] if annotation.shadows else None
                if len(place) == 1:
                    found[place[0][1]] = shadow
                else:
                    found.setdefault(place[0][1], []).append(shadow)
            self._arguments[lane] = found
        return self._arguments[lane]

    def shadow_at(self, path, lane):
        """The shadow of what stood at `path` before the call; MISSING if there is none."""
        if path in self.pairs.arrays:
            return self.pairs.arrays[path][1][lane]
        if path[0][0] == "captured":
            found = [shadows for array, shadows in self.pairs.arrays.values() if array is path[0][1]]
            return found[0][lane] if found else MISSING
        obj = resolve(path, self.given)
        if id(obj) in self.pairs.structures:
            return self.pairs.structures[id(obj)][1][lane]
        return MISSING

    # ---- memory ------------------------------------------------------------------------------------------------------

    def check_memory(self, prepared, sweep, inputs):
        """ValueError unless each element has one shadow, in memory that is nothing else's."""
        self.added = NOTHING
        if sweep.single and apart(inputs[: sweep.n_blocks], [self.shadow(path, 0) for path in sweep.paths]):
            return
        found = [[self._aligned(prepared, sweep, b, lane) for b in sweep.active_blocks] for lane in range(self.width or 1)]
        arrays = [concrete_of(self.argument(leaf.path)) for leaf in prepared.recording.arrays if leaf.path[0][0] == "argument"]
        arrays += [concrete_of(array) for array, _ in self.pairs.arrays.values()]
        for lane, parts_ in enumerate(found):
            for k, (b, path, shadow) in enumerate(parts_):
                if any(overlap(array, shadow) for array in arrays):
                    raise ValueError(f"the shadow of {path_text(path)} shares memory with an argument")
                for other, where, before in parts_[:k]:
                    if overlap(before, shadow):
                        self._check_shared(prepared, (other, where, before), (b, path, shadow))
                if not sweep.forward or b in prepared.outputs.written:
                    if not shadow.flags.writeable:
                        raise ValueError(f"the shadow of {path_text(path)} is read-only")
                    for others in found[:lane]:
                        if any(overlap(before, shadow) for _, _, before in others):
                            raise ValueError(f"shadows of {path_text(path)} in two lanes share memory")

    def _aligned(self, prepared, sweep, b, lane):
        """(b, path, memory of the shadow): all of it, if a block has several members."""
        block, paths = prepared.recording.blocks[b], [path for _, path in sweep.members[b]]
        shadows = [self.shadow(path, lane) for path in paths]
        if len(paths) > 1:
            check_aligned(block, [self.pairs.arrays[path][0] for path in paths], shadows, paths)
        plain = [concrete_of(shadow) for shadow in shadows]
        return b, paths[0], plain[0] if len(plain) == 1 or block.whole else block.memory_of(plain)

    def _check_shared(self, prepared, one, two):
        """Two arguments may share a shadow that gathers the adjoints of both; what is written needs one of its own."""
        (a, where, before), (b, path, shadow) = one, two
        written = a in prepared.outputs.written or b in prepared.outputs.written
        same = before.shape == shadow.shape and before.strides == shadow.strides and address(before) == address(shadow)
        if written or not same:
            raise ValueError(f"{path_text(where)} and {path_text(path)} are different memory, but their shadows share memory")
        self.added |= {b}
