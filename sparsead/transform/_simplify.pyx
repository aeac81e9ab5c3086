"""Simplification: dead code, common subexpressions, folding of constants, identities that are exact in IEEE arithmetic.

Law: every output keeps its bits. So x * 1 is x, but x + 0 is not (it turns -0.0 into 0.0), and nothing is assumed finite.

What a reverse sweep computes again of the arrays before its seeds is left alone: the adjoint transform has weighed it against
keeping them.
"""
from libc.stdint cimport uint64_t

import numpy as np
from numpy import array, asarray, full, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.ops.table import CODE_OF_NAME
from sparsead.tape._tape import TapeError, checked
from sparsead.tape.spec import OPS, View

from sparsead.tape._tape cimport (ACCUMULATE, ACCUMULATE_AT, CAST, CONST, COPY, ELEMENTWISE, EFFECT, EMPTY, GUARD, INPUT,
                                  LOAD, LOAD_AT, LOOP, SEED, STORE, STORE_AT, ZEROS, Tape, has_bodies, offset_t)
from sparsead.transform._linear cimport consuming

cdef int MULTIPLY = CODE_OF_NAME["multiply"]
cdef int DIVIDE = CODE_OF_NAME["divide"]
cdef int NEGATIVE = CODE_OF_NAME["negative"]
cdef int FOLD_LIMIT = 1 << 24                # bytes of a folded constant


cdef signed char[::1] live_ops(Tape tape):
    """Flags: ops whose results reach an output, guards, effects and inputs."""
    cdef signed char[::1] value = zeros(tape.n_vals + 1, np.int8)
    cdef signed char[::1] live = zeros(tape.n_ops + 1, np.int8)
    cdef int k, j
    for v in tape.outputs:
        value[v] = 1
    for v in tape.inputs:
        live[tape.vop[v]] = 1
    for k in range(tape.n_ops - 1, -1, -1):
        for j in range(tape.out[k], tape.out[k + 1]):
            live[k] |= value[j]
        if live[k] and tape.code[k] == INPUT and tape.out[k] not in tape.inputs:
            raise TapeError(f"value {tape.out[k]} is read, but it is no input any more")
        if live[k] or kept(tape, k):
            live[k] = 1
            for j in range(tape.start[k], tape.start[k + 1]):
                value[tape.operand[j]] = 1
    return live


cdef bint kept(Tape tape, int k) except -1:
    """Whether op `k` is there for what it checks or shows."""
    cdef int code = tape.code[k]
    return code == GUARD or code == EFFECT or has_bodies(code) and tape.pool.attrs[tape.attr[k]].kept


def live_values(Tape tape, outputs):
    """Flags of what guards, effects and the values `outputs` are made of; of loops and branches only what matters counts."""
    cdef signed char[::1] value = zeros(tape.n_vals + 1, np.int8)
    cdef int k, j
    cdef bint live
    for v in outputs:
        value[v] = 1
    for k in range(tape.n_ops - 1, -1, -1):
        live = kept(tape, k)
        for j in range(tape.out[k], tape.out[k + 1]):
            live = live or value[j]
        if live and has_bodies(tape.code[k]):
            results = tuple([bool(value[j]) for j in range(tape.out[k], tape.out[k + 1])])
            for j, flag in enumerate(live_operands(tape.code[k])(tape.pool.attrs[tape.attr[k]], results)):
                value[tape.operand[tape.start[k] + j]] |= <bint> flag
        elif live:
            for j in range(tape.start[k], tape.start[k + 1]):
                value[tape.operand[j]] = 1
    return asarray(value)


cdef object live_operands(int code):
    """The law of liveness for loops, or for branches."""
    from sparsead.transform.branches import activity
    from sparsead.transform.loops import simplify
    return simplify.live_operands if code == LOOP else activity.live_operands


def simplify(Tape tape, fold=True):
    """An equal tape with less work in it."""
    from sparsead.transform.loops.rewrite import nested_of
    from sparsead.transform.loops.simplify import tidied
    while True:
        new = _Simplifier(tape, fold).run()
        tape = tidied(new, fold) if nested_of(new) else new
        if tape is new:
            return checked(new)


def prune(Tape tape, outputs):
    """`tape` with other outputs and without what they do not need."""
    cdef Tape narrowed = tape.copy()
    narrowed.outputs = list(outputs)
    return simplify(narrowed)


