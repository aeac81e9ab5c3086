"""Which outputs of a tape depend on which inputs, element by element: sets of columns carried over the ops.

Law: an element's row is the union of the rows of all elements from which it has a partial that is not structurally zero.
Every value carries one row id per element of its memory, so what moves data moves integers, and only what combines
elements makes new rows. A value without ids depends on nothing.
"""
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

import numpy as np

from sparsead.ops.structural import injective
from sparsead.ops.table import CODE_OF_NAME
from sparsead.sparsity.rules import RULES
from sparsead.tape.spec import MAX_OPS, OPS

from sparsead.tape._memory import window

from sparsead.sparsity._layouts cimport Layout, Layouts, same_memory
from sparsead.tape._tape cimport ACCUMULATE, CAST, CONST, COPY, ELEMENTWISE, GUARD, LOAD, STORE, Tape
from sparsead.transform._emit cimport CompiledTemplate, compiled


cdef extern from "rows.h" nogil:
    int ROWS_TOO_MANY

    ctypedef struct row_table:
        int64_t n_runs
        int32_t n_rows

    int rows_init(row_table *)
    void rows_free(row_table *)
    int rows_units(row_table *, int32_t, int64_t, int32_t *)
    int32_t rows_unite(row_table *, int32_t, int32_t)
    int32_t rows_unite_many(row_table *, const int32_t *, int64_t)
    int rows_unite_prefixes(row_table *, int32_t *, const int32_t *, int64_t)
    int64_t rows_count(const row_table *, const int32_t *, int64_t, int64_t *)
    int32_t *rows_expand(const row_table *, const int32_t *, int64_t, int32_t *)
    void rows_mark(int32_t *, const int32_t *, int64_t)
    void rows_squeeze(row_table *, int32_t *)
    void rows_rename(const int32_t *, int32_t *, int64_t)

cdef extern from "windows.h" nogil:
    ctypedef struct window_pair:
        int ndim
        ptrdiff_t *shape
        ptrdiff_t *dst
        ptrdiff_t *src

    int64_t window_simplify(window_pair *)
    void window_copy(const window_pair *, int32_t *, const int32_t *)
    int window_unite(const window_pair *, row_table *, int32_t *, const int32_t *)
    int ids_unite_groups(row_table *, int32_t *, const int32_t *, int64_t, int64_t)
    int ids_scatter_unite(row_table *, int32_t *, const int64_t *, const int32_t *, int64_t, int64_t *, int64_t *,
                          int32_t *)

cdef int MULTIPLY = CODE_OF_NAME["multiply"]
cdef int SELECT = CODE_OF_NAME["select"]
cdef enum:
    MAX_OPERANDS = 16
    MAX_RESULTS = 8                     # of an elementwise op; SciPy's ellipj has four


def propagate(Tape tape, wrt, of, known, long long squeeze_at):
    """The pattern of d(of)/d(wrt) as compressed rows.

    Parameters
    ----------
    tape : Tape
    wrt, of : sequence of int
        Values: inputs of `tape`, and any values of it.
    known : dict of int to ndarray
        Contents of values that are the same at every call.
    squeeze_at : int
        How many rows and runs there may be before dead ones are dropped.

    Returns
    -------
    indptr : int32 array, or int64 for 2**31 entries or more
    indices : int32 array
    assumed_dense : list of str
        Names of the ops all of whose results were taken to depend on all their operands.
    """
    cdef Propagation p = Propagation(tape, wrt, of, known, squeeze_at)
    p.run()
    return *p.compressed(of), list(p.dense)


# ---- ids of an array -------------------------------------------------------------------------------------------------

cdef struct Ids:                        # followed by `size` ids; values with equal ids at equal positions share them
    int owners, epoch
    int64_t size


cdef inline int32_t *items_of(Ids *ids) noexcept:
    return <int32_t *> (ids + 1)


cdef Ids *new_ids(int64_t size, bint empty) except NULL:
    cdef size_t nbytes = sizeof(Ids) + size * sizeof(int32_t)
    cdef Ids *ids = <Ids *> (calloc(1, nbytes) if empty else malloc(nbytes))
    if ids is NULL:
        raise MemoryError(f"no room for the rows of {size} elements")
    ids.owners, ids.epoch, ids.size = 1, 0, size
    return ids


