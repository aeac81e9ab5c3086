"""Adjoint of a tape: reverse mode, as a tape that goes on where the given one ends.

Law, op by op in reverse order: x_bar_i += z_bar * conj(dz/dx_i), of which a real x_i takes the real part: the adjoint of a
complex number is that of its real part plus i times that of its imaginary part. For memory: ``x2 = store(x1, view, v)`` hands
x2_bar's elements of the view on to v_bar and zeroes them; ``load`` accumulates into the storage's adjoint. One chain of versions
for each adjoint storage, as for the storage itself.

What the reverse sweep needs of primal values it takes, in this order: from the user's memory, restored (RESTORE, LOAD); by
computing it again from such values (cheap elementwise ops); or by keeping it. To restore memory, the forward sweep logs
the elements that a store is about to overwrite, if a later-needed read looked at them, and the reverse sweep stores
them back. A store of k elements so costs O(k) in both sweeps. Where a store leaves little of a storage as it was, that version
of the storage is kept as a whole: then nothing is copied but the rest, which the next version begins with.
"""
from bisect import bisect_left

import numpy as np
from numpy import array, full, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.ops.structural import injective
from sparsead.ops.table import CODE_OF_NAME
from sparsead.tape._tape import checked
from sparsead.tape.spec import OPS, View
from sparsead.transform._activity import useful, varied
from sparsead.transform._linear import linearize
from sparsead.transform import boxes as sections

from sparsead.tape._tape cimport (ACCUMULATE, ACCUMULATE_AT, CAST, CONST, COPY, ELEMENTWISE, EMPTY, GATHER, INPUT, LOAD, LOAD_AT,
                                  LOOP, SCATTER, SCATTER_ADD, SEED, STORE, STORE_AT, SUM, Tape, ValueType, has_bodies, offset_t)
from sparsead.transform._activity cimport flags_of, inactive
from sparsead.transform._emit import refuse_complex
from sparsead.transform._emit cimport CompiledTemplate, Emitter, compiled, compiled_for, has_complex, is_complex
from sparsead.transform._linear cimport consumed, consuming

cdef int SELECT = CODE_OF_NAME["select"]
cdef int CONJUGATE = CODE_OF_NAME["conjugate"]
cdef int BUDGET = 12                # ops that a value may cost to be computed again rather than kept
cdef int SCAN_LIMIT = 16            # later stores looked at before a read is kept rather than restored
cdef int REST = 8                   # one of so many elements may stay as it was where a version is kept as a whole
cdef int CHEAP = 1, DEAR = 6        # cost of an arithmetic op, and of any other (exp, sin, divide is cheap)

_ARITHMETIC = ("add", "subtract", "multiply", "negative", "divide", "square", "absolute", "maximum", "minimum", "select",
               "positive", "sign", "reciprocal", "greater", "less", "greater_equal", "less_equal", "equal", "not_equal",
               "logical_and", "logical_or", "logical_not", "sqrt")

cdef enum:
    # Zeros of an adjoint that are structural: 0 * inf has to be 0 there. Behind a store only partials that can
    # be infinite at finite points (1 / x, log x, ...) are guarded; behind a select all are.
    OVERWRITTEN = 1
    STRONG = 2

cdef enum:
    KEEP = 0
    AGAIN = 1                       # computed again in the reverse sweep
    RESTORED = 2                    # a storage version, restored from logs

cdef enum:
    # How the reverse sweep comes by what an op overwrites.
    LOGGED = 1                      # its elements are logged, and stored back
    WHOLE = 2                       # the version that it ends is kept


def adjoint(Tape tape, wrt, of, incoming=(), bint keep=False, int zero_kind=0):
    """The tape that also runs the reverse sweep.

    Parameters
    ----------
    tape : Tape
    wrt : sequence of int
        Positions in ``tape.inputs`` whose adjoints are wanted.
    of : sequence of int
        Positions in ``tape.outputs`` that are seeded.
    incoming : sequence of int
        Those of `wrt` whose adjoints are added to adjoints that come in: one chain, which costs what is touched of it.
    keep : bool
        Keep all that the reverse sweep needs of primal values, each as it was: no memory is restored, nothing is computed
        again. What keeps between the sweeps is then for the caller to choose.
    zero_kind : {0, 1, 2}
        Structural zeros that the seeds and the incoming adjoints may have: none, of overwritten elements, of choices not taken.

    Returns
    -------
    Tape
        Inputs: those of `tape`, then one seed (adjoint of an output) for each of `of`, then one adjoint for each of `incoming`.
        Outputs: those of `tape`, then the adjoints of `wrt`.
    int
        Index of the first op of the reverse sweep.

    Notes
    -----
    Griewank and Walther, Evaluating Derivatives (2008), chapters 3 and 5; the rule for overwritten memory is that of
    Enzyme (Moses and Churavy, NeurIPS 2020).
    """
    made = Adjoint(tape if keep else linearize(tape), wrt, of, incoming, keep, zero_kind).run()
    checked(made[0], active=[*wrt, *range(len(tape.inputs), len(made[0].inputs))])
    return made