cdef class _Simplifier:
    cdef Tape old, new
    cdef int[::1] value, args
    cdef int[::1] table                 # open addressing: an op of the new tape by its contents, -1: none
    cdef uint64_t mask
    cdef int turn                       # ops of the new tape before the latest seed of a reverse sweep
    cdef dict folded, views, ones
    cdef bint fold
    cdef int attr                               # of the op at hand
    cdef offset_t imm
    cdef signed char[::1] unshared

    def __init__(self, Tape tape, fold):
        self.old, self.new, self.fold = tape, tape.fresh(), fold
        self.folded, self.views, self.ones = {}, {}, {}
        self.value, self.args = zeros(tape.n_vals + 1, np.intc), zeros(tape.widest() + 1, np.intc)
        self.mask = (1 << (2 * tape.n_ops).bit_length()) - 1        # at most half full
        self.table = full(self.mask + 1, -1, np.intc)
        unshared = array(consuming()).copy()
        unshared[[INPUT, ZEROS, EMPTY, COPY, GUARD, EFFECT]] = 1
        self.unshared = unshared

    def run(self):
        cdef signed char[::1] live = live_ops(self.old)
        cdef int k
        for k in range(self.old.n_ops):
            if self.old.code[k] == INPUT and self.old.imm[k] == SEED:
                self.turn = self.new.n_ops
            if live[k]:
                self._op(k)
        new = self.new
        new.inputs = [self.value[v] for v in self.old.inputs]
        new.outputs = [self.value[v] for v in self.old.outputs]
        new.names = {self.value[v]: name for v, name in self.old.names.items()}
        return new

    cdef int _op(self, int k) except -1:
        cdef Tape old = self.old
        cdef int code = old.code[k], j, n = old.start[k + 1] - old.start[k], first = -1
        cdef int n_out = old.out[k + 1] - old.out[k]
        cdef int *args = &self.args[0]
        self.attr, self.imm = old.attr[k], old.imm[k]
        for j in range(n):
            args[j] = self.value[old.operand[old.start[k] + j]]
        if (code == LOAD_AT or code == STORE_AT or code == ACCUMULATE_AT) and self._stands_still(code, args, n):
            n = 1 if code == LOAD_AT else 2
            code = LOAD if code == LOAD_AT else STORE if code == STORE_AT else ACCUMULATE
        if n_out == 1:
            first = self._identity(k, code, args, n)
        if first < 0 and (self.unshared[code] or self._shows(k)):
            first = self._emit(k, code, args, n)
        elif first < 0:
            first = self._folded(k, code, args, n)
            if first < 0:
                first = self._shared(k, code, args, n)
        for j in range(n_out):
            self.value[old.out[k] + j] = first + j
        return 0

    cdef bint _shows(self, int k) except -1:
        """Whether op `k` is a loop or branch with effects: an equal one shows the same once more."""
        return has_bodies(self.old.code[k]) and self.old.pool.attrs[self.old.attr[k]].effective

    cdef bint _stands_still(self, int code, int *args, int n) except -1:
        """Whether all indices of a moving window are constants within their limits; then attribute and offset are of a view."""
        cdef Tape new = self.new
        cdef int j, first = 1 if code == LOAD_AT else 2
        moving, offset = new.pool.attrs[self.attr], self.imm
        for j in range(first, n):
            if new.code[new.vop[args[j]]] != CONST:
                return False
            index, (low, high) = int(new.pool.consts[new.attr[new.vop[args[j]]]]), moving.limits[j - first]
            if not low <= index < high:
                return False
            offset += index * moving.steps[j - first]
        self.attr, self.imm = new.pool.attr_id(moving.view), offset
        return True

    cdef int _shared(self, int k, int code, int *args, int n) except -2:
        """The first result of an op of the new tape that equals op `k`; emitted if there is none."""
        cdef Tape new = self.new
        cdef int found, vtype = self._first_type(k)
        cdef uint64_t place = self._hash(k, code, args, n) & self.mask
        while self.table[place] >= 0:
            found = self.table[place]
            if self._equal(found, k, code, args, n) and not (found < self.turn and self._is_weighed(code, vtype)):
                return new.out[found]
            place = (place + 1) & self.mask
        self.table[place] = new.n_ops
        return self._emit(k, code, args, n)

    cdef int _first_type(self, int k):
        """Type of the first result of op `k`, -1 if it has none."""
        return self.old.vtype[self.old.out[k]] if self.old.out[k] < self.old.out[k + 1] else -1

    cdef bint _is_weighed(self, int code, int vtype):
        """Whether the adjoint transform chooses between keeping a value and computing it again."""
        return (code >= ELEMENTWISE or code == CAST) and self.old.pool.types[vtype].size > 1

    cdef uint64_t _hash(self, int k, int code, int *args, int n):
        # FNV-1a over integers, then a last mix, as the table takes the low bits.
        cdef uint64_t prime = 1099511628211, h = 14695981039346656037
        cdef int j
        h = (h ^ <uint64_t> code) * prime
        h = (h ^ <uint64_t> self.attr) * prime
        h = (h ^ <uint64_t> self.imm) * prime
        h = (h ^ <uint64_t> self._first_type(k)) * prime
        for j in range(n):
            h = (h ^ <uint64_t> args[j]) * prime
        return h ^ h >> 32

    cdef bint _equal(self, int found, int k, int code, int *args, int n):
        cdef Tape new = self.new
        cdef int j, vtype = new.vtype[new.out[found]] if new.out[found] < new.out[found + 1] else -1
        if new.code[found] != code or new.attr[found] != self.attr or new.imm[found] != self.imm \
                or vtype != self._first_type(k) or new.start[found + 1] - new.start[found] != n:
            return False
        for j in range(n):
            if new.operand[new.start[found] + j] != args[j]:
                return False
        return True

    cdef int _emit(self, int k, int code, int *args, int n) except -2:
        cdef Tape old = self.old
        return self.new.emit_many(code, args, n, self.attr, self.imm, old.line[k], old.vtype + old.out[k],
                                  old.out[k + 1] - old.out[k])

    cdef int _identity(self, int k, int code, int *args, int n) except -2:
        """A value of the new tape that op `k` equals, or -1."""
        cdef Tape new = self.new
        cdef int vtype = self.old.vtype[self.old.out[k]], maker
        if code == MULTIPLY:
            if self._is_one(args[1]) and new.vtype[args[0]] == vtype:
                return args[0]
            if self._is_one(args[0]) and new.vtype[args[1]] == vtype:
                return args[1]
        elif code == DIVIDE:
            if self._is_one(args[1]) and new.vtype[args[0]] == vtype:
                return args[0]
        elif code == NEGATIVE:
            maker = new.vop[args[0]]
            if new.code[maker] == NEGATIVE:
                return new.operand[new.start[maker]]
        elif code == CAST:
            if new.vtype[args[0]] == vtype:
                return args[0]
        elif code == LOAD:
            return self._loaded(args[0], vtype)
        elif code == LOAD_AT:
            return self._just_stored(STORE_AT, args, n, vtype)
        return -1

    cdef bint _is_one(self, int v) except -1:
        cdef int maker = self.new.vop[v]
        if self.new.code[maker] != CONST:
            return False
        found = self.ones.get(self.new.attr[maker])
        if found is None:
            value = self.new.pool.consts[self.new.attr[maker]]
            found = self.ones[self.new.attr[maker]] = bool(value.ndim == 0 and value.dtype.kind != "c" and value == 1)
        return found

    cdef int _loaded(self, int base, int vtype) except -2:
        if self.imm == 0 and self.new.vtype[base] == vtype and self.attr == self._whole(vtype):
            return base
        return self._just_stored(STORE, &base, 1, vtype)

    cdef int _just_stored(self, int store, int *args, int n, int vtype) except -2:
        """What was stored last into the storage that a load of (storage, indices) reads, if it went to the same place."""
        cdef Tape new = self.new
        cdef int maker = new.vop[args[0]], j, v
        if new.code[maker] != store or new.attr[maker] != self.attr or new.imm[maker] != self.imm:
            return -1
        for j in range(1, n):
            if new.operand[new.start[maker] + 1 + j] != args[j]:
                return -1
        v = new.operand[new.start[maker] + 1]
        return v if new.vtype[v] == vtype else -1

    cdef int _whole(self, int vtype) except -1:
        found = self.views.get(vtype)
        if found is None:
            t = self.new.pool.types[vtype]
            found = self.views[vtype] = self.new.pool.attr_id(View(t.shape, t.strides, t.dtype))
        return found

    cdef int _folded(self, int k, int code, int *args, int n) except -2:
        """The constant that op `k` makes of constants, or -1."""
        cdef Tape old = self.old
        cdef int j
        if not self.fold or n == 0 or old.out[k + 1] - old.out[k] != 1 or has_bodies(code) or code == LOAD_AT:
            return -1
        for j in range(n):
            if self.new.code[self.new.vop[args[j]]] != CONST:
                return -1
        key = (code, self.attr, self.imm, old.vtype[old.out[k]], tuple([args[j] for j in range(n)]))
        found = self.folded.get(key)
        if found is None:
            found = self.folded[key] = self._constant(k, code, key[4])
        return found

    def _constant(self, int k, int code, operands):
        """A new constant with the result of op `k`, or -1: what would grow is left to be computed."""
        cdef Tape new = self.new
        t = self.old.type_of(self.old.out[k])
        arrays = [asarray(new.pool.consts[new.attr[new.vop[v]]]) for v in operands]
        if t.size > max([a.size for a in arrays]) or t.nbytes > FOLD_LIMIT:
            return -1
        op = self.old.op(k)
        if code == LOAD:                            # a window that moved before, perhaps
            op = op._replace(op=OPS[LOAD], attr=new.pool.attrs[self.attr], imm=self.imm)
        with np.errstate(all="ignore"):
            (result,) = op.op.evaluate(arrays, op, (t,))
        from sparsead.ops.structural import storage
        result = storage(array(result), t) if t.ndim else asarray(result)[()]
        return new.constant(result, self.old.line[k])
