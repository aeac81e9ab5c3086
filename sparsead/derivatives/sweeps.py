"""Entries of a Jacobian by sweeps: one seed for all columns (rows) of a colour, and the entries read from the results.

Columns (rows) that share no row (column) of the pattern get one colour; so a batch of as many tangents (adjoints) as there are
colours holds every entry (Curtis, Powell and Reid, IMA J. Appl. Math. 13 (1974); Gebremedhin, Manne and Pothen, SIAM Review 47
(2005)). What else a colouring may be, and how entries follow from what is read, is in `sparsead.sparsity.colouring`.
"""

from __future__ import annotations

from functools import cached_property
from itertools import groupby

import numpy as np

from sparsead.ops.effect import begin_sweep
from sparsead.transform._adjoint import adjoint
from sparsead.transform._batch import batch
from sparsead.transform._simplify import simplify
from sparsead.transform._split import bind
from sparsead.transform._tangent import tangent
from sparsead.transform.fixed import precomputed

LANES_BYTES = 1 << 28  # a batch of seeds is split where one array of it would take more
SMALL = 1 << 31  # elements of a compressed matrix whose positions take 32 bits
FORWARD, REVERSE = 0, 1  # sides of a colouring: columns by tangents, rows by adjoints


class Directions:
    """The tangent and the adjoint of a tape, made when they are asked for.

    Parameters
    ----------
    tape : Tape
    rows, columns : Axis
        Over outputs and inputs of `tape`.
    kept : sequence of int
        Positions of outputs of `tape` whose values sweeps give behind their results.
    """

    def __init__(self, tape, rows, columns, kept=()):
        self.tape, self.rows, self.columns, self.kept = tape, rows, columns, kept

    def sweep(self, side):
        """The tape of one sweep: inputs are those of the tape, then the seeds; outputs what comes of them."""
        return self.forward if side == FORWARD else self.reverse

    @cached_property
    def forward(self):
        """From tangents of the columns' inputs to tangents of the rows' outputs."""
        tape = tangent(self.tape, self.columns.values)
        n = len(self.tape.outputs)
        tape.outputs = [tape.outputs[v] for v in (*(n + v for v in self.rows.values), *self.kept)]
        return simplify(tape)

    @cached_property
    def reverse(self):
        """From adjoints of the rows' outputs to adjoints of the columns' inputs."""
        tape, _ = adjoint(self.tape, self.columns.values, self.rows.values)
        tape.outputs = tape.outputs[len(self.tape.outputs) :] + [tape.outputs[v] for v in self.kept]
        return simplify(tape)

    def axes(self, side):
        """(axis of the seeds, axis of the results)."""
        return (self.columns, self.rows) if side == FORWARD else (self.rows, self.columns)

    def seeded(self, side):
        """The values that seeds belong to."""
        tape = self.tape
        return [tape.inputs[v] if side == FORWARD else tape.outputs[v] for v in self.axes(side)[0].values]


class Chunk:
    """Colours of one side that are seeded together, in one batch.

    Parameters
    ----------
    side : {0, 1}
    first, last : int
        The colours from `first` to before `last`.
    """

    def __init__(self, side, first, last):
        self.side, self.first, self.last = side, first, last
        self.lanes = last - first

    @property
    def name(self):
        """What its program is called."""
        return f"{'' if self.side == FORWARD else 'row '}colours {self.first} to {self.last - 1}"


