"""Batching: one sweep for many seeds.

Law: what depends on a batched input gets a leading axis of lanes; everything else is computed once and shared by them.

What is shared comes first, up to where it writes to memory: an engine can then run what has lanes in one go.
"""
from math import prod

import numpy as np
from numpy import zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.tape._tape import checked
from sparsead.tape.spec import OPS, View

from sparsead.tape._tape cimport (ACCUMULATE, ACCUMULATE_AT, CAST, COPY, ELEMENTWISE, EMPTY, GATHER, INPUT, LOAD, LOAD_AT, LOOP,
                                  SCATTER, SCATTER_ADD, STORE, STORE_AT, SUM, Tape, ValueType, ZEROS, has_bodies, offset_t)
from sparsead.transform._activity cimport flags_of
from sparsead.transform._emit cimport Emitter
from sparsead.transform._linear cimport consumed, consuming

AHEAD = 100  # arrays of shared work that are computed before what waits for them
SMALL = 1024  # bytes of what does not count as an array


def batch(Tape tape, positions, int lanes, outputs=()):
    """`tape` with a leading axis of `lanes` on some inputs, and on all that depends on them.

    Parameters
    ----------
    tape : Tape
    positions : sequence of int
        Positions in ``tape.inputs`` of the inputs that get the axis.
    lanes : int
    outputs : sequence of int
        Positions in ``tape.outputs`` of outputs that get the axis whatever they depend on.
    """
    return checked(_Batcher(tape, lanes).run(set(positions), set(outputs)))


