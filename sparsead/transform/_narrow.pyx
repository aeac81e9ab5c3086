"""Stores of what is read afterwards, and of nothing else.

Law: the outputs keep their bits. What a store writes is live if a later op may read it before it is overwritten; a store of which
little is live becomes a few smaller ones, and what they store is read where it was read before, but only there; so does a copy.

The reverse sweep of overlapping updates in place is full of dead stores: each update is undone by itself, and where the next one
overwrites at once what was restored, a log is kept for nothing; and where a version of a storage is kept as a whole, the next one
begins with a copy of which most is overwritten. This is liveness of sections of arrays: Gross and Steenkiste,
Structured dataflow analysis for arrays and its use in an optimizing compiler, Softw. Pract. Exper. 20 (1990).
"""
from numpy import full, intc, int8, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.tape._tape import checked
from sparsead.tape.spec import View
from sparsead.transform import boxes as sections
from sparsead.transform.boxes import cover, exact, including, pieces, section, size, whole, windows, without

from sparsead.tape._tape cimport (ACCUMULATE, ACCUMULATE_AT, COPY, EFFECT, EMPTY, GUARD, INPUT, LOAD, LOAD_AT, STORE, STORE_AT,
                                  Tape, ValueType, has_bodies)
from sparsead.transform._linear cimport consumed, consuming

cdef int PARTS = 4       # stores that one is cut into, at most
cdef int COPIES = 6      # copies of boxes in the place of one: the faces of a storage of three axes
cdef int MANY = 16       # boxes


def narrowed(Tape tape, owned=()):
    """A tape whose large stores write little that nobody reads; the same object if there are no others.

    Parameters
    ----------
    tape : Tape
        Linear (`sparsead.transform._linear`).
    owned : sequence of int
        Inputs (values) that it may overwrite.
    """
    return _Narrower(tape).run(owned)