class Sweeps:
    """Computes the entries of one layout by the colours of a `Coloring`.

    Parameters
    ----------
    directions : Directions
    coloring : Coloring
        Of the pattern of the tape.
    layout : Layout
        Has all entries of that pattern, or some of them and no others.
    program : callable
        Makes a tape ready to run.
    memory : int or None
        Bytes that the arrays of a batch may take; at least one colour is done at a time.
    """

    def __init__(self, directions, coloring, layout, program, memory=None):
        self.directions, self.coloring, self.layout, self.program = directions, coloring, layout, program
        self.recovery = coloring.recovery()
        self.indptr, self.indices, _ = coloring.pattern
        self.order, self.place = layout.order_of(self.indptr, self.indices)
        self.memory = memory
        self.programs = {}

    # ---- preparation -----------------------------------------------------------------------------------------------

    @cached_property
    def chunks(self):
        """What is seeded at once."""
        found = []
        for side, count in enumerate(self.coloring.counts):
            lanes = self._lanes_of[side]
            found += [Chunk(side, first, min(first + lanes, count)) for first in range(0, count, lanes)]
        return found

    @cached_property
    def _lanes_of(self):
        return [self._lanes(side) if count else 1 for side, count in enumerate(self.coloring.counts)]

    def _lanes(self, side):
        """How many colours of a side are seeded at once: so that no array of the batch is larger than the limit, and all that it
        takes no more than the memory that was given."""
        sweep, count = self.directions.sweep(side), self.coloring.counts[side]
        widest = max((sweep.type(v).nbytes for v in range(sweep.n_values)), default=1)
        lanes = LANES_BYTES // max(widest, 1)
        if self.memory is not None and count > 1:
            seeds, results = self.directions.axes(side)
            schedule = getattr(self._single(side), "schedule", None)
            one = (0 if schedule is None else schedule.nbytes) + 8 * (seeds.total + results.total)
            lanes = min(lanes, self.memory // max(one, 1))
        return max(1, min(lanes, count))

    def _single(self, side):
        """What runs the sweep for one colour; its seeds are inputs."""
        return self._program((side, 1), lambda: self.directions.sweep(side), f"one {'' if side == FORWARD else 'row '}colour")

    def _program(self, key, tape, name):
        if key not in self.programs:
            self.programs[key] = self.program(tape(), name)
        return self.programs[key]

    @property
    def _is_folded(self):
        """Whether there is one batch for each side: then its seeds are part of its tape, else inputs of one for all batches."""
        return len(self.chunks) == len({chunk.side for chunk in self.chunks})

    def program_of(self, chunk):
        """What runs a batch."""
        if self._is_folded:
            return self._program((chunk.side, "all"), lambda: self.tape_of(chunk), chunk.name)
        lanes = self._lanes_of[chunk.side]
        if lanes == 1:
            return self._single(chunk.side)
        name = f"{lanes} {'' if chunk.side == FORWARD else 'row '}colours at once"
        return self._program((chunk.side, lanes), lambda: simplify(self._batched(chunk.side, lanes)), name)

    def _batched(self, side, lanes):
        n, n_seeds = len(self.directions.tape.inputs), len(self.directions.seeded(side))
        return batch(self.directions.sweep(side), range(n, n + n_seeds), lanes)

    def tape_of(self, chunk):
        """The tape of a batch, with its seeds folded in: what depends on them alone is computed here."""
        n = len(self.directions.tape.inputs)
        seeds = self._seeds(chunk)
        bound = bind(self._batched(chunk.side, chunk.lanes), dict(enumerate(seeds, n)))
        if chunk.first or (chunk.side and self.coloring.counts[0]):  # the first batch has given what is kept
            bound.outputs = bound.outputs[: len(self.results(chunk.side))]
        return precomputed(simplify(bound))

    def _seeds(self, chunk, lanes=None):
        """Seeds of a batch, one array of lanes for each seeded value; lanes beyond its colours are zero."""
        axis = self.directions.axes(chunk.side)[0]
        colors = self._colors(chunk.side)
        chosen = np.flatnonzero((colors >= chunk.first) & (colors < chunk.last))
        flat = np.zeros((lanes or chunk.lanes, axis.total))
        axis.scatter(flat, colors[chosen] - chunk.first, chosen, 1.0)
        parts = np.split(flat, np.cumsum(axis.sizes)[:-1], axis=1)
        tape = self.directions.tape
        return [in_lanes(part, tape.type(v)) for part, v in zip(parts, self.directions.seeded(chunk.side), strict=True)]

    def _colors(self, side):
        return self.coloring.column_colors if side == FORWARD else self.coloring.row_colors

    @cached_property
    def reads(self):
        """For each chunk ``(gather, into)``: what is read from its compressed matrix, and to which places it belongs.

        These are places of the data, for a layout that has just the entries of the pattern, if every entry is read as it is;
        else those of what the recovery takes. `into` is None for all of them in order.
        """
        side, color, element = self._sources()
        found = []
        for chunk, into in zip(self.chunks, self._of_chunks(side, color), strict=True):
            results = self.directions.axes(chunk.side)[1]
            lane, at = (color, element) if into is None else (color[into], element[into])
            gather = (lane - chunk.first).astype(np.int64) * results.total + results.places(at)
            found.append((gather.astype(np.int32) if chunk.lanes * results.total < SMALL else gather, into))
        return found

    def _of_chunks(self, side, color):
        """For each chunk the sources that it gives, ascending; None for all."""
        if len(self.chunks) == 1:
            return [None]
        number = np.concatenate([np.full(chunk.lanes, k, np.int32) for k, chunk in enumerate(self.chunks)])
        mine = number[color if side is None else color + side * np.int64(self.coloring.counts[0])]
        order = np.argsort(mine, kind="stable")
        return np.split(order, np.searchsorted(mine[order], np.arange(1, len(self.chunks))))

    def _sources(self):
        r = self.recovery
        found = r.side, r.color, r.element
        if self.is_plain and self.order is not None:
            return tuple(None if x is None else x[self.order] for x in found)
        return found

    @property
    def _n_read(self):
        return self.layout.nnz if self.is_plain else len(self.recovery.color)

    @property
    def is_plain(self):
        """Whether what is read is the data."""
        return self.recovery.direct and self.place is None

    def make_ready(self):
        """Make what a call runs."""
        self.reads  # noqa: B018  (made where it is looked at)
        for chunk in self.chunks:
            self.program_of(chunk)

    # ---- calls -----------------------------------------------------------------------------------------------------

    def run(self, inputs, out=None):
        """(data, kept): the stored entries in the order of the layout, in `out` if they can be; and the values that are kept."""
        if len(self.chunks) == 1 and self.is_plain:
            compressed, kept = self.compressed(self.chunks[0], inputs)
            return _taken(compressed, self.reads[0][0], out), kept
        read, kept = self._read(inputs)
        return (read if self.is_plain else self._placed(read, out)), kept

    def _read(self, inputs):
        """What is read, chunk by chunk: no more than one compressed matrix is held at a time."""
        read, kept = np.empty(self._n_read, self.dtype), []
        for chunk, (gather, into) in zip(self.chunks, self.reads, strict=True):
            part, values = self.compressed(chunk, inputs)
            kept += values
            read[slice(None) if into is None else into] = part[gather]
        return read, kept

    def _placed(self, values, out):
        """The data from what was read."""
        if not self.recovery.direct:
            sources, values = values, np.empty(len(self.indices), values.dtype)
            self.recovery.finish(sources, values)
        if self.place is None:
            return values if self.order is None else values[self.order]
        data = np.zeros(self.layout.nnz, values.dtype) if out is None or out.dtype != values.dtype else out
        data[...] = 0
        data[self.place] = values
        return data

    def compressed(self, chunk, inputs):
        """(the compressed matrix of a chunk, flat: lane by lane the results of a seed; the values that are kept)."""
        begin_sweep()
        types, n = self.results(chunk.side), chunk.lanes
        if self._is_folded:
            found = self.program_of(chunk).run(inputs)
        else:
            n = self._lanes_of[chunk.side]
            seeds = self._seeds(chunk, n)
            found = self.program_of(chunk).run([*inputs, *(seeds if n > 1 else (seed[0] for seed in seeds))])
        lanes = [flat_lanes(r, n, t.ndim) if n > 1 or self._is_folded else flat_lanes(np.asarray(r)[None], 1, t.ndim)
                 for r, t in zip(found, types, strict=False)]  # fmt: skip
        kept = found[len(types) :] if chunk is self.chunks[0] else []
        return joined(lanes, 1).reshape(-1), kept

    @cached_property
    def dtype(self):
        """Of the entries."""
        return np.result_type(*[t.dtype for side in {chunk.side for chunk in self.chunks} for t in self.results(side)])

    def stream(self, inputs):
        """(rows, columns, values) of the entries that are read from each colour in turn."""
        if not self.recovery.direct:
            raise ValueError("entries of this colouring are computed from others, not read colour by colour; take another one")
        return self._streamed(inputs)

    def _streamed(self, inputs):
        r, rows = self.recovery, np.repeat(np.arange(self.layout.shape[0], dtype=np.int32), np.diff(self.indptr))
        offset = 0 if r.side is None else r.side * np.int64(self.coloring.counts[0])
        wanted = np.flatnonzero(self.layout.places(self.indptr, self.indices) >= 0)
        order = wanted[np.argsort((r.color + offset)[wanted], kind="stable")]
        entries = np.split(order, np.searchsorted((r.color + offset)[order], np.arange(1, self.coloring.count)))
        colors = [(side, color) for side, count in enumerate(self.coloring.counts) for color in range(count)]
        for (side, color), mine in zip(colors, entries, strict=True):
            begin_sweep()
            results = self._single(side).run([*inputs, *(seed[0] for seed in self._seeds(Chunk(side, color, color + 1)))])
            lanes = [flat_lanes(np.asarray(x)[None], 1, t.ndim) for x, t in zip(results, self.results(side), strict=False)]
            places = self.directions.axes(side)[1].places(r.element[mine])
            yield rows[mine], self.indices[mine], joined(lanes, 1)[0][places]

    def results(self, side):
        """The types of what one seed gives."""
        sweep = self.directions.sweep(side)
        return [sweep.type(v) for v in sweep.outputs[: len(sweep.outputs) - len(self.directions.kept)]]

    def described(self):
        """In words."""
        batches = []
        for side, group in groupby(self.chunks, lambda chunk: chunk.side):
            n = len(list(group))
            batches.append(f"{n} {'' if side == FORWARD else 'reverse '}sweep{'' if n == 1 else 's'}")
        return f"{self.coloring!r}, {' and '.join(batches)}"


def _taken(compressed, gather, out):
    if out is None or out.dtype != compressed.dtype or not out.flags.c_contiguous:
        return np.take(compressed, gather)
    return np.take(compressed, gather, out=out, mode="clip")  # the default mode writes by way of another array


def joined(arrays, axis):
    """Arrays one after the other."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=axis)


def flat_lanes(array, lanes, ndim):
    """Lanes of an output in the order of the value's memory: C order, or that of an input's layout."""
    if array.ndim == ndim:  # the same for all seeds
        return np.tile(flat_lanes(array[None], 1, ndim), (lanes, 1))
    if array.flags.c_contiguous:
        return array.reshape(lanes, -1)
    order = sorted(range(1, array.ndim), key=lambda k: -abs(array.strides[k]))
    return array.transpose(0, *order).reshape(lanes, -1)


def in_lanes(flat, vtype):
    """Flat seeds as lanes of arrays in the memory layout of `vtype`."""
    lanes = np.array(flat, dtype=vtype.dtype, order="C")
    return np.lib.stride_tricks.as_strided(
        lanes, (len(lanes), *vtype.shape), (vtype.nbytes, *vtype.strides), writeable=True
    )  # fmt: skip


__all__ = ["FORWARD", "LANES_BYTES", "REVERSE", "Directions", "Sweeps", "flat_lanes", "in_lanes", "joined"]