cdef class Regions:
    """Byte ranges of one storage that the reverse sweep wants back; disjoint, ascending."""
    cdef list lo, hi

    def __init__(self):
        self.lo, self.hi = [], []

    cdef void add(self, offset_t a, offset_t b):
        cdef int i = bisect_left(self.hi, a), j = i
        while j < len(self.lo) and self.lo[j] <= b:
            a, b = min(a, self.lo[j]), max(b, self.hi[j])
            j += 1
        self.lo[i:j], self.hi[i:j] = [a], [b]

    cdef bint overlaps(self, offset_t a, offset_t b):
        cdef int i = bisect_left(self.hi, a + 1)
        return i < len(self.lo) and self.lo[i] < b

    cdef void remove(self, offset_t a, offset_t b):
        cdef int i = bisect_left(self.hi, a + 1), j = i
        lo, hi = [], []
        while j < len(self.lo) and self.lo[j] < b:
            if self.lo[j] < a:
                lo.append(self.lo[j])
                hi.append(a)
            if self.hi[j] > b:
                lo.append(b)
                hi.append(self.hi[j])
            j += 1
        self.lo[i:j], self.hi[i:j] = lo, hi


cdef class ReverseEmitter(Emitter):
    """The emitter that rules see: operands are values of the forward sweep, `primal` restores them."""
    cdef Adjoint sweep

    cdef int factor(self, int p) except -1:
        return self.conjugated(p) if self.sweep.complex else p

    def primal(self, int v):
        return self.sweep.restored(self.sweep.origin[v])

    def wanted(self, int v):
        return self.sweep.varied[self.sweep.origin[v]]


