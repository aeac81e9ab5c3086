"""Runs of ops on single elements, written as straight-line programs: see `sparsead.schedule.form.Scalars`.

Law: the instructions of a program, one after the other, do to registers and memory what the ops of its run do. The runs of a tape
share their registers: a value stays in its register up to the last op of a run that reads it. If an op outside of runs reads it,
or the tape gives it out, it has a place in memory besides.

An op takes well below a microsecond here, so that scalar codes of millions of ops can be planned. Registers are allocated in a
backward pass for the liveness and a forward one (linear scan).
"""
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

import numpy as np
from numpy import asarray, empty, full, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.ops.moving import Moving
from sparsead.schedule.form import Form, Scalars
from sparsead.schedule.inner import KINDS, castable, signature
from sparsead.tape.spec import BY_NAME, MAX_OPS, OPS, View

from sparsead.tape._tape cimport (ACCUMULATE, ACCUMULATE_AT, CAST, CONST, COPY, ELEMENTWISE, EMPTY, GUARD, INPUT, LOAD, LOAD_AT,
                                  STORE, STORE_AT, ZEROS, Tape, ValueType)
from sparsead.transform._linear cimport last_uses

cdef enum:
    FEW = 2         # ops of a run that compute something, at least
    MANY = 32       # the same between large arrays, whose kernels run together if they are not torn apart
    SCALAR_CODE = 8  # elements that other ops make, at most, for each op of a run, where arrays are not large
    PAUSE = 8192    # instructions between two looks at the clock
    MOST = 8        # operands and results of an op
    CELL = 8        # bytes
    N_KINDS = 18
    UNKNOWN = 0
    NOWHERE = -1
    NOTED = -2
    FIRST_PLACE = -3
    OTHER = 255     # neither of these kinds: not one element, or of a dtype without inner loops

cdef enum: NO_RUN, SILENT, COMPUTES  # what an op means for a run