cdef class _Narrower:
    cdef Tape old, new
    cdef int least                      # elements of a large store
    cdef int[::1] chain, value          # old value -> its storage; -> value of the new tape
    cdef signed char[::1] watched       # storages with large stores
    cdef signed char[::1] wanted, entire  # old values that somebody reads; and not only parts of them
    cdef signed char[::1] dead          # ops whose results nobody reads
    cdef dict live                      # storage -> boxes that are read later on
    cdef dict cut                       # op that writes or copies -> (its `Exact` window, the boxes that it is cut into)
    cdef dict asked                     # value -> store ops that read parts of it
    cdef dict ready                     # (store op, number of the part) -> value of the new tape
    cdef int[::1] first                 # old value -> the first op that reads it
    cdef dict behind                    # store op -> what is copied after it: (value of the new tape, attribute, offset)

    def __init__(self, Tape tape):
        cdef int n = tape.n_vals + 1
        self.old, self.new, self.least = tape, tape.fresh(), sections.LEAST
        self.chain, self.value = full(n, -1, intc), zeros(n, intc)
        self.watched, self.wanted, self.entire = zeros(n, int8), zeros(n, int8), zeros(n, int8)
        self.dead = zeros(tape.n_ops + 1, int8)
        self.first = zeros(n, intc)
        self.live, self.cut, self.asked, self.ready, self.behind = {}, {}, {}, {}, {}

    def run(self, owned):
        if self._watch():
            self._look()
        return self._written(owned) if self.cut else self.old

    cdef bint _watch(self) except -1:
        """Find the storages, and those of them with large stores."""
        cdef Tape old = self.old
        cdef signed char[::1] consumes = consuming()
        cdef int k, j, c
        cdef bint found = False
        for j in range(old.n_vals):
            self.chain[j] = j
        for k in range(old.n_ops):
            for j in range(consumed(old, k, consumes)):
                self.chain[old.out[k] + j] = self.chain[old.operand[old.start[k] + j]]
            if old.code[k] == STORE and old.type_of(old.operand[old.start[k] + 1]).size >= self.least:
                c = self.chain[old.out[k]]
                if not self.watched[c] and whole(old.type_of(c)) is not None:
                    self.watched[c] = found = True
                    self.live[c] = []
        return found

    # ---- backwards: what is read -------------------------------------------------------------------------------------

    cdef int _look(self) except -1:
        cdef Tape old = self.old
        cdef int k, j, code
        for v in old.outputs:
            self._want(v)
        for k in range(old.n_ops - 1, -1, -1):
            code = old.code[k]
            if not self._matters(k):
                self.dead[k] = True
                continue
            for j in range(old.start[k], old.start[k + 1]):
                self.first[old.operand[j]] = k
            if code == STORE:
                self._store(k)
            elif (code == LOAD or code == LOAD_AT) and self.watched[self.chain[old.operand[old.start[k]]]]:
                self._load(k)
            elif code == COPY and self.watched[self.chain[old.out[k]]]:
                self._copy(k)
            elif code == ACCUMULATE or code == ACCUMULATE_AT or code == STORE_AT:
                self._add(k)
            else:
                self._want_from(k, 0)
        return 0

    cdef bint _matters(self, int k) except -1:
        cdef int j, code = self.old.code[k]
        if code == GUARD or code == EFFECT or code == INPUT or has_bodies(code):
            return True
        for j in range(self.old.out[k], self.old.out[k + 1]):
            if self.wanted[j]:
                return True
        return False

    cdef int _want_from(self, int k, int first) except -1:
        """The operands of op `k` from position `first` on are read."""
        cdef int j
        for j in range(self.old.start[k] + first, self.old.start[k + 1]):
            self._want(self.old.operand[j])
        return 0

    cdef void _keep(self, int v):
        """A value is there; what is read of it is known otherwise."""
        self.wanted[v] = self.entire[v] = True

    cdef int _want(self, int v) except -1:
        """All of a value is read."""
        cdef int c = self.chain[v]
        self._keep(v)
        if self.watched[c]:
            self.live[c] = [whole(self.old.type_of(c))]
        return 0

    cdef int _load(self, int k) except -1:
        cdef Tape old = self.old
        cdef int x = old.operand[old.start[k]], z = old.out[k], store
        boxes, t = self.live[self.chain[x]], old.type_of(x)
        read = [(old.pool.attrs[old.attr[k]], old.imm[k])]
        if not self.entire[z]:
            read = [self._source(z, store, box) for store in self.asked[z] for box in self.cut[store][1]]
        for view, offset in read:
            boxes = including(boxes, cover(view, offset, t))
        self.live[self.chain[x]] = boxes
        self._keep(x)
        self._want_from(k, 1)
        return 0

    cdef int _copy(self, int k) except -1:
        cdef Tape old = self.old
        cdef int x = old.operand[old.start[k]]
        cdef ValueType t = old.type_of(x)
        boxes = self.live[self.chain[old.out[k]]]
        if old.vtype[old.out[k]] != old.vtype[x] or len(boxes) > COPIES or 2 * sum([size(box) for box in boxes]) > t.size:
            return self._want(x)
        self.cut[k] = None, boxes
        self._keep(x)
        if self.watched[self.chain[x]]:
            for box in boxes:
                self.live[self.chain[x]] = including(self.live[self.chain[x]], box)
        return 0

    cdef int _add(self, int k) except -1:
        """An op reads the elements that it adds to; what it leaves alone is live already."""
        cdef Tape old = self.old
        cdef int c = self.chain[old.out[k]]
        self._keep(old.operand[old.start[k]])
        if self.watched[c] and old.code[k] != STORE_AT:
            box = cover(old.pool.attrs[old.attr[k]], old.imm[k], old.type_of(c))
            if not pieces(self.live[c], box):
                self.cut[k] = None, []
                return 0
            self.live[c] = including(self.live[c], box)
        return self._want_from(k, 1)

    cdef int _store(self, int k) except -1:
        cdef Tape old = self.old
        cdef int v = old.operand[old.start[k] + 1], c = self.chain[old.out[k]]
        cdef ValueType t = old.type_of(v)
        self._keep(old.operand[old.start[k]])
        view = old.pool.attrs[old.attr[k]]
        place = exact(view, old.imm[k], old.type_of(c)) if self.watched[c] else None
        boxes = None if place is None else pieces(self.live[c], place.box)
        if boxes is not None and t.size >= self.least and (t.shape, t.dtype) == (view.shape, view.dtype) \
                and len(boxes) <= PARTS and 2 * sum([size(box) for box in boxes]) <= t.size:
            self.cut[k] = place, boxes
        if place is not None:
            self.live[c] = fewer(without(self.live[c], place.box), self.live[c])
        if k not in self.cut or boxes and old.code[old.vop[v]] != LOAD:
            self._want(v)
        if boxes and k in self.cut:
            self.wanted[v] = True
            self.asked.setdefault(v, []).append(k)
        return 0

    # ---- forwards: the new tape --------------------------------------------------------------------------------------

    def _written(self, owned):
        cdef Tape old = self.old, new = self.new
        cdef int k, v, store
        for k in range(old.n_ops):
            if self.dead[k]:
                continue
            if k in self.cut and old.code[k] == COPY:
                self._copy_parts(k)
            elif k in self.cut:
                self._store_parts(k)
            elif old.code[k] != LOAD or self.entire[old.out[k]]:
                new.take(old, k, &self.value[0])
            if k in self.behind:
                self.value[old.out[k]] = self._with_parts(self.value[old.out[k]], k, self.behind[k])
            for v in range(old.out[k], old.out[k + 1]):
                for store in self.asked.get(v, ()):
                    self._read_parts(v, store)
        new.inputs = [self.value[v] for v in old.inputs]
        new.outputs = [self.value[v] for v in old.outputs]
        new.names = {self.value[v]: name for v, name in old.names.items()}
        return checked(new, linear=True, owned=[self.value[v] for v in owned])

    cdef tuple _source(self, int v, int store, box):
        """(view, byte offset) of what is stored in a box: in the memory that `v` is loaded from, or in that of `v` itself."""
        cdef Tape old = self.old
        cdef ValueType t = old.type_of(v)
        cdef int maker = old.vop[v]
        place = self.cut[store][0]
        view, offset = View(t.shape, t.strides, t.dtype), 0
        if old.code[maker] == LOAD:
            view, offset = old.pool.attrs[old.attr[maker]], old.imm[maker]
        if place.along >= 0:
            step = view.strides[place.along]
            view = view._replace(strides=tuple([s // view.dtype.itemsize * step for s in place.view.strides]))
        return _window(view, offset, place, box)

    cdef int _read_parts(self, int v, int store) except -1:
        cdef Tape old = self.old
        cdef int maker = old.vop[v], j, base
        base = self.value[old.operand[old.start[maker]]] if old.code[maker] == LOAD else self.value[v]
        for j, box in enumerate(self.cut[store][1]):
            view, offset = self._source(v, store, box)
            self.ready[store, j] = self._loaded(base, view, offset, old.line[maker])
        return 0

    cdef int _loaded(self, int base, view, offset, int line) except -1:
        cdef Tape new = self.new
        return new.emit1(LOAD, base, new.pool.attr_id(view), offset, line, new.pool.dense_type_id(view.dtype, view.shape))

    cdef int _store_parts(self, int k) except -1:
        cdef Tape old = self.old, new = self.new
        cdef int x = self.value[old.operand[old.start[k]]], j
        place, boxes = self.cut[k]
        for j, box in enumerate(boxes):
            view, offset = _window(place.view, old.imm[k], place, box)
            x = new.emit2(STORE, x, self.ready[k, j], new.pool.attr_id(view), offset, old.line[k], old.vtype[old.out[k]])
        self.value[old.out[k]] = x
        return 0

    cdef int _copy_parts(self, int k) except -1:
        cdef Tape old = self.old, new = self.new
        cdef int x = self.value[old.operand[old.start[k]]]
        cdef int z = new.emit0(EMPTY, -1, 0, old.line[k], old.vtype[old.out[k]])
        parts = []
        for box in self.cut[k][1]:
            view, offset = section(box, old.type_of(old.out[k]))
            parts.append((self._loaded(x, view, offset, old.line[k]), new.pool.attr_id(view), offset))
        if self._waits(k):
            self.behind[self.first[old.out[k]]] = parts
            self.value[old.out[k]] = z
        else:
            self.value[old.out[k]] = self._with_parts(z, k, parts)
        return 0

    cdef bint _waits(self, int k) except -1:
        """Whether what op `k` copies is stored after the store that comes next, which need not wait for it then."""
        cdef Tape old = self.old
        cdef int z = old.out[k], store = self.first[z]
        if old.code[store] != STORE:
            return False
        place = exact(old.pool.attrs[old.attr[store]], old.imm[store], old.type_of(z))
        return place is not None and not pieces(self.cut[k][1], place.box)

    cdef int _with_parts(self, int z, int k, parts) except -1:
        """`z`, of the new tape, with parts of another storage stored in it for op `k`."""
        for v, attr, offset in parts:
            z = self.new.emit2(STORE, z, v, attr, offset, self.old.line[k], self.old.vtype[self.old.out[k]])
        return z


def _window(view, offset, place, box):
    """(view, byte offset) of a box of an `Exact` window, in memory where the window is `view` at `offset`."""
    shape, first = windows(place, box)
    return View(shape, view.strides, view.dtype), offset + sum([i * s for i, s in zip(first, view.strides)])


def fewer(boxes, others):
    """The first of two lists of boxes, if it is not long."""
    return boxes if len(boxes) <= MANY else others