cdef class Propagation:
    """The sweep over a tape; see `propagate`. What `def` methods offer is for `sparsead.sparsity.rules`."""
    cdef readonly Tape tape
    cdef readonly dict known            # value -> its contents
    cdef readonly dict dense            # names of ops that were taken for dense
    cdef Layouts type_layouts, view_layouts
    cdef row_table table
    cdef int32_t *row                   # value -> row id, for values of one element
    cdef Ids **ids                      # value -> row ids, for arrays; NULL if all are empty
    cdef int *last                      # value -> last op that needs it; -1 if none does, n_ops if it is asked for
    cdef int *uses                      # (elementwise code, result) -> bits of operands that count; -1 if not yet known
    cdef int64_t squeeze_at, squeeze_floor
    cdef int epoch
    cdef int64_t[::1] head              # workspace, all -1

    def __cinit__(self, Tape tape, wrt, of, known, int64_t squeeze_floor):
        cdef int v
        self.tape, self.known, self.dense = tape, known, {}
        self.squeeze_at = self.squeeze_floor = squeeze_floor
        self.type_layouts, self.view_layouts = Layouts(tape.pool.types), Layouts(tape.pool.attrs)
        self.head = np.full(0, -1, np.int64)
        self.row = <int32_t *> calloc(tape.n_vals + 1, sizeof(int32_t))
        self.ids = <Ids **> calloc(tape.n_vals + 1, sizeof(Ids *))
        self.last = <int *> malloc((tape.n_vals + 1) * sizeof(int))
        self.uses = <int *> malloc(MAX_OPS * MAX_RESULTS * sizeof(int))
        if self.row is NULL or self.ids is NULL or self.last is NULL or self.uses is NULL:
            raise MemoryError(f"no room for the pattern of a tape of {tape.n_vals} values")
        for v in range(MAX_OPS * MAX_RESULTS):
            self.uses[v] = -1
        self._check(rows_init(&self.table))
        self._find_last_uses(of)
        self._seed(wrt)

    def __dealloc__(self):
        cdef int v
        if self.ids is not NULL:
            for v in range(self.tape.n_vals):
                self._release(v)
        rows_free(&self.table)
        free(self.row)
        free(self.ids)
        free(self.last)
        free(self.uses)

    cdef int _find_last_uses(self, of) except -1:
        """Backwards from what is asked for: an op that nothing needs ends no value, and is passed over."""
        cdef Tape tape = self.tape
        cdef int k, j, v
        cdef bint needed
        for v in range(tape.n_vals):
            self.last[v] = -1
        for v in of:
            self.last[v] = tape.n_ops
        for k in range(tape.n_ops - 1, -1, -1):
            needed = False
            for v in range(tape.out[k], tape.out[k + 1]):
                needed = needed or self.last[v] >= 0
            if needed:
                for j in range(tape.start[k], tape.start[k + 1]):
                    if self.last[tape.operand[j]] < 0:
                        self.last[tape.operand[j]] = k
        return 0

    cdef int _seed(self, wrt) except -1:
        cdef Layout *t
        cdef int64_t column = 0
        cdef int v
        for v in wrt:
            t = self._type(v)
            if column + t.size >= 2**31 - 1:
                raise OverflowError("a pattern of 2**31 - 1 columns or more is not supported")
            if self._wanted(v):
                self._check(rows_units(&self.table, column, t.size, self._fresh(v, False)))
            column += t.size
        return 0

    # ---- the sweep -----------------------------------------------------------------------------------------------

    def run(self):
        """Carry the rows through all ops."""
        cdef Tape tape = self.tape
        cdef int k, j
        for k in range(tape.n_ops):
            if k % 64 == 0:
                PyErr_CheckSignals()
            if self.table.n_rows + self.table.n_runs > self.squeeze_at:
                self._squeeze(k)
            self._step(k)
            for j in range(tape.start[k], tape.start[k + 1]):
                if self.last[tape.operand[j]] == k:
                    self._release(tape.operand[j])

    cdef int _step(self, int k) except -1:
        cdef Tape tape = self.tape
        cdef int code = tape.code[k], z = tape.out[k], first = tape.start[k], r
        if code >= ELEMENTWISE:
            for r in range(tape.out[k + 1] - z):
                if self._wanted(z + r):
                    self._combine(k, z + r, self._operands_used(code, r))
        elif tape.start[k + 1] == first or code == GUARD:
            pass
        elif code == LOAD:
            if self._wanted(z) and self._active(tape.operand[first]):
                self._load(k, tape.operand[first], z)
        elif code == STORE or code == ACCUMULATE:
            if self._wanted(z) and (self._active(tape.operand[first]) or self._active(tape.operand[first + 1])):
                self._store(k, tape.operand[first], tape.operand[first + 1], z)
        elif code == COPY or code == CAST:
            if self._wanted(z):
                self._combine(k, z, 1)
        else:
            self._by_rule(k)
        return 0

    cdef int _by_rule(self, int k) except -1:
        cdef Tape tape = self.tape
        cdef int v
        cdef bint wanted = False, active = False
        for v in range(tape.out[k], tape.out[k + 1]):
            wanted = wanted or self._wanted(v)
        for v in range(tape.start[k], tape.start[k + 1]):
            active = active or self._active(tape.operand[v])
        if not (wanted and active):
            return 0
        op = tape.op(k)
        rule = RULES.get(op.op.name)
        if rule is not None:
            rule(self, op)
        elif op.op.tangent is not None or op.op.adjoint is not None:
            self.assume_dense(op)
        return 0

    cdef inline bint _wanted(self, int z) noexcept:
        cdef Layout *t = self._type(z)
        return self.last[z] >= 0 and t.inexact and t.size > 0

    cdef inline bint _active(self, int v) noexcept:
        return self.ids[v] is not NULL or self.row[v] != 0

    # ---- elementwise ops, copies and casts -------------------------------------------------------------------------

    cdef int _operands_used(self, int code, int result) except -1:
        """Bits of the operands whose partial is not structurally zero."""
        cdef CompiledTemplate t
        cdef int r, i
        cdef int *uses = self.uses + code * MAX_RESULTS
        if uses[0] < 0:
            t = compiled(code)
            if t is not None and t.nout > MAX_RESULTS:
                raise ValueError(f"op {OPS[code].name} has {t.nout} results; at most {MAX_RESULTS} are supported")
            for r in range(MAX_RESULTS):
                uses[r] = 0b110 if code == SELECT else 0
            for r in range(0 if t is None else t.nout):
                for i in range(t.nin):
                    if not t.root_is_const[r * t.nin + i] or t.root_consts[r * t.nin + i] != 0:
                        uses[r] |= 1 << i
        return uses[result]

    cdef int _combine(self, int k, int z, int used) except -1:
        """Each element of `z` has the rows of the elements that it is made of."""
        cdef Tape tape = self.tape
        cdef int *operand = tape.operand + tape.start[k]
        cdef int[MAX_OPERANDS] active
        cdef int j, n = 0
        for j in range(min(tape.start[k + 1] - tape.start[k], MAX_OPERANDS)):
            if used >> j & 1 and self._active(operand[j]):
                active[n] = operand[j]
                n += 1
        if n == 0:
            return 0
        if self._type(z).size == 1:
            return self._combine_scalars(k, z, active, n)
        if self.known and OPS[tape.code[k]].name in RULES and RULES[OPS[tape.code[k]].name](self, tape.op(k)):
            return 0
        return self._combine_arrays(k, z, active, n)

    cdef int _combine_scalars(self, int k, int z, int *active, int n) except -1:
        cdef int32_t row = self._rows(active[0])[0]
        cdef int j
        if n == 1 and self.tape.code[k] == MULTIPLY and self._has_constant_zero(k):
            return 0
        for j in range(1, n):
            row = rows_unite(&self.table, row, self._rows(active[j])[0])
            if row < 0:
                self._check(row)
        self.row[z] = row
        return 0

    cdef bint _has_constant_zero(self, int k) except -1:
        cdef Tape tape = self.tape
        cdef int j, maker
        for j in range(tape.start[k], tape.start[k + 1]):
            maker = tape.vop[tape.operand[j]]
            if tape.code[maker] == CONST and not tape.pool.consts[tape.attr[maker]].any():
                return True
        return False

    cdef int _combine_arrays(self, int k, int z, int *active, int n) except -1:
        cdef Layout *t = self._type(z)
        cdef int j
        cdef int32_t *dst
        cdef Ids *first
        cdef bint in_place
        for j in range(1, n):
            if self._dies(k, active[j]) and same_memory(t, self._type(active[j])):
                active[0], active[j] = active[j], active[0]
        first = self.ids[active[0]]
        in_place = first is not NULL and same_memory(t, self._type(active[0]))
        if in_place and n == 1:
            self._share(z, active[0])
            return 0
        if in_place and self.tape.out[k + 1] - self.tape.out[k] == 1:
            dst = self._succeed(k, active[0], z)
        else:
            dst = self._fresh(z, False)
            self._move(dst, t, t, self._rows(active[0]), self._type(active[0]), False)
        for j in range(1, n):
            if not in_place or self.ids[active[j]] != first or not same_memory(t, self._type(active[j])):
                self._move(dst, t, t, self._rows(active[j]), self._type(active[j]), True)
        return 0

    # ---- loads, stores, accumulations --------------------------------------------------------------------------------

    cdef int _load(self, int k, int x, int z) except -1:
        cdef Layout *t = self._type(z)
        cdef Layout *base = self._type(x)
        cdef Layout *view = self._view(k)
        cdef int64_t offset = self.tape.imm[k] // base.itemsize
        if view.itemsize != base.itemsize:
            RULES["load"](self, self.tape.op(k))
            return 0
        if t.size == 1:
            self.row[z] = self._rows(x)[offset]
        elif offset == 0 and view.size == base.size and same_memory(view, t):
            self._share(z, x)
        else:
            self._move(self._fresh(z, False), t, t, self._rows(x) + offset, view, False)
        return 0

    cdef int _store(self, int k, int x, int v, int z) except -1:
        cdef Layout *t = self._type(z)
        cdef Layout *view = self._view(k)
        cdef bint adds = self.tape.code[k] == ACCUMULATE
        cdef int64_t offset = self.tape.imm[k] // t.itemsize
        cdef int32_t *dst
        if view.itemsize != t.itemsize:
            RULES["store"](self, self.tape.op(k))
            return 0
        if adds and not self._active(v):
            self._share(z, x)
            return 0
        if adds and view.size > 1 and not injective(self.tape.pool.attrs[self.tape.attr[k]]):
            RULES["accumulate"](self, self.tape.op(k))
            return 0
        if view.size == t.size > 1 and not adds and same_memory(view, t) and same_memory(t, self._type(v)):
            self._share(z, v)
            return 0
        dst = self._succeed(k, x, z) + offset
        if view.size == 1:
            self._put_one(dst, v, adds)
        else:
            self._move(dst, view, view, self._rows(v), self._type(v), adds)
        return 0

    cdef int _put_one(self, int32_t *dst, int v, bint adds) except -1:
        cdef int32_t row = self._rows(v)[0] if self._active(v) else 0
        if adds:
            row = rows_unite(&self.table, dst[0], row)
            if row < 0:
                self._check(row)
        dst[0] = row
        return 0

    cdef int _move(self, int32_t *dst, Layout *to, Layout *shape, const int32_t *src, Layout *from_, bint unite) except -1:
        """Copy or unite `src`, broadcast, into `dst`; no `src` is empty rows."""
        cdef window_pair w
        cdef int k, code = 0, extra = shape.ndim - from_.ndim
        cdef int32_t nothing = 0
        w.ndim = shape.ndim
        for k in range(shape.ndim):
            w.shape[k], w.dst[k] = shape.shape[k], to.step[k]
            w.src[k] = 0 if src is NULL or k < extra or from_.shape[k - extra] == 1 else from_.step[k - extra]
        if src is NULL:
            src = &nothing
        with nogil:
            window_simplify(&w)
            if unite:
                code = window_unite(&w, &self.table, dst, src)
            else:
                window_copy(&w, dst, src)
        return self._check(code)

    # ---- ids of values -------------------------------------------------------------------------------------------------

    cdef inline Layout *_type(self, int v) noexcept:
        return self.type_layouts.items + self.tape.vtype[v]

    cdef inline Layout *_view(self, int k) noexcept:
        return self.view_layouts.items + self.tape.attr[k]

    cdef inline int32_t *_rows(self, int v) noexcept:
        """The ids of a value, or NULL if all its rows are empty."""
        if self.ids[v] is not NULL:
            return items_of(self.ids[v])
        return self.row + v if self.row[v] else NULL

    cdef int32_t *_fresh(self, int z, bint empty) except NULL:
        """Ids for a value that has none yet."""
        if self._type(z).size == 1:
            self.row[z] = 0
            return self.row + z
        self.ids[z] = new_ids(self._type(z).size, empty)
        return items_of(self.ids[z])

    cdef void _share(self, int z, int v) noexcept:
        self.row[z], self.ids[z] = self.row[v], self.ids[v]
        if self.ids[v] is not NULL:
            self.ids[v].owners += 1

    cdef void _release(self, int v) noexcept:
        cdef Ids *ids = self.ids[v]
        self.ids[v] = NULL
        if ids is not NULL:
            ids.owners -= 1
            if ids.owners == 0:
                free(ids)

    cdef bint _dies(self, int k, int v) noexcept:
        """Whether op `k` may overwrite the ids of its operand `v`."""
        cdef int j, times = 0
        if self.last[v] != k or self.ids[v] is NULL or self.ids[v].owners > 1:
            return False
        for j in range(self.tape.start[k], self.tape.start[k + 1]):
            times += self.tape.operand[j] == v
        return times == 1

    cdef int32_t *_succeed(self, int k, int x, int z) except NULL:
        """Ids of `z` to begin with those of `x`: taken over if `x` ends here, so that a store costs what it stores."""
        cdef int32_t *rows
        if self._dies(k, x):
            self.ids[z], self.ids[x] = self.ids[x], NULL
            return items_of(self.ids[z])
        rows = self._fresh(z, self.ids[x] is NULL)
        if self.ids[x] is not NULL:
            memcpy(rows, items_of(self.ids[x]), self.ids[x].size * sizeof(int32_t))
        elif self.row[x]:
            rows[0] = self.row[x]
        return rows

    cdef int _check(self, int64_t code) except -1:
        if code >= 0:
            return 0
        if code == ROWS_TOO_MANY:
            raise OverflowError("the pattern needs 2**31 different rows or more at once")
        raise MemoryError(f"no room for the pattern: {self.table.n_rows} rows of {self.table.n_runs} runs so far")

    cdef int _squeeze(self, int k) except -1:
        """Drop the rows of values that are dead before op `k`; at doubling sizes, so that it costs O(1) per row."""
        cdef int v
        cdef int32_t *new_id = <int32_t *> calloc(self.table.n_rows, sizeof(int32_t))
        if new_id is NULL:
            raise MemoryError("no room for the pattern")
        self.epoch += 1
        for v in range(self.tape.n_vals):
            if self.last[v] < k:
                self.row[v] = 0
            rows_mark(new_id, self.row + v, 1)
            if self.ids[v] is not NULL:
                rows_mark(new_id, items_of(self.ids[v]), self.ids[v].size)
        rows_squeeze(&self.table, new_id)
        for v in range(self.tape.n_vals):
            rows_rename(new_id, self.row + v, 1)
            if self.ids[v] is not NULL and self.ids[v].epoch != self.epoch:
                self.ids[v].epoch = self.epoch
                rows_rename(new_id, items_of(self.ids[v]), self.ids[v].size)
        free(new_id)
        self.squeeze_at = max(self.squeeze_floor, 2 * (self.table.n_rows + self.table.n_runs))
        return 0

    # ---- for rules written in Python: row ids as int32 arrays ------------------------------------------------------------

    def rows(self, int v):
        """The row ids of `v` in its shape; valid until the rule returns, and not to be written."""
        t = self.tape.type(v)
        if self.ids[v] is NULL:
            return np.broadcast_to(np.int32(self.row[v]), t.shape)
        strides = tuple([4 * (s // t.dtype.itemsize) for s in t.strides])
        return window(self._memory(v), 0, t.shape, strides, np.dtype(np.int32))

    cdef object _memory(self, int v):
        if self.ids[v] is NULL:
            return np.asarray(<int32_t[:1]> (self.row + v))
        return np.asarray(<int32_t[:self.ids[v].size]> items_of(self.ids[v]))

    def active(self, int v):
        """Whether `v` may depend on anything."""
        return self._active(v)

    def put(self, int z, rows):
        """Give `z` its rows: an array that broadcasts to its shape."""
        if self._wanted(z):
            self._fresh(z, False)
            memory, t = self._memory(z), self.tape.type(z)
            strides = tuple([4 * (s // t.dtype.itemsize) for s in t.strides])
            window(memory, 0, t.shape, strides, memory.dtype)[...] = rows

    def succeed(self, op):
        """The ids of ``op.results[0]`` by position, to begin with those of ``op.operands[0]``; to be written."""
        self._succeed(op.index, op.operands[0], op.results[0])
        return self._memory(op.results[0])

    def unite(self, a, b):
        """Elementwise unions of two arrays of ids, broadcast."""
        shape = np.broadcast_shapes(a.shape, b.shape)
        cdef int32_t[::1] dst = np.broadcast_to(a, shape).flatten()
        cdef const int32_t[::1] src = np.broadcast_to(b, shape).ravel()
        cdef window_pair w
        w.ndim, w.shape[0], w.dst[0], w.src[0] = 1, dst.shape[0], 1, 1
        if dst.shape[0]:
            self._check(window_unite(&w, &self.table, &dst[0], &src[0]))
        return np.asarray(dst).reshape(shape)

    def unite_groups(self, rows):
        """The union of each row of a 2-D array of ids."""
        cdef const int32_t[:, ::1] src = np.ascontiguousarray(rows)
        cdef int32_t[::1] dst = np.zeros(src.shape[0], np.int32)
        cdef int code = 0
        if src.shape[0] and src.shape[1]:
            with nogil:
                code = ids_unite_groups(&self.table, &dst[0], &src[0, 0], src.shape[0], src.shape[1])
            self._check(code)
        return np.asarray(dst)

    def unite_prefixes(self, rows, more=None):
        """Along the last axis, the union of each id with all before it, and with those of `more` but the first."""
        cdef int32_t[:, ::1] dst = np.array(rows, np.int32, order="C").reshape(-1, rows.shape[rows.ndim - 1])
        cdef const int32_t[:, ::1] also = dst if more is None else np.ascontiguousarray(more).reshape(np.shape(dst))
        cdef const int32_t *others = NULL
        cdef Py_ssize_t i
        for i in range(dst.shape[0]):
            if more is not None:
                others = &also[i, 0]
            self._check(rows_unite_prefixes(&self.table, &dst[i, 0], others, dst.shape[1]))
        return np.asarray(dst).reshape(rows.shape)

    def scatter_unite(self, int32_t[::1] memory, const int64_t[::1] pos, const int32_t[::1] rows):
        """``memory[pos]`` united with `rows`; repeated positions get all of theirs (compare ``np.add.at``)."""
        cdef Py_ssize_t n = pos.shape[0]
        cdef int code
        if n == 0:
            return
        if self.head.shape[0] < memory.shape[0]:
            self.head = np.full(memory.shape[0], -1, np.int64)
        cdef int64_t[::1] chain = np.empty(n, np.int64)
        cdef int32_t[::1] group = np.empty(n + 1, np.int32)
        with nogil:
            code = ids_scatter_unite(&self.table, &memory[0], &pos[0], &rows[0], n, &self.head[0], &chain[0], &group[0])
        self._check(code)

    def partials_used(self, str name):
        """For an elementwise op of two operands, whether each partial may be other than zero."""
        cdef int used = self._operands_used(CODE_OF_NAME[name], 0)
        return bool(used & 1), bool(used & 2)

    def note_dense(self, op):
        """Report that the pattern of `op` was assumed, not derived."""
        self.dense[op.op.name] = None

    def assume_dense(self, op):
        """All results of `op` depend on all that its operands depend on."""
        self.note_dense(op)
        rows = [np.ravel(self.rows(v)) for v in op.operands if self._active(v)]
        everything = self.unite_groups(np.concatenate(rows)[None])
        for z in op.results:
            self.put(z, everything[0])

    # ---- the result --------------------------------------------------------------------------------------------------------

    def compressed(self, of):
        """`indptr` and `indices` of the rows of the values `of`, one after the other."""
        cdef int64_t[::1] indptr = np.zeros(1 + sum([self.tape.type(v).size for v in of]), np.int64)
        cdef int32_t[::1] indices
        cdef int32_t *end
        cdef int64_t row = 1
        cdef int v
        for v in of:
            if self._active(v):
                rows_count(&self.table, self._rows(v), self._type(v).size, &indptr[row])
            row += self._type(v).size
        pointers = np.cumsum(indptr)
        n_entries = pointers[pointers.size - 1]
        try:
            indices = np.empty(n_entries + 1, np.int32)
        except MemoryError:
            raise MemoryError(f"no room for a pattern of {n_entries} entries in {pointers.size - 1} rows") from None
        end = &indices[0]
        for v in of:
            if self._active(v):
                end = rows_expand(&self.table, self._rows(v), self._type(v).size, end)
        return pointers.astype(np.int32 if n_entries < 2**31 else np.int64), np.asarray(indices)[:n_entries]