cdef str INTEGERS = "?bBhHiIlLqQ"
cdef list DTYPES = [None, *map(np.dtype, KINDS)]  # by kind, from 1 on
cdef dict NUMBERS = {DTYPES[kind]: kind for kind in range(N_KINDS, 0, -1)}
cdef int ADDRESS = NUMBERS[np.dtype(np.int64)]  # what a number of bytes is kept as
cdef int[N_KINDS + 1] CELLS
for _kind in range(1, N_KINDS + 1):
    CELLS[_kind] = -(-DTYPES[_kind].itemsize // CELL)


# ---- forms -------------------------------------------------------------------------------------------------------------

cdef list FORMS = []  # all that were met in this process


cdef class Resolved:
    """A form of an elementwise op, by its number in `FORMS`."""

    cdef int number, n_in, n_out


cdef int new_form(str name, list kinds, int n_in=0):
    FORMS.append(Form(name, tuple([DTYPES[kind] for kind in kinds]), n_in))
    return len(FORMS) - 1


cdef list by_kind(str name):
    """Numbers of the forms of one name, by kind."""
    return [-1] + [new_form(name, [kind]) for kind in range(1, N_KINDS + 1)]


cdef int[N_KINDS + 1] F_LOAD, F_STORE, F_ADD, F_LOAD_AT, F_STORE_AT, F_ADD_AT, F_INDEX, F_GUARD
F_LOAD, F_STORE, F_ADD = by_kind("load"), by_kind("store"), by_kind("accumulate")
F_LOAD_AT, F_STORE_AT, F_ADD_AT = by_kind("load_at"), by_kind("store_at"), by_kind("accumulate_at")
F_INDEX, F_GUARD = by_kind("index"), by_kind("guard")
cdef int F_PAUSE = new_form("pause", []), F_END = new_form("end", [])
cdef int[N_KINDS + 1][N_KINDS + 1] F_CAST  # 0: not looked up yet; -1: there is none
cdef dict RESOLVED = {}  # (code, kinds of operands and results) -> the form


cdef int cast_form(int a, int b):
    """Number of the form that casts kind `a` to `b`, a copy if they are equal; -1 if there is none."""
    if F_CAST[a][b] == 0:
        if a == b:
            F_CAST[a][b] = new_form("copy", [a, b], 1)
        else:
            F_CAST[a][b] = new_form("cast", [a, b], 1) if castable(DTYPES[a], DTYPES[b]) else -1
    return F_CAST[a][b]


for _kind in range(1, N_KINDS + 1):
    cast_form(_kind, _kind)


cdef int kind_of(dtype):
    return NUMBERS.get(dtype, OTHER)


cdef Resolved resolved(int code, list operands, list results):
    """The form of an elementwise op for operands and results of these kinds; None if there is none."""
    dtypes = [DTYPES[<int> kind] for kind in (*operands, *results)]
    found = signature(OPS[code].elementwise, dtypes[:len(operands)], dtypes[len(operands):])
    if found is None or list(found) != dtypes:
        return None
    cdef Resolved made = Resolved()
    made.n_in, made.n_out = len(operands), len(results)
    made.number = new_form(OPS[code].name, operands + results, made.n_in)
    return made


# ---- numbers in a row ----------------------------------------------------------------------------------------------------

cdef struct Row:
    int32_t *at
    Py_ssize_t n, room


cdef int push(Row *row, int32_t number) except -1:
    if row.n == row.room:
        row.room = 2 * row.room + 64
        moved = <int32_t *> realloc(row.at, row.room * sizeof(int32_t))
        if moved is NULL:
            raise MemoryError(f"no room for a program of {row.room} words")
        row.at = moved
    row.at[row.n] = number
    row.n += 1
    return 0


# ---- runs ------------------------------------------------------------------------------------------------------------------

cdef class Runs:
    """The runs of a linear tape, and their programs.

    Attributes
    ----------
    last_use : memoryview of int
        By value: the last op that reads it, the number of ops for outputs, -1 if nobody does.

    Notes
    -----
    For each run of `found`, in their order: `around`, then `place` for each value that has a place in memory, then `program`,
    then `where`.
    """

    cdef Tape tape
    cdef readonly object last_use
    cdef int[::1] last
    cdef int[::1] last_in   # by value: the last op of a run that reads it, -1
    cdef int[::1] home      # by value: its register; NOWHERE; or where it is among `places`, see `place`
    cdef int[::1] constant  # by number of the pool: its register, or -1
    cdef unsigned char[::1] kinds, views, outside  # outside: by value, whether others than runs read it
    cdef int64_t[::1] last_key
    cdef list last_form, given, forms, indices, guards
    cdef dict numbers  # registers -> (number of the pool, kind)
    cdef Row words, places, free1, free2, free4  # free: registers of so many cells
    cdef int first, end     # of the run that is written
    cdef int top, fixed     # cells that are in use, and those of known numbers
    cdef int zero, count
    cdef int[::1] local     # by number of `FORMS`: that of the program

    def __init__(self, Tape tape):
        self.tape = tape
        self.last = last_uses(tape)
        self.last_use = memoryview(self.last)
        self.kinds, self.views = zeros(len(tape.pool.types) + 1, np.uint8), zeros(len(tape.pool.attrs) + 1, np.uint8)
        self.last_form, self.last_key = [None] * MAX_OPS, full(MAX_OPS, -1, np.int64)

    def __dealloc__(self):
        free(self.words.at)
        free(self.places.at)
        free(self.free1.at)
        free(self.free2.at)
        free(self.free4.at)

    # ---- which ops -----------------------------------------------------------------------------------------------------------

    def found(self):
        """The (first op, one past the last) of each run."""
        cdef int k = 0, first, last, worth, how, v
        cdef double all_worth = 0, others = 0
        runs = []
        while k < self.tape.n_ops:
            first = last = k
            worth = 0
            how = self._sort(k)
            while how != NO_RUN:
                k += 1
                worth += how == COMPUTES
                if how == COMPUTES or self.tape.code[k - 1] == GUARD:
                    last = k  # loads behind it are better read where they are used
                if k == self.tape.n_ops:
                    break
                how = self._sort(k)
            if worth >= FEW:
                runs.append((first, last, worth))
            all_worth += worth
            if k < self.tape.n_ops:
                for v in range(self.tape.out[k], self.tape.out[k + 1]):
                    others += self.tape.type_of(v).size
            k += 1
        least = FEW if others <= SCALAR_CODE * all_worth else MANY
        runs = [(first, last) for first, last, worth in runs if worth >= least]
        if runs:
            self._live(runs)
        return runs

    cdef int _live(self, list runs) except -1:
        """Find out what is read by whom, and give registers to numbers that are known."""
        cdef int k, j, v, code, at = len(runs), first = 0, last = self.tape.n_ops
        self.last_in, self.home = full(self.tape.n_vals + 1, -1, np.intc), full(self.tape.n_vals + 1, NOWHERE, np.intc)
        self.constant, self.outside = full(len(self.tape.pool.consts) + 1, -1, np.intc), zeros(self.tape.n_vals + 1, np.uint8)
        self.top, self.zero, self.numbers = 0, -1, {}
        for v in self.tape.outputs:
            self.outside[v] = 1
        first = last = self.tape.n_ops
        for k in range(self.tape.n_ops - 1, -1, -1):
            if k < first and at > 0:
                at -= 1
                first, last = runs[at]
            code = self.tape.code[k]
            if not first <= k < last:
                for j in range(self.tape.start[k], self.tape.start[k + 1]):
                    self.outside[self.tape.operand[j]] = 1
            elif code != INPUT and code != CONST and self._alive(k):
                for j in range(self.tape.start[k] + (code == STORE or code == STORE_AT), self.tape.start[k + 1]):
                    v = self.tape.operand[j]
                    self.last_in[v] = max(self.last_in[v], k)
                    if self._kind(v) != OTHER and self._known(v):
                        self._number(v)
                if code == ZEROS or code == EMPTY:
                    self._number(self.tape.out[k])
        self.fixed = self.top
        return 0

    cdef int _kind(self, int v) except -1:
        """The kind of a value of one element; OTHER for all others."""
        cdef int t = self.tape.vtype[v]
        cdef ValueType made
        if self.kinds[t] == UNKNOWN:
            made = <ValueType> self.tape.pool.types[t]
            self.kinds[t] = kind_of(made.dtype) if made.size == 1 else OTHER
        return self.kinds[t]

    cdef int _view(self, int k) except -1:
        """The kind of the element that op `k` loads or writes; OTHER if it is more than one."""
        cdef int a = self.tape.attr[k]
        if self.views[a] == UNKNOWN:
            view = self.tape.pool.attrs[a]
            if isinstance(view, Moving):
                view = view.view
            one = isinstance(view, View) and all([n == 1 for n in view.shape])
            self.views[a] = kind_of(view.dtype) if one else OTHER
        return self.views[a]

    cdef bint _single(self, int v):
        return self.tape.type_of(v).size == 1

    cdef int _sort(self, int k) except -1:
        """What op `k` means for a run."""
        cdef int code = self.tape.code[k], j
        cdef const int *operands = self.tape.operand + self.tape.start[k]
        cdef int n = self.tape.start[k + 1] - self.tape.start[k], v = self.tape.out[k]
        if code >= ELEMENTWISE:
            return COMPUTES if self._form(k) is not None else NO_RUN
        if code == INPUT or code == CONST:
            return SILENT
        if code == ZEROS or code == EMPTY:
            return SILENT if self._kind(v) != OTHER else NO_RUN
        if code == COPY or code == CAST:
            a, b = self._kind(operands[0]), self._kind(v)
            return COMPUTES if a != OTHER and b != OTHER and cast_form(a, b) > 0 else NO_RUN
        if code == GUARD:
            return SILENT if self._guarded(operands[0], self.tape.attr[k]) else NO_RUN
        if code == LOAD or code == LOAD_AT:
            first, how = 1, SILENT
        elif code in (STORE, STORE_AT, ACCUMULATE, ACCUMULATE_AT):
            first, how = 2, COMPUTES
        else:
            return NO_RUN
        kind = self._view(k)
        if kind == OTHER or self._kind(v if how == SILENT else operands[1]) != kind:
            return NO_RUN
        if self._single(operands[0]) and (self._kind(operands[0]) != kind or self.tape.imm[k] or n > first):
            return NO_RUN
        if how == COMPUTES and code in (ACCUMULATE, ACCUMULATE_AT) and self._sum(kind) is None:
            return NO_RUN
        for j in range(first, n):
            if self._kind(operands[j]) == OTHER or DTYPES[self._kind(operands[j])].char not in INTEGERS:
                return NO_RUN
        return how

    cdef bint _guarded(self, int v, int attr) except -1:
        """Whether a guard compares numbers that C can compare."""
        kind = self._kind(v)
        if kind == OTHER or attr < 0:
            return False
        number = self.tape.pool.attrs[attr]
        char = DTYPES[kind].char
        if isinstance(number, (bool, int, np.bool_, np.integer)):
            return char in "d" + INTEGERS and abs(int(number)) < 2**53
        return char == "d" and isinstance(number, float)

    cdef Resolved _form(self, int k):
        """The form of elementwise op `k`, None if it is no op on single elements."""
        cdef int code = self.tape.code[k], j, kind
        cdef int begin = self.tape.start[k], n = self.tape.start[k + 1] - begin, m = self.tape.out[k + 1] - self.tape.out[k]
        cdef long long key = n
        if n + m > MOST:
            return None
        for j in range(n + m):
            kind = self._kind(self.tape.operand[begin + j] if j < n else self.tape.out[k] + j - n)
            if kind == OTHER:
                return None
            key = 32 * key + kind
        if self.last_key[code] == key:
            return <Resolved> self.last_form[code]
        if (code, key) not in RESOLVED:
            kinds = [self._kind(self.tape.operand[begin + j]) for j in range(n)]
            results = [self._kind(self.tape.out[k] + j) for j in range(m)]
            RESOLVED[code, key] = resolved(code, kinds, results)
        self.last_key[code], self.last_form[code] = key, RESOLVED[code, key]
        return <Resolved> self.last_form[code]

    cdef Resolved _sum(self, int kind):
        """The form that adds two numbers of a kind."""
        code = BY_NAME["add"].code
        key = (code, ((2 * 32 + kind) * 32 + kind) * 32 + kind)
        if key not in RESOLVED:
            RESOLVED[key] = resolved(code, [kind, kind], [kind])
        return <Resolved> RESOLVED[key]

    # ---- what a run has to do with the ops around it -----------------------------------------------------------------------

    cdef bint _inner(self, int v):
        """Whether a value is in a register, or made by the run."""
        cdef int k = self.tape.vop[v]
        return self.home[v] >= 0 or (self.first <= k < self.end and self.tape.code[k] != INPUT and self.tape.code[k] != CONST)

    cdef bint _known(self, int v):
        """Whether a number is known."""
        cdef int code = self.tape.code[self.tape.vop[v]]
        return code == CONST or code == ZEROS or code == EMPTY

    cdef bint _writes(self, int k):
        """Whether op `k` writes to memory."""
        cdef int code = self.tape.code[k]
        return ((code == STORE or code == ACCUMULATE or code == STORE_AT or code == ACCUMULATE_AT)
                and not self._single(self.tape.operand[self.tape.start[k]]))

    cdef bint _alive(self, int k):
        cdef int v
        if self.tape.code[k] == GUARD or self._writes(k):
            return True
        for v in range(self.tape.out[k], self.tape.out[k + 1]):
            if self.outside[v] or self.last_in[v] >= 0:
                return True
        return False

    def around(self, int first, int last):
        """What a run reads and leaves behind.

        Returns
        -------
        constants : list of int
            Constants that are made in the run, but for numbers that only runs read.
        read : list of int
            Values that it reads from memory, or parts of them.
        overwritten : list of (int, int)
            Values not made by the run whose memory it overwrites, each with the first op that does.
        made : list of int
            Numbers that it makes and others than runs read.
        changed : list of int
            Last versions of the memory that it overwrites.
        """
        cdef int k, j, v, code
        cdef const int *operands
        self.first, self.end = first, last
        constants, read, overwritten, made, changed = [], [], [], [], []
        for k in range(first, last):
            code = self.tape.code[k]
            if code == CONST:
                v = self.tape.out[k]
                if self.outside[v] or self._kind(v) == OTHER:
                    constants.append(v)
                continue
            if code == INPUT or not self._alive(k):
                continue
            operands = self.tape.operand + self.tape.start[k]
            for j in range(self.tape.start[k + 1] - self.tape.start[k]):
                v = operands[j]
                if self._inner(v) or (self._kind(v) != OTHER and self._known(v)):
                    continue
                if j == 0 and self._writes(k):
                    overwritten.append((v, k))
                elif self.home[v] == NOWHERE and not (j == 0 and code == STORE):
                    self.home[v] = NOTED
                    read.append(v)
            for v in range(self.tape.out[k], self.tape.out[k + 1]):
                if self._writes(k):
                    if self.last[v] >= last:
                        changed.append(v)
                elif self.outside[v]:
                    made.append(v)
        self.given, self.places.n = [], 0
        return constants, read, overwritten, made, changed

    def place(self, int v, int slot, int64_t offset):
        """Value `v` is in memory, or goes there, at `offset` of a slot."""
        self.home[v] = FIRST_PLACE - <int> (self.places.n // 3)
        self.given.append(v)
        push(&self.places, slot)
        push(&self.places, <int32_t> (offset & 0xffffffff))
        push(&self.places, <int32_t> (offset >> 32))

    # ---- registers ---------------------------------------------------------------------------------------------------------

    cdef int _fresh(self, int cells) except -1:
        """Cells at the end."""
        self.top = (self.top + cells - 1) // cells * cells
        self.top += cells
        return self.top - cells

    cdef Row *_free(self, int cells) noexcept:
        return &self.free1 if cells == 1 else &self.free2 if cells == 2 else &self.free4

    cdef int _take(self, int kind) except -1:
        """A register for a number of a kind."""
        cdef Row *row = self._free(CELLS[kind])
        if row.n == 0:
            return self._fresh(CELLS[kind])
        row.n -= 1
        return row.at[row.n]

    cdef int _give(self, int register, int kind) except -1:
        """The register is free again."""
        return push(self._free(CELLS[kind]), register)

    cdef int _number(self, int v) except -1:
        """The register of a number that is known."""
        cdef int k = self.tape.vop[v], index
        if self.tape.code[k] != CONST:
            if self.zero < 0:
                self.zero = self._fresh(4)
            return self.zero
        index = self.tape.attr[k]
        if self.constant[index] < 0:
            self.constant[index] = self._fresh(CELLS[self._kind(v)])
            self.numbers[self.constant[index]] = index, self._kind(v)
        return self.constant[index]

    cdef int _value(self, int v) except -1:
        """The register of a value; it is loaded if it is not there yet."""
        if self._known(v):
            return self._number(v)
        cdef int place = self.home[v], kind
        if place < 0:
            kind = self._kind(v)
            self.home[v] = self._take(kind)
            self._memory(F_LOAD[kind], self.home[v], place, 0)
        return self.home[v]

    cdef int _done(self, int v, int k) except -1:
        """Op `k` has read value `v`."""
        if self._kind(v) != OTHER and self.home[v] >= 0 and self.last_in[v] <= k:
            self._give(self.home[v], self._kind(v))
            self.home[v] = NOWHERE
        return 0

    cdef int _made(self, int v, int register) except -1:
        """Value `v` is in a register now."""
        if self.home[v] <= FIRST_PLACE:
            self._memory(F_STORE[self._kind(v)], register, self.home[v], 0)
        self.home[v] = register
        if self.last_in[v] < 0:
            self._done(v, self.end)
        return 0

    # ---- instructions --------------------------------------------------------------------------------------------------------

    cdef int _word(self, int form) except -1:
        """Begin an instruction."""
        self.count += 1
        if self.count % PAUSE == 0:
            push(&self.words, self._local(F_PAUSE))
        return push(&self.words, self._local(form))

    cdef int _local(self, int form) except -1:
        """The number of a form among those of this program."""
        if self.local[form] < 0:
            self.local[form] = len(self.forms)
            self.forms.append(FORMS[form])
        return self.local[form]

    cdef int _memory(self, int form, int register, int place, int64_t offset) except -1:
        """Move a number between a register and memory."""
        cdef const int32_t *at = self.places.at + 3 * (FIRST_PLACE - place)
        cdef int slot = at[0]
        offset += (<int64_t> at[2] << 32) + (<int64_t> at[1] & 0xffffffff)
        self._word(form)
        push(&self.words, register)
        push(&self.words, slot)
        push(&self.words, <int32_t> (offset & 0xffffffff))
        push(&self.words, <int32_t> (offset >> 32))
        return 0

    def program(self, int first, int last):
        """The `Scalars` of a run; its registers have no slot yet."""
        cdef int k, v
        self.words.n = 0
        self.count, self.forms, self.indices, self.guards = 0, [], [], []
        self.local = full(len(FORMS), -1, np.intc)
        for k in range(first, last):
            if self.tape.code[k] != INPUT and self.tape.code[k] != CONST and self._alive(k):
                self._instruction(k)
        self._word(F_END)
        code = empty(self.words.n, np.int32)
        cdef int32_t[::1] words = code
        memcpy(&words[0], self.words.at, self.words.n * sizeof(int32_t))
        for v in self.given:
            if self._kind(v) == OTHER:
                self.home[v] = NOWHERE
        made = Scalars(code, self.forms, self._fixed(), self.top * CELL, self.count, self.indices, self.guards)
        self.fixed, self.numbers = 0, {}
        return made

    cdef object _fixed(self):
        """The registers of known numbers: the first run sets them."""
        cdef int at
        memory = zeros(self.fixed * CELL, np.uint8)
        for register, (index, kind) in self.numbers.items():
            raw = asarray(self.tape.pool.consts[index]).astype(DTYPES[<int> kind]).tobytes()
            at = CELL * register
            memory[at:at + len(raw)] = bytearray(raw)
        return memory

    def where(self, int v):
        """(slot, offset) of the memory of the last version, `v`, of what the run has overwritten."""
        cdef const int32_t *at = self.places.at + 3 * (FIRST_PLACE - self.home[v])
        self.home[v] = NOWHERE
        return at[0], (<int64_t> at[2] << 32) + (<int64_t> at[1] & 0xffffffff)

    cdef int _instruction(self, int k) except -1:
        cdef int code = self.tape.code[k], begin = self.tape.start[k], v = self.tape.out[k], j
        if code >= ELEMENTWISE:
            self._apply(k, self._form(k))
        elif code == ZEROS or code == EMPTY:
            if self.home[v] <= FIRST_PLACE:
                self._memory(F_STORE[self._kind(v)], self._number(v), self.home[v], 0)
                self.home[v] = NOWHERE
        elif code == GUARD:
            self._guard(k)
        elif self._writes(k):
            self._write(k)
        elif code == COPY or code == CAST:
            self._copy(k, self.tape.operand[begin])
        elif code == LOAD or code == LOAD_AT:
            if self._single(self.tape.operand[begin]):
                self._copy(k, self.tape.operand[begin])
            else:
                self._load(k)
        elif code == STORE:
            self._copy(k, self.tape.operand[begin + 1])
        else:
            self._apply(k, self._sum(self._kind(v)))
        for j in range(begin, self.tape.start[k + 1]):
            self._done(self.tape.operand[j], k)
        return 0

    cdef int _apply(self, int k, Resolved form) except -1:
        """Apply the form to the operands of op `k`."""
        cdef int[MOST] at
        cdef int j, first = self.tape.start[k], made = self.tape.out[k]
        for j in range(form.n_in):
            at[j] = self._value(self.tape.operand[first + j])
        for j in range(form.n_out):
            at[form.n_in + j] = self._take(self._kind(made + j))
        self._word(form.number)
        for j in range(form.n_in + form.n_out):
            push(&self.words, at[j])
        for j in range(form.n_out):
            self._made(made + j, at[form.n_in + j])
        return 0

    cdef int _copy(self, int k, int x) except -1:
        """The result of op `k` is `x`, or a cast of it."""
        cdef int v = self.tape.out[k], a = self._kind(x), b = self._kind(v), register = self._value(x), made
        if a == b and not self._known(x) and self.last_in[x] == k:
            self.home[x] = NOWHERE  # nobody else wants its register
        else:
            made = self._take(b)
            self._word(cast_form(a, b))
            push(&self.words, register)
            push(&self.words, made)
            register = made
        return self._made(v, register)

    cdef int _guard(self, int k) except -1:
        cdef int v = self.tape.operand[self.tape.start[k]], register = self._value(v)
        self._word(F_GUARD[self._kind(v)])
        push(&self.words, register)
        push(&self.words, len(self.guards))
        self.guards.append((self.tape.op(k), DTYPES[self._kind(v)]))
        return 0

    cdef int _load(self, int k) except -1:
        cdef int kind = self._view(k), place = self.home[self.tape.operand[self.tape.start[k]]]
        cdef int by = self._moved(k, 1), register = self._take(kind)
        self._moving(F_LOAD[kind] if by < 0 else F_LOAD_AT[kind], register, place, self.tape.imm[k], by)
        return self._made(self.tape.out[k], register)

    cdef int _write(self, int k) except -1:
        """A store or an accumulation."""
        cdef int kind = self._view(k), code = self.tape.code[k]
        cdef int x = self.tape.operand[self.tape.start[k]], v = self.tape.operand[self.tape.start[k] + 1]
        cdef int by = self._moved(k, 2), register = self._value(v)
        cdef bint stores = code == STORE or code == STORE_AT
        form = (F_STORE[kind] if stores else F_ADD[kind]) if by < 0 else F_STORE_AT[kind] if stores else F_ADD_AT[kind]
        self._moving(form, register, self.home[x], self.tape.imm[k], by)
        self.home[self.tape.out[k]] = self.home[x]
        return 0

    cdef int _moving(self, int form, int register, int place, int64_t offset, int by) except -1:
        """The same as `_memory`, at a place that register `by` moves, which is free then; -1: none."""
        self._memory(form, register, place, offset)
        if by >= 0:
            push(&self.words, by)
            push(&self.free1, by)
        return 0

    cdef int _moved(self, int k, int first) except -2:
        """The register with the bytes by which operands from `first` on move the window of op `k`; -1 without such operands."""
        cdef int by = -1, j, n = self.tape.start[k + 1] - self.tape.start[k], v, register
        if n == first:
            return -1
        moving = self.tape.pool.attrs[self.tape.attr[k]]
        line = None if self.tape.line[k] < 0 else self.tape.pool.lines[self.tape.line[k]]
        for j in range(first, n):
            v = self.tape.operand[self.tape.start[k] + j]
            register = self._value(v)
            made = self._take(ADDRESS)
            self._word(F_INDEX[self._kind(v)])
            push(&self.words, register)
            push(&self.words, by)
            push(&self.words, made)
            push(&self.words, len(self.indices))
            low, high = moving.limits[j - first]
            self.indices.append((moving.steps[j - first], low, high, line))
            if by >= 0:
                push(&self.free1, by)
            by = made
        return by