cdef class Adjoint:
    cdef Tape old, new
    cdef ReverseEmitter emit
    cdef object wrt, of, incoming
    cdef bint keep, complex
    cdef int zero_kind
    cdef signed char[::1] varied, useful, active, mode, logged, strong
    cdef int[::1] value                 # old value -> forward value in the new tape
    cdef int[::1] bar                   # old value -> its adjoint so far, -1 while zero
    cdef int[::1] again                 # old value -> its value in the reverse sweep, -1 before it is asked for
    cdef int[::1] need                  # old value -> latest op whose reverse reads it, -1: none
    cdef int[::1] chain, consumer       # old value -> its storage chain; the op that ends it (-1: none)
    cdef int[::1] current               # chain -> version that the reverse sweep holds (new value)
    cdef int[::1] origin                # forward value in the new tape -> old value
    cdef int[::1] log                   # op -> logged elements (new value)
    cdef int[::1] cost
    cdef dict extents
    cdef dict laws                      # loop op -> its `LoopAdjoint`, branch op -> its `BranchAdjoint`
    cdef dict logs                      # loop op -> logs of its trips (new values)
    cdef dict saved                     # loop or branch op -> (carry, first byte, elements that it overwrites (new value))
    cdef int[64] temps

    def __init__(self, Tape tape, wrt, of, incoming, keep, zero_kind):
        self.old, self.new = tape, tape.fresh()
        self.emit = ReverseEmitter(self.new)
        self.emit.sweep, self.complex = self, has_complex(tape)
        self.wrt, self.of, self.incoming, self.keep, self.zero_kind = list(wrt), list(of), list(incoming), keep, zero_kind
        n = tape.n_vals + 1
        self.strong, self.mode = (zeros(n, np.int8) for _ in range(2))
        self.active, self.logged = zeros(tape.n_ops + 1, np.int8), zeros(tape.n_ops + 1, np.int8)
        self.value, self.cost = zeros(n, np.intc), zeros(n, np.intc)
        self.bar, self.again, self.need = (full(n, -1, np.intc) for _ in range(3))
        self.chain, self.consumer, self.current = (full(n, -1, np.intc) for _ in range(3))
        self.log = full(tape.n_ops + 1, -1, np.intc)
        self.extents, self.laws, self.logs, self.saved = {}, {}, {}, {}

    def run(self):
        self._chains()
        self._activity()
        self._needs()
        if not self.keep:
            self._logs()
        self._forward()
        first = self.new.n_ops
        self._reverse()
        return self.new, first

    # ---- what is active, which storage a version belongs to --------------------------------------------------

    cdef int _chains(self) except -1:
        cdef Tape old = self.old
        cdef signed char[::1] consumes = consuming()
        cdef int k, j, v, x
        for v in range(old.n_vals):
            self.chain[v] = v
        for k in range(old.n_ops):
            for j in range(consumed(old, k, consumes)):
                x = old.operand[old.start[k] + j]
                self.consumer[x] = k
                self.chain[old.out[k] + j] = self.chain[x]
        return 0

    cdef int _activity(self) except -1:
        """`varied`: depends on wrt; an op is active if it is varied and reaches a seeded output."""
        cdef Tape old = self.old
        cdef int k, z
        self.varied = varied(old, [p in self.wrt for p in range(len(old.inputs))])
        self.useful = useful(old, self.varied, [p in self.of for p in range(len(old.outputs))])
        for k in range(old.n_ops):
            for z in range(old.out[k], old.out[k + 1]):
                self.active[k] |= self.useful[z] and self.varied[z]
            self.active[k] = self.active[k] and not inactive(old, k)
        return 0

    # ---- what the reverse sweep reads, and how it gets it ----------------------------------------------------

    cdef int _needs(self) except -1:
        cdef Tape old = self.old
        cdef int k, z, zero_kind = self.zero_kind
        self._costs()
        for k in range(old.n_ops - 1, -1, -1):
            if self.active[k]:
                if has_bodies(old.code[k]):
                    zero_kind = self._law(k, zero_kind)
                else:
                    zero_kind = max(zero_kind, structural_zeros(old.code[k]))
                self._needs_of(k)
            for z in range(old.out[k], old.out[k + 1]):
                if self.need[z] >= 0:
                    self._decide(k, z)
        return 0

    cdef void _want(self, int v, int k):
        if self.need[v] < k:
            self.need[v] = k

    cdef int _needs_of(self, int k) except -1:
        cdef Tape old = self.old
        cdef int code = old.code[k], n = old.start[k + 1] - old.start[k], i, r, b, mask = 0
        cdef int *operands = old.operand + old.start[k]
        cdef CompiledTemplate t
        if code == SELECT:
            self._want(operands[0], k)
        elif code >= ELEMENTWISE:
            t = self._template(k)
            for r in range(t.nout):
                for i in range(n):
                    if self.varied[operands[i]]:
                        mask |= t.masks[r * n + i]
            for b in range(n + t.nout):
                if mask >> b & 1:
                    self._want(operands[b] if b < n else old.out[k] + b - n, k)
        elif code == GATHER or code == SCATTER or code == SCATTER_ADD:
            self._want(operands[1], k)
        elif code == LOAD_AT or code == STORE_AT or code == ACCUMULATE_AT:
            for i in range(1 if code == LOAD_AT else 2, n):
                self._want(operands[i], k)
        elif has_bodies(code):
            for i in self.laws[k].reads:
                self._want(operands[i], k)
        elif code > SUM:
            used, results = OPS[code].needs(old.op(k))
            for b in used:
                self._want(operands[b], k)
            for b in results:
                self._want(old.out[k] + b, k)
        return 0

    cdef CompiledTemplate _template(self, int k):
        return compiled_for(self.old, k) if self.complex else compiled(self.old.code[k])

    cdef int _costs(self) except -1:
        """Price of computing each value again from kept or restored ones. Kept, hence free to build on: what is above the
        budget; what is stored, as the store that overwrites it logs it; and dear results of what nobody overwrites."""
        cdef Tape old = self.old
        cdef set cheap = {CODE_OF_NAME[name] for name in _ARITHMETIC}
        cdef signed char[::1] price = array([CHEAP if c in cheap else DEAR for c in range(len(OPS))], np.int8)
        cdef signed char[::1] fleeting = zeros(old.n_vals + 1, np.int8)     # made from memory that is overwritten
        cdef signed char[::1] stored = self._stored()
        cdef int k, j, v, z, code
        for k in range(old.n_ops):
            code, z = old.code[k], old.out[k]
            if old.out[k + 1] - z != 1:
                continue
            fleeting[z] = self.consumer[z] >= 0
            if code == LOAD or code == LOAD_AT or code == CAST:
                v = old.operand[old.start[k]]
                self.cost[z] = self.cost[v]
                fleeting[z] |= fleeting[v]
            elif code >= ELEMENTWISE:
                self.cost[z] = price[code]
                for j in range(old.start[k], old.start[k + 1]):
                    self.cost[z] += self.cost[old.operand[j]]
                    fleeting[z] |= fleeting[old.operand[j]]
                if self.cost[z] > BUDGET or old.type_of(z).size <= 1 or stored[z] or price[code] == DEAR and not fleeting[z]:
                    self.cost[z] = fleeting[z] = 0
                    self.mode[z] = -1
        return 0

    cdef signed char[::1] _stored(self):
        """Flags: values that a store puts into memory."""
        cdef Tape old = self.old
        cdef signed char[::1] stored = zeros(old.n_vals + 1, np.int8)
        cdef int k
        for k in range(old.n_ops):
            if old.code[k] == STORE or old.code[k] == STORE_AT:
                stored[old.operand[old.start[k] + 1]] = 1
        return stored

    cdef int _decide(self, int k, int z) except -1:
        cdef Tape old = self.old
        cdef int code = old.code[k], j, x
        cdef bint kept = self.mode[z] == -1
        self.mode[z] = KEEP
        if self.keep or code == INPUT or code == CONST or old.type_of(z).size <= 1 and self.consumer[z] < 0:
            return 0
        if self.consumer[z] >= 0:
            if self.consumer[z] <= self.need[z]:
                return 0                        # overwritten before its reader: kept (a copy)
            self.mode[z] = RESTORED
        elif self.chain[z] != z:
            return 0                            # the last version of a storage stays as it is
        elif code == LOAD or code == LOAD_AT:
            x = old.operand[old.start[k]]
            if self._intact(k, x, self.need[z]):
                self.mode[z] = AGAIN
                if self.chain[x] == x and self.consumer[x] < 0:
                    self._want(x, self.need[z])
                for j in range(1, old.start[k + 1] - old.start[k]):
                    self._want(old.operand[old.start[k] + j], self.need[z])
        elif (code == CAST or code >= ELEMENTWISE and not kept) and old.out[k + 1] - old.out[k] == 1:
            self.mode[z] = AGAIN
            for j in range(old.start[k], old.start[k + 1]):
                self._want(old.operand[j], self.need[z])
        return 0

    cdef bint _intact(self, int load, int x, int until) except -1:
        """Whether no store up to op `until` overwrites what op `load` reads of version `x`."""
        cdef Tape old = self.old
        cdef int e = self.consumer[x], looked = 0, j
        a, b = self._extent(old.attr[load], old.imm[load])
        while 0 <= e <= until:
            looked += 1
            j = self._position(e, x)
            lo, hi = self._written(e, j)
            if looked > SCAN_LIMIT or (lo < b and a < hi):
                return False
            x = old.out[e] + j
            e = self.consumer[x]
        return True

    cdef int _position(self, int k, int x) noexcept:
        """Which of the operands that op `k` consumes is `x`."""
        cdef int j = 0
        while self.old.operand[self.old.start[k] + j] != x:
            j += 1
        return j

    cdef tuple _extent(self, int attr, offset_t imm):
        """The byte range that a view spans, at all places where it may move."""
        span = self.extents.get(attr)
        if span is None:
            span = self.extents[attr] = extent_of(self.old.pool.attrs[attr])
        return span[0] + imm, span[1] + imm

    cdef tuple _written(self, int k, int j):
        """The byte range of its operand `j` that consuming op `k` writes."""
        cdef Tape old = self.old
        cdef int code = old.code[k]
        if code == STORE or code == ACCUMULATE or code == STORE_AT or code == ACCUMULATE_AT:
            return self._extent(old.attr[k], old.imm[k])
        if has_bodies(code):
            from sparsead.transform.loops.extent import written_by
            return written_by(old.pool.attrs[old.attr[k]])[j]
        return 0, old.type_of(old.out[k]).nbytes

    cdef int _logs(self) except -1:
        """Mark the stores whose overwritten elements have to come back."""
        cdef Tape old = self.old
        cdef dict wanted = {}
        cdef Regions regions
        cdef signed char[::1] consumes = consuming()
        cdef int k, j, x, z
        for k in range(old.n_ops):
            z = old.out[k]
            for j in range(consumed(old, k, consumes)):
                regions = wanted.get(self.chain[z + j])
                if regions is None:
                    continue
                lo, hi = self._written(k, j)
                if regions.overlaps(lo, hi) and self._leaves_little(k):
                    self.logged[k] = WHOLE
                    regions.remove(0, old.type_of(z).nbytes)
                elif regions.overlaps(lo, hi):
                    self.logged[k] = LOGGED
                    if has_bodies(old.code[k]):
                        item = old.type_of(z + j).dtype.itemsize      # of real and imaginary parts: whole numbers
                        self.saved.setdefault(k, []).append((j, lo - lo % item, hi + -hi % item))
                if has_bodies(old.code[k]) or old.code[k] == STORE and self.extents[old.attr[k]][2]:
                    regions.remove(lo, hi)
            if (old.code[k] == LOAD or old.code[k] == LOAD_AT) and self.need[z] >= 0 and self.mode[z] == AGAIN:
                x = old.operand[old.start[k]]
                if self.chain[x] != x or self.consumer[x] >= 0:
                    lo, hi = self._extent(old.attr[k], old.imm[k])
                    self._region(wanted, self.chain[x]).add(lo, hi)
            for z in range(old.out[k], old.out[k + 1]):
                if self.need[z] >= 0 and self.mode[z] == RESTORED:
                    self._region(wanted, self.chain[z]).add(0, old.type_of(z).nbytes)
        return 0

    cdef bint _leaves_little(self, int k) except -1:
        """Whether op `k` stores most of a large storage."""
        cdef Tape old = self.old
        cdef ValueType t = old.type_of(old.out[k])
        if old.code[k] != STORE or t.size < sections.LEAST:
            return False
        place = sections.exact(old.pool.attrs[old.attr[k]], old.imm[k], t)
        return place is not None and (t.size - sections.size(place.box)) * REST <= t.size

    cdef Regions _region(self, dict wanted, int chain):
        regions = wanted.get(chain)
        if regions is None:
            regions = wanted[chain] = Regions()
        return regions

    # ---- the two sweeps ----------------------------------------------------------------------------------------

    cdef int _forward(self) except -1:
        cdef Tape old = self.old, new = self.new
        cdef int k, j, z
        for k in range(old.n_ops):
            if self.logged[k] == LOGGED:
                self._log(k)
            if old.code[k] == LOOP and k in self.laws:
                self._forward_loop(k)
            elif self.logged[k] == WHOLE:
                self._store_to_copy(k)
            else:
                new.take(old, k, &self.value[0])
            for z in range(old.out[k], old.out[k + 1]):
                self.current[self.chain[z]] = self.value[z]
        self.origin = full(new.n_vals + 1, -1, np.intc)
        for j in range(old.n_vals):
            self.origin[self.value[j]] = j
        new.inputs = [self.value[v] for v in old.inputs]
        new.names = {self.value[v]: name for v, name in old.names.items()}
        return 0

    cdef int _store_to_copy(self, int k) except -1:
        """Emit store op `k`, and leave the version that it would end as it is.

        The copy is made here: once loads of the two sweeps are joined, nobody could tell that the version is wanted again.
        """
        cdef Tape old = self.old, new = self.new
        cdef int x = old.operand[old.start[k]], version = self.value[x]
        self.value[x] = new.emit1(COPY, version, -1, 0, old.line[k], old.vtype[x])
        new.take(old, k, &self.value[0])
        self.value[x] = version
        return 0

    cdef int _log(self, int k) except -1:
        cdef Tape old = self.old
        cdef int x = self.value[old.operand[old.start[k]]], pos
        self.emit.line = old.line[k]
        if old.code[k] == STORE or old.code[k] == ACCUMULATE:
            attr, imm = self._logged_window(k)
            self.log[k] = self.emit.load_attr(x, attr, imm)
        elif old.code[k] == STORE_AT or old.code[k] == ACCUMULATE_AT:
            attr, imm = self._logged_window(k)
            self.log[k] = self.emit.window(LOAD_AT, [x, *self._indices(k, 2, False)], attr, imm, self.emit.view_type(attr))
        elif has_bodies(old.code[k]):
            self.saved[k] = [(j, lo, self._bytes_of(self.value[old.operand[old.start[k] + j]], lo, hi))
                             for j, lo, hi in self.saved[k]]
        else:
            pos = self.value[old.operand[old.start[k] + 1]]
            self.log[k] = self.new.emit2(GATHER, x, pos, -1, old.imm[k], old.line[k], self._gathered_type(x, pos))
        return 0

    cdef tuple _logged_window(self, int k):
        """(attribute, offset) of what store or accumulate op `k` overwrites."""
        attr, offset = each_once(self.old.pool.attrs[self.old.attr[k]])
        return self.old.pool.attr_id(attr), self.old.imm[k] + offset

    cdef int _bytes_of(self, int x, offset_t lo, offset_t hi) except -1:
        """Load the memory of `x` from byte `lo` to byte `hi`."""
        dtype = self.new.type_of(x).dtype
        return self.emit.load(x, View(((hi - lo) // dtype.itemsize,), (dtype.itemsize,), dtype), lo)

    cdef list _indices(self, int k, int first, bint restored):
        """The values of the operands of op `k` from position `first` on, in the sweep at hand."""
        cdef Tape old = self.old
        cdef int j
        operands = [old.operand[j] for j in range(old.start[k] + first, old.start[k + 1])]
        return [self.restored(v) if restored else self.value[v] for v in operands]

    cdef int _law(self, int k, int zero_kind) except -1:
        """Find the adjoint of loop or branch op `k`; returns the structural zeros of what comes out of it."""
        cdef Tape old = self.old
        cdef int z
        from sparsead.transform.branches.adjoint import adjoint_of_branch
        from sparsead.transform.loops.adjoint import adjoint_of_loop
        law = adjoint_of_loop if old.code[k] == LOOP else adjoint_of_branch
        results = tuple([bool(self.useful[z] and self.varied[z]) for z in range(old.out[k], old.out[k + 1])])
        self.laws[k] = law(old.pool.attrs[old.attr[k]], flags_of(old, k, self.varied), results, zero_kind)
        return self.laws[k].zero_kind

    cdef int _forward_loop(self, int k) except -1:
        """Emit loop op `k` with logs of its trips."""
        cdef Tape old = self.old
        cdef int j, n = old.start[k + 1] - old.start[k], m = old.out[k + 1] - old.out[k]
        law = self.laws[k]
        self.emit.line = old.line[k]
        operands = [self.value[old.operand[old.start[k] + j]] for j in range(n)]
        logs = [self.new.emit0(EMPTY, -1, 0, old.line[k], t.id) for t in law.logs]
        vtypes = [old.vtype[old.out[k] + j] for j in range(m)] + [t.id for t in law.logs]
        results = self.emit.many(LOOP, operands[:m] + logs + operands[m:], law.forward, vtypes)
        for j in range(m):
            self.value[old.out[k] + j] = results[j]
        self.logs[k] = results[m:]
        return 0

    cdef int _gathered_type(self, int x, int pos) except -1:
        return self.old.pool.dense_type_id(self.new.type_of(x).dtype, self.new.type_of(pos).shape)

    cdef int _reverse(self) except -1:
        cdef Tape old = self.old, new = self.new
        cdef int k, v, seed
        for position in self.of:
            v = old.outputs[position]
            seed = new.emit0(INPUT, -1, SEED, -1, old.vtype[v])
            new.inputs.append(seed)
            new.names[seed] = f"seed {position}"
            if self.varied[v]:
                self._add_bar(v, seed, self.zero_kind)
        for position in self.incoming:
            v = old.inputs[position]
            seed = new.emit0(INPUT, -1, 0, -1, old.vtype[v])
            new.inputs.append(seed)
            self._add_bar(v, seed, self.zero_kind)
        for k in range(old.n_ops - 1, -1, -1):
            self.emit.line = old.line[k]
            if self.active[k]:
                self._reverse_op(k)
            if self.logged[k] == LOGGED:
                self._undo(k)
            elif self.logged[k] == WHOLE:
                self.current[self.chain[old.out[k]]] = self.value[old.operand[old.start[k]]]
        self.emit.line = -1
        new.outputs = [self.value[v] for v in old.outputs]
        for position in self.wrt:
            v = old.inputs[position]
            new.outputs.append(self.bar[v] if self.bar[v] >= 0 else self.emit.zeros_of(old.vtype[v]))
        return 0

    cdef int _undo(self, int k) except -1:
        cdef Tape old = self.old
        cdef int chain = self.chain[old.out[k]], x = old.operand[old.start[k]]
        if old.code[k] == STORE or old.code[k] == ACCUMULATE:
            attr, imm = self._logged_window(k)
            self.current[chain] = self.new.emit2(STORE, self.current[chain], self.log[k], attr, imm, old.line[k], old.vtype[x])
        elif old.code[k] == STORE_AT or old.code[k] == ACCUMULATE_AT:
            attr, imm = self._logged_window(k)
            self.current[chain] = self.emit.window(STORE_AT, [self.current[chain], self.log[k], *self._indices(k, 2, True)],
                                                   attr, imm, old.vtype[x])
        elif has_bodies(old.code[k]):
            for j, lo, v in self.saved[k]:
                self._undo_carry(k, j, lo, v)
        else:
            self.current[chain] = self.new.emit3(SCATTER, self.current[chain],
                                                 self.restored(old.operand[old.start[k] + 1]), self.log[k], -1,
                                                 old.imm[k], old.line[k], old.vtype[x])
        return 0

    cdef int _undo_carry(self, int k, int j, offset_t lo, int log) except -1:
        """Store back what loop or branch op `k` has overwritten of its carry `j`."""
        cdef int x = self.old.operand[self.old.start[k] + j], chain = self.chain[x]
        cdef ValueType t = self.new.type_of(log)
        cdef int attr = self.new.pool.attr_id(View(t.shape, t.strides, t.dtype))
        self.current[chain] = self.new.emit2(STORE, self.current[chain], log, attr, lo, self.old.line[k], self.old.vtype[x])
        return 0

    cdef int restored(self, int v) except -1:
        """The primal value `v` at this point of the reverse sweep."""
        cdef Tape old = self.old
        cdef int k, j, x, n
        cdef int[65] args  # an array and an index for each of its axes, at most
        if self.again[v] >= 0:
            return self.again[v]
        if self.need[v] < 0 or self.mode[v] == KEEP:
            self.again[v] = self.value[v]
        elif self.mode[v] == RESTORED:
            self.again[v] = self.current[self.chain[v]]
        else:
            k = old.vop[v]
            n = old.start[k + 1] - old.start[k]
            x = old.operand[old.start[k]]
            for j in range(n):
                if j == 0 and (old.code[k] == LOAD or old.code[k] == LOAD_AT) and (self.chain[x] != x or self.consumer[x] >= 0):
                    args[0] = self.current[self.chain[x]]
                else:
                    args[j] = self.restored(old.operand[old.start[k] + j])
            self.again[v] = self.new.emit(old.code[k], args, n, old.attr[k], old.imm[k], old.line[k], old.vtype[v])
        return self.again[v]

    # ---- one op in reverse ---------------------------------------------------------------------------------------

    cdef int _add_bar(self, int v, int g, int strong) except -1:
        """Add `g` (already of the type of `v`) to the adjoint of `v`."""
        if self.bar[v] >= 0:
            g = self.emit.add2(self.bar[v], g)
        self.bar[v] = self.emit.laid(g, self.old.vtype[v])
        self.strong[v] = max(self.strong[v], strong)
        return 0

    cdef int _reverse_op(self, int k) except -1:
        cdef Tape old = self.old
        cdef int code = old.code[k], z = old.out[k]
        if code == SELECT:
            return self._reverse_select(k) if self.bar[z] >= 0 else 0
        if code >= ELEMENTWISE:
            return self._reverse_elementwise(k)
        if has_bodies(code):
            return self._reverse_nested(k)
        if code > SUM and code != LOAD_AT and code != STORE_AT and code != ACCUMULATE_AT:
            return self._reverse_by_rule(k)
        if self.bar[z] < 0:
            return 0
        if code == LOAD:
            return self._reverse_load(k)
        if code > SUM:
            return self._reverse_moving(k)
        if code == STORE or code == ACCUMULATE:
            return self._reverse_store(k)
        if code == GATHER or code == SCATTER or code == SCATTER_ADD:
            return self._reverse_indexed(k)
        if code == SUM:
            return self._reverse_by_rule(k)
        return self._pass_on(old.operand[old.start[k]], self.bar[z], self.strong[z])     # COPY, CAST

    cdef int _pass_on(self, int x, int g, int strong) except -1:
        if self.varied[x]:
            self._add_bar(x, self.emit.fit(g, self.old.vtype[x]), strong)
        return 0

    cdef int _reverse_elementwise(self, int k) except -1:
        cdef Tape old = self.old
        cdef Emitter e = self.emit
        cdef int n = old.start[k + 1] - old.start[k], i, r, b, g, z, mask
        cdef bint singular
        cdef int *operands = old.operand + old.start[k]
        cdef CompiledTemplate t = self._template(k)
        cdef int[8] refs
        for b in range(8):
            refs[b] = -1
        for i in range(64):
            self.temps[i] = -1
        for r in range(t.nout):
            z = old.out[k] + r
            if self.bar[z] < 0:
                continue
            if self.complex and old.code[k] == CONJUGATE:
                return self._pass_on(operands[0], e.conjugated(self.bar[z]), self.strong[z])
            for i in range(n):
                if not self.varied[operands[i]]:
                    continue
                mask = t.masks[r * n + i]
                for b in range(n + t.nout):
                    if mask >> b & 1 and refs[b] < 0:
                        refs[b] = self.restored(operands[b] if b < n else old.out[k] + b - n)
                singular = self.strong[z] == OVERWRITTEN and t.singular[r * n + i] and self._reads_varied(k, mask)
                g = e.product(self.bar[z], t, r * n + i, refs, self.temps, self.strong[z] == STRONG or singular)
                if g >= 0:
                    self._pass_on(operands[i], g, STRONG if t.strong else self.strong[z])
        return 0

    cdef bint _reads_varied(self, int k, int mask):
        """Whether a partial reads a varied operand, or the result: else it is the same finite number at every point."""
        cdef int b, n = self.old.start[k + 1] - self.old.start[k]
        for b in range(n):
            if mask >> b & 1 and self.varied[self.old.operand[self.old.start[k] + b]]:
                return True
        return mask >> n != 0

    cdef int _reverse_select(self, int k) except -1:
        # From here back, zeros are structural: the side not taken gets exactly zero, never 0 * inf.
        cdef int *operands = self.old.operand + self.old.start[k]
        cdef int g = self.bar[self.old.out[k]], c = self.restored(operands[0])
        if self.varied[operands[1]]:
            self._pass_on(operands[1], self.emit.ew("select", c, g, 0.0), STRONG)
        if self.varied[operands[2]]:
            self._pass_on(operands[2], self.emit.ew("select", c, 0.0, g), STRONG)
        return 0

    cdef int _reverse_load(self, int k) except -1:
        cdef Tape old = self.old
        cdef int z = old.out[k], x = old.operand[old.start[k]], whole
        cdef ValueType tx = old.type_of(x), tz = old.type_of(z)
        if not self.varied[x]:
            return 0
        if self.bar[x] < 0 and self._is_reshape(k, tx, tz):
            whole = self.emit.whole_view(tx.id)
            self._add_bar(x, self.new.emit1(LOAD, self.bar[z], whole, 0, old.line[k], tx.id), self.strong[z])
            return 0
        if self.bar[x] < 0:
            self.bar[x] = self.emit.zeros_of(tx.id)
        self.bar[x] = self.new.emit2(ACCUMULATE, self.bar[x], self.bar[z], old.attr[k], old.imm[k], old.line[k], tx.id)
        self.strong[x] = max(self.strong[x], self.strong[z])
        return 0

    cdef bint _is_reshape(self, int k, ValueType tx, ValueType tz):
        """Whether the load reads all of x's memory in its order."""
        return tx.nbytes == tz.nbytes and tx.size == tz.size and self.old.imm[k] == 0 \
            and self.old.pool.attrs[self.old.attr[k]].strides == tz.strides

    cdef int _reverse_store(self, int k) except -1:
        cdef Tape old = self.old, new = self.new
        cdef Emitter e = self.emit
        cdef int z = old.out[k], x = old.operand[old.start[k]], v = old.operand[old.start[k] + 1]
        cdef int g = self.bar[z], attr = old.attr[k], zero
        cdef ValueType tv = old.type_of(v)
        if self.varied[v]:
            self._pass_on(v, e.load_attr(g, attr, old.imm[k]), self.strong[z])
        if not self.varied[x]:
            return 0
        if old.code[k] == STORE:
            zero = e.spread(e.number(0.0, tv.dtype), tv.id)
            g = new.emit2(STORE, g, zero, attr, old.imm[k], old.line[k], old.vtype[x])
            return self._add_bar(x, g, max(self.strong[z], OVERWRITTEN))
        return self._add_bar(x, g, self.strong[z])

    cdef int _reverse_moving(self, int k) except -1:
        """Like `_reverse_load` and `_reverse_store`, at the same place of the adjoint."""
        cdef Tape old = self.old
        cdef Emitter e = self.emit
        cdef int code = old.code[k], z = old.out[k], x = old.operand[old.start[k]], attr = old.attr[k], v, g = self.bar[z]
        cdef offset_t imm = old.imm[k]
        if code == LOAD_AT:
            if self.varied[x]:
                if self.bar[x] < 0:
                    self.bar[x] = e.zeros_of(old.vtype[x])
                self.bar[x] = e.window(ACCUMULATE_AT, [self.bar[x], g, *self._indices(k, 1, True)], attr, imm, old.vtype[x])
                self.strong[x] = max(self.strong[x], self.strong[z])
            return 0
        v = old.operand[old.start[k] + 1]
        indices = self._indices(k, 2, True)
        if self.varied[v]:
            self._pass_on(v, e.window(LOAD_AT, [g, *indices], attr, imm, e.view_type(attr)), self.strong[z])
        if not self.varied[x]:
            return 0
        if code == STORE_AT:
            zero = e.spread(e.number(0.0, old.type_of(v).dtype), old.vtype[v])
            g = e.window(STORE_AT, [g, zero, *indices], attr, imm, old.vtype[x])
            return self._add_bar(x, g, max(self.strong[z], OVERWRITTEN))
        return self._add_bar(x, g, self.strong[z])

    cdef int _reverse_nested(self, int k) except -1:
        """The reverse loop or branch takes the adjoints of carries and invariants along, and reads logs and operands."""
        cdef Tape old = self.old
        cdef int j, x, z
        law = self.laws[k]
        if all([self.bar[z] < 0 for z in range(old.out[k], old.out[k + 1])]):
            return 0
        bars = [self._bar_or_zeros(old.out[k] + j) for j in law.seeds]
        for j in law.shadows:                   # an adjoint comes in and goes out; of an operand given twice, only once
            x = old.operand[old.start[k] + j]
            bars.append(self._bar_or_zeros(x))
            self.bar[x] = -1
        vtypes = [self.new.vtype[g] for g in bars]
        if old.code[k] == LOOP:
            read = list(self.logs[k])
        else:
            read = [self._bar_or_zeros(old.out[k] + j) for j in law.ends]
        read += [self.restored(old.operand[old.start[k] + j]) for j in law.reads]
        results = self.emit.many(old.code[k], bars + read, law.reverse, vtypes)
        for j, z in zip(law.seeds, results):
            x = old.operand[old.start[k] + j]
            if self.varied[x]:
                self._add_bar(x, z, law.zero_kind)
        for j, z in zip(law.shadows, results[len(law.seeds):]):
            self._add_bar(old.operand[old.start[k] + j], z, law.zero_kind)
        return 0

    cdef int _bar_or_zeros(self, int v) except -1:
        return self.bar[v] if self.bar[v] >= 0 else self.emit.zeros_of(self.old.vtype[v])

    cdef int _reverse_indexed(self, int k) except -1:
        cdef Tape old = self.old, new = self.new
        cdef Emitter e = self.emit
        cdef int code = old.code[k], z = old.out[k], x = old.operand[old.start[k]]
        cdef int pos = self.restored(old.operand[old.start[k] + 1]), line = old.line[k], g = self.bar[z], v, part
        if code == GATHER:
            if self.varied[x]:
                if self.bar[x] < 0:
                    self.bar[x] = e.zeros_of(old.vtype[x])
                self.bar[x] = new.emit3(SCATTER_ADD, self.bar[x], pos, g, -1, old.imm[k], line, old.vtype[x])
                self.strong[x] = max(self.strong[x], self.strong[z])
            return 0
        v = old.operand[old.start[k] + 2]
        if self.varied[v]:
            part = new.emit2(GATHER, g, pos, -1, old.imm[k], line, self._gathered_type(g, pos))
            if code == SCATTER:
                wins = e.op("winners", (pos,), e.array_type(np.dtype(bool), e.type(pos).shape))
                part = e.ew("select", wins, part, 0.0)
            self._pass_on(v, part, self.strong[z])
        if self.varied[x]:
            if code == SCATTER:
                zero = e.broadcast(e.number(0.0, old.type_of(z).dtype), e.type(pos).shape)
                g = new.emit3(SCATTER, g, pos, zero, -1, old.imm[k], line, old.vtype[x])
            self._add_bar(x, g, max(self.strong[z], OVERWRITTEN))
        return 0

    cdef int _reverse_by_rule(self, int k) except -1:
        cdef Tape old = self.old
        cdef int j
        bars = [self.bar[z] if self.bar[z] >= 0 else None for z in range(old.out[k], old.out[k + 1])]
        if all([b is None for b in bars]):
            return 0
        if self.complex and not OPS[old.code[k]].of_complex and is_complex(old, k):
            refuse_complex(old, k)
        op = old.op(k)
        strong = max([self.strong[z] for z in op.results])
        view = op._replace(operands=tuple([self.value[v] for v in op.operands]),
                           results=tuple([self.value[z] for z in op.results]))
        for j, g in op.op.adjoint(self.emit, view, bars).items():
            if g is not None and self.varied[op.operands[j]]:
                self._pass_on(op.operands[j], g, strong)
        return 0


cdef int structural_zeros(int code):
    """The kind of structural zeros that the adjoint of such an op makes."""
    if code == SELECT or code >= ELEMENTWISE and compiled(code) is not None and compiled(code).strong:
        return STRONG
    return OVERWRITTEN if code == STORE or code == SCATTER or code == STORE_AT else 0


def zeros_of_code(int code):
    """`structural_zeros`, for loops and branches: 0, 1 (of overwritten elements) or 2 (of choices not taken)."""
    return structural_zeros(code)


def extent_of(attr):
    """(first byte, end, whether it is a view that stands still and covers them all) of a view that may move."""
    view = getattr(attr, "view", attr)
    lo = sum([min(0, s * (n - 1)) for n, s in zip(view.shape, view.strides)])
    hi = sum([max(0, s * (n - 1)) for n, s in zip(view.shape, view.strides)]) + view.dtype.itemsize
    size = view.dtype.itemsize
    for n in view.shape:
        size *= n
    whole = view is attr and size == hi - lo and injective(view)
    if view is not attr:
        for step, (low, high) in zip(attr.steps, attr.limits):
            lo += min(step * low, step * (high - 1))
            hi += max(step * low, step * (high - 1))
    return lo, hi if size else lo, whole


def each_once(attr):
    """(a view, which may move, of each element of `attr`, but once, or of all between them; bytes that it begins later)."""
    view = getattr(attr, "view", attr)
    if 0 in view.shape or injective(view):
        return attr, 0
    axes = [axis for axis, stride in enumerate(view.strides) if stride]
    once, begin = View(tuple([view.shape[k] for k in axes]), tuple([view.strides[k] for k in axes]), view.dtype), 0
    if not injective(once):
        begin, end, _ = extent_of(view)
        once = View(((end - begin) // view.dtype.itemsize,), (view.dtype.itemsize,), view.dtype)
    return (once if attr is view else attr._replace(view=once)), begin