cdef class _Batcher:
    cdef Tape old, new
    cdef Emitter emit
    cdef int lanes
    cdef int[::1] value
    cdef signed char[::1] batched
    cdef list waiting  # ops that have lanes, and are not emitted yet

    def __init__(self, Tape tape, int lanes):
        self.old, self.new, self.lanes = tape, tape.fresh(), lanes
        self.emit = Emitter(self.new)
        self.value = zeros(tape.n_vals + 1, np.intc)
        self.batched = zeros(tape.n_vals + 1, np.int8)
        self.waiting = []

    def run(self, positions, with_lanes):
        cdef Tape old = self.old, new = self.new
        cdef int k, j, ahead = 0
        cdef bint any_batched, nested
        cdef signed char[::1] consumes = consuming()
        at = {v: p for p, v in enumerate(old.inputs)}
        for k in range(old.n_ops):
            if old.code[k] == INPUT:
                self._input(k, at[old.out[k]] in positions)
                continue
            any_batched = False
            for j in range(old.start[k], old.start[k + 1]):
                any_batched = any_batched or self.batched[old.operand[j]]
            nested = has_bodies(old.code[k])  # with lanes or not is found out when it is emitted
            if ahead > AHEAD or nested or (not any_batched and consumed(old, k, consumes)):
                self._emit_waiting()
                ahead = 0
            if not any_batched:
                new.take(old, k, &self.value[0])
                ahead += old.out[k + 1] > old.out[k] and old.type_of(old.out[k]).nbytes > SMALL
            elif nested:
                self._batched(k)
            else:
                self.waiting.append(k)
                for j in range(old.out[k], old.out[k + 1]):
                    self.batched[j] = True
        self._emit_waiting()
        new.inputs = [self.value[v] for v in old.inputs]
        self.emit.line = -1
        new.outputs = [self._owned(v) if p in with_lanes else self.value[v] for p, v in enumerate(old.outputs)]
        new.names = {self.value[v]: name for v, name in old.names.items()}
        return new

    cdef int _emit_waiting(self) except -1:
        cdef int k
        for k in self.waiting:
            self._batched(k)
        self.waiting.clear()
        return 0

    cdef int _input(self, int k, bint batched) except -1:
        cdef int v = self.old.out[k]
        cdef int vtype = self._prefixed(self.old.vtype[v]) if batched else self.old.vtype[v]
        self.value[v] = self.new.emit0(INPUT, -1, self.old.imm[k], -1, vtype)
        self.batched[v] = batched
        return 0

    cdef int _prefixed(self, int vtype) except -1:
        """The type with a leading axis of lanes, one whole value after the other."""
        cdef ValueType t = <ValueType> self.old.pool.types[vtype]
        # The strides of empty arrays are not 0 either: those of C order count an axis of no point as one.
        cdef Py_ssize_t nbytes = t.nbytes if t.size else prod([max(n, 1) for n in t.shape]) * t.dtype.itemsize
        return self.old.pool.type_id(t.dtype, (self.lanes,) + t.shape, (nbytes,) + t.strides)

    cdef int _spread(self, int v) except -1:
        """The new value of `v` with lanes, by repetition if it has none of its own."""
        cdef ValueType t = self.old.type_of(v)
        if self.batched[v]:
            return self.value[v]
        return self.emit.load(self.value[v], View((self.lanes,) + t.shape, (0,) + t.strides, t.dtype))

    cdef int _spread_to(self, int ndim, int v) except -1:
        """Like `_spread`, for a place of `ndim` axes that the value is broadcast to: the lanes stay in front."""
        cdef ValueType t = self.old.type_of(v)
        if t.ndim == ndim:
            return self._spread(v)
        gap = ndim - t.ndim
        view = View((self.lanes,) + (1,) * gap + t.shape, (t.nbytes * self.batched[v],) + (0,) * gap + t.strides, t.dtype)
        return self.emit.load(self.value[v], view)

    cdef int _window_ndim(self, int attr) except -1:
        given = self.old.pool.attrs[attr]
        return len(getattr(given, "view", given).shape)

    cdef int _owned(self, int v) except -1:
        """Like `_spread`, in memory of its own: the base of a store."""
        if self.batched[v]:
            return self.value[v]
        cdef int maker = self.old.code[self.old.vop[v]]
        if maker == ZEROS or maker == EMPTY:
            return self.new.emit0(maker, -1, 0, self.emit.line, self._prefixed(self.old.vtype[v]))
        return self.new.emit1(COPY, self._spread(v), -1, 0, self.emit.line, self._prefixed(self.old.vtype[v]))

    cdef int _attr(self, int attr, ValueType base) except -1:
        given = self.old.pool.attrs[attr]
        view = getattr(given, "view", given)                # of a window that moves
        view = View((self.lanes,) + view.shape, (base.nbytes,) + view.strides, view.dtype)
        return self.old.pool.attr_id(view if isinstance(given, View) else given._replace(view=view))

    cdef int _batched(self, int k) except -1:
        cdef Tape old = self.old, new = self.new
        cdef int code = old.code[k], z = old.out[k], line = old.line[k]
        cdef int *operands = old.operand + old.start[k]
        cdef int x = operands[0]
        cdef offset_t imm = old.imm[k]
        self.emit.line = line
        if has_bodies(code):
            return self._nested(k, code, operands)
        if code >= ELEMENTWISE:
            self._elementwise(k)
        elif code == LOAD_AT or code == STORE_AT or code == ACCUMULATE_AT:
            self._moving(k, code, operands)
        elif code == LOAD:
            self.value[z] = new.emit1(LOAD, self.value[x], self._attr(old.attr[k], old.type_of(x)), imm, line,
                                      self._prefixed(old.vtype[z]))
        elif code == STORE or code == ACCUMULATE:
            self.value[z] = new.emit2(code, self._owned(x), self._spread_to(self._window_ndim(old.attr[k]), operands[1]),
                                      self._attr(old.attr[k], old.type_of(x)), imm, line, self._prefixed(old.vtype[z]))
        elif code == GATHER or code == SCATTER or code == SCATTER_ADD:
            self._indexed(k, code, operands)
        elif code == COPY or code == CAST:
            self.value[z] = new.emit1(code, self.value[x], -1, 0, line, self._prefixed(old.vtype[z]))
        elif code == SUM:
            axes = tuple([a + 1 for a in old.pool.attrs[old.attr[k]]])
            total = self.emit.sum(self.value[x], axes, old.type_of(z).dtype)
            self.value[z] = self.emit.laid(total, self._prefixed(old.vtype[z]))
        else:
            self._by_rule(k, code, operands)
        for z in range(old.out[k], old.out[k + 1]):
            self.batched[z] = True
        return 0

    cdef int _elementwise(self, int k) except -1:
        cdef Tape old = self.old
        cdef int j, v, n = old.start[k + 1] - old.start[k], ndim = old.type_of(old.out[k]).ndim, first
        cdef ValueType t
        cdef int[4] args
        cdef int[4] vtypes
        for j in range(n):
            v = old.operand[old.start[k] + j]
            t = old.type_of(v)
            args[j] = self.value[v]
            if self.batched[v] and t.ndim < ndim:
                gap = ndim - t.ndim
                view = View((self.lanes,) + (1,) * gap + t.shape, (t.nbytes,) + (0,) * gap + t.strides, t.dtype)
                args[j] = self.emit.load(args[j], view)
        for j in range(old.out[k + 1] - old.out[k]):
            vtypes[j] = self._prefixed(old.vtype[old.out[k] + j])
        first = self.new.emit_many(old.code[k], args, n, old.attr[k], 0, old.line[k], vtypes,
                                   old.out[k + 1] - old.out[k])
        for j in range(old.out[k + 1] - old.out[k]):
            self.value[old.out[k] + j] = first + j
        return 0

    cdef int _moving(self, int k, int code, int *operands) except -1:
        cdef Tape old = self.old
        cdef int z = old.out[k], j, first = 1 if code == LOAD_AT else 2
        if code == LOAD_AT:
            moved = [self.value[operands[0]]]
        else:
            moved = [self._owned(operands[0]), self._spread_to(self._window_ndim(old.attr[k]), operands[1])]
        for j in range(first, old.start[k + 1] - old.start[k]):
            if self.batched[operands[j]]:
                raise TypeError("an index may not depend on a seed")
            moved.append(self.value[operands[j]])
        self.value[z] = self.emit.window(code, moved, self._attr(old.attr[k], old.type_of(operands[0])), old.imm[k],
                                         self._prefixed(old.vtype[z]))
        return 0

    cdef int _nested(self, int k, int code, int *operands) except -1:
        cdef Tape old = self.old
        cdef int j, z, m = old.out[k + 1] - old.out[k]
        from sparsead.transform.branches.batch import batched_branch
        from sparsead.transform.loops.batch import batched_loop
        law = batched_loop if code == LOOP else batched_branch
        attr, carries = law(old.pool.attrs[old.attr[k]], flags_of(old, k, self.batched), self.lanes)
        moved = [self._owned(operands[j]) if j < m and carries[j] else self.value[operands[j]]
                 for j in range(old.start[k + 1] - old.start[k])]
        vtypes = [self._prefixed(old.vtype[old.out[k] + j]) if carries[j] else old.vtype[old.out[k] + j] for j in range(m)]
        for j, z in enumerate(self.emit.many(code, moved, attr, vtypes)):
            self.value[old.out[k] + j], self.batched[old.out[k] + j] = z, carries[j]
        return 0

    cdef int _indexed(self, int k, int code, int *operands) except -1:
        cdef Tape old = self.old, new = self.new
        cdef int z = old.out[k], pos = self.value[operands[1]]
        cdef offset_t lanes = self.lanes * max(old.imm[k], 1)
        cdef int vtype = self._prefixed(old.vtype[z])
        if self.batched[operands[1]]:
            raise TypeError("an index may not depend on a seed")
        if code == GATHER:
            self.value[z] = new.emit2(GATHER, self.value[operands[0]], pos, -1, lanes, old.line[k], vtype)
        else:
            self.value[z] = new.emit3(code, self._owned(operands[0]), pos, self._spread(operands[2]), -1, lanes,
                                      old.line[k], vtype)
        return 0

    cdef int _by_rule(self, int k, int code, int *operands) except -1:
        cdef Tape old = self.old
        cdef int j
        if OPS[code].batch is None:
            raise TypeError(f"op {OPS[code].name} has no rule for a batch of seeds")
        op = old.op(k)
        flags = [bool(self.batched[v]) for v in op.operands]
        view = op._replace(operands=tuple([self.value[v] for v in op.operands]))
        types = [self.old.pool.types[self._prefixed(old.vtype[z])] for z in op.results]
        results = OPS[code].batch(self.emit, view, flags, self.lanes, types)
        for j in range(len(op.results)):
            self.value[op.results[j]] = self.emit.laid(results[j], self._prefixed(old.vtype[op.results[j]]))
        return 0
