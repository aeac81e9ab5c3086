"""Tangent of a tape: forward mode.

Law: d(z) = sum_i dz/dx_i * d(x_i), of which a real z takes the real part, and every linear op acts on tangents as on values. The
tangent of an op follows the op at once, so that partials see its operands before anything overwrites them.
"""
from libc.stdlib cimport free, malloc

from sparsead.ops.table import CODE_OF_NAME
from sparsead.tape._tape import checked
from sparsead.tape.spec import OPS, OpView

from sparsead.tape._tape cimport (ACCUMULATE, ACCUMULATE_AT, CAST, COPY, ELEMENTWISE, GATHER, GUARD, INPUT, LOAD, LOAD_AT, LOOP,
                                  SCATTER, SCATTER_ADD, STORE, STORE_AT, Tape, ValueType, has_bodies, offset_t)
from sparsead.transform._activity cimport refuse
from sparsead.transform._emit cimport CompiledTemplate, Emitter, compiled, compiled_for, has_complex, is_complex
from sparsead.transform._emit import refuse_complex

cdef int CONJUGATE = CODE_OF_NAME["conjugate"]


def tangent(Tape tape, wrt, bint strong=False):
    """The tape that also computes tangents.

    Parameters
    ----------
    tape : Tape
    wrt : sequence of int
        Positions in ``tape.inputs`` that carry a tangent.
    strong : bool
        Tangents of zero stay zero: ``0 * inf`` is 0 there.

    Returns
    -------
    Tape
        Inputs: those of `tape`, then one tangent for each of `wrt`. Outputs: those of `tape`, then their tangents.
    """
    new = Tangent(tape, wrt, strong).run()
    return checked(new, active=[*wrt, *range(len(tape.inputs), len(new.inputs))])


cdef class Tangent:
    cdef Tape old, new
    cdef Emitter emit
    cdef int *value                     # old value -> new value
    cdef int *dot                       # old value -> its tangent in the new tape, -1 where it is zero
    cdef object wrt
    cdef bint strong, complex
    cdef int[64] temps

    def __cinit__(self, Tape tape, wrt, bint strong):
        self.old, self.new = tape, tape.fresh()
        self.emit = Emitter(self.new)
        self.wrt, self.strong, self.complex = wrt, strong, has_complex(tape)
        self.value = <int *> malloc((tape.n_vals + 1) * sizeof(int))
        self.dot = <int *> malloc((tape.n_vals + 1) * sizeof(int))
        if self.value is NULL or self.dot is NULL:
            raise MemoryError("tangent")
        cdef int v
        for v in range(tape.n_vals):
            self.value[v] = self.dot[v] = -1

    def __dealloc__(self):
        free(self.value)
        free(self.dot)

    def run(self):
        cdef Tape new = self.new
        cdef int k, v
        seeded = {self.old.inputs[position] for position in self.wrt}
        for k in range(self.old.n_ops):
            if self.old.code[k] == INPUT:
                self._input(k, self.old.out[k] in seeded)
            else:
                self._step(k)
        new.inputs = [self.value[v] for v in self.old.inputs]
        new.inputs += [self.dot[self.old.inputs[position]] for position in self.wrt]
        new.outputs = [self.value[v] for v in self.old.outputs]
        self.emit.line = -1
        for v in self.old.outputs:
            new.outputs.append(self._dot_or_zeros(v))
        return new

    cdef int _input(self, int k, bint seeded) except -1:
        """An input where it stood, as it may begin a reverse sweep, and its tangent right behind it."""
        cdef Tape old = self.old, new = self.new
        cdef int v = old.out[k]
        new.take(old, k, self.value)
        if v in old.names:
            new.names[self.value[v]] = old.names[v]
        if seeded:
            self.dot[v] = new.emit0(INPUT, -1, 0, -1, old.vtype[v])
            new.names[self.dot[v]] = "tangent of " + old.names.get(v, f"input {old.inputs.index(v)}")
        return 0

    cdef int _dot_or_zeros(self, int v) except -1:
        return self.dot[v] if self.dot[v] >= 0 else self.emit.zeros_of(self.old.vtype[v])

    cdef int _step(self, int k) except -1:
        cdef Tape old = self.old
        cdef int code = old.code[k], j, n = old.start[k + 1] - old.start[k]
        cdef int *operands = old.operand + old.start[k]
        cdef bint active = False
        self.emit.line = old.line[k]
        for j in range(n):
            active = active or self.dot[operands[j]] >= 0
        if active and has_bodies(code):
            return self._nested(k, code, operands, n)
        self.new.take(old, k, self.value)
        if active:
            if code >= ELEMENTWISE:
                self._elementwise(k, code, operands, n)
            else:
                self._structural(k, code, operands)
        return 0

    cdef int _elementwise(self, int k, int code, int *operands, int n) except -1:
        cdef CompiledTemplate t = compiled_for(self.old, k) if self.complex else compiled(code)
        cdef Emitter e = self.emit
        cdef Tape old = self.old
        cdef int[8] refs
        cdef int i, r, j, term, total, z
        if OPS[code].elementwise.name == "select":
            return self._select(k, operands)
        if t is None:
            return 0
        if code == CONJUGATE and self.complex:
            self.dot[old.out[k]] = e.spread(e.conjugated(self.dot[operands[0]]), old.vtype[old.out[k]])
            return 0
        for j in range(64):
            self.temps[j] = -1
        for j in range(n):
            refs[j] = self.value[operands[j]]
        for j in range(t.nout):
            refs[n + j] = self.value[old.out[k] + j]
        for r in range(t.nout):
            z = old.out[k] + r
            total = -1
            for i in range(n):
                if self.dot[operands[i]] < 0:
                    continue
                term = e.product(self.dot[operands[i]], t, r * n + i, refs, self.temps, self.strong)
                if term >= 0:
                    total = term if total < 0 else e.add2(total, term)
            if total >= 0 and self.complex and e.tape.type_of(total).is_complex != old.type_of(z).is_complex:
                total = e.cast(total, old.type_of(z).dtype)
            if total >= 0:
                self.dot[z] = e.spread(total, old.vtype[z])
        return 0

    cdef int _select(self, int k, int *operands) except -1:
        cdef Emitter e = self.emit
        cdef int z = self.old.out[k], j
        picked = [self.value[operands[0]]]
        for j in (1, 2):
            picked.append(self.dot[operands[j]] if self.dot[operands[j]] >= 0 else 0.0)
        if self.dot[operands[1]] >= 0 or self.dot[operands[2]] >= 0:
            self.dot[z] = e.spread(e.ew("select", *picked), self.old.vtype[z])
        return 0

    cdef int _structural(self, int k, int code, int *operands) except -1:
        cdef Tape old = self.old, new = self.new
        cdef int attr = old.attr[k], line = old.line[k], z = old.out[k], x = operands[0], base, v
        cdef offset_t imm = old.imm[k]
        if code == LOAD:
            self.dot[z] = new.emit1(LOAD, self.dot[x], attr, imm, line, old.vtype[z])
        elif code == COPY:
            self.dot[z] = new.emit1(COPY, self.dot[x], -1, 0, line, old.vtype[z])
        elif code == CAST:
            if old.type_of(z).inexact:
                self.dot[z] = new.emit1(CAST, self.dot[x], -1, 0, line, old.vtype[z])
        elif code == GATHER:
            if self.dot[x] >= 0:
                self.dot[z] = new.emit2(GATHER, self.dot[x], self.value[operands[1]], -1, imm, line, old.vtype[z])
        elif code == LOAD_AT:
            self.dot[z] = self._moving(k, self.dot[x], -1)
        elif code == STORE_AT or code == ACCUMULATE_AT:
            if not old.type_of(z).inexact:
                return 0
            v = operands[1]
            if code == ACCUMULATE_AT and self.dot[v] < 0:
                self.dot[z] = self.dot[x]
                return 0
            base = self._dot_or_zeros(x)
            self.dot[z] = self._moving(k, base, self.dot[v] if self.dot[v] >= 0 else self._nought(old.vtype[v]))
        elif code == STORE or code == ACCUMULATE:
            if not old.type_of(z).inexact:
                return 0
            v = operands[1]
            if code == ACCUMULATE and self.dot[v] < 0:
                self.dot[z] = self.dot[x]
                return 0
            base = self._dot_or_zeros(x)
            v = self.dot[v] if self.dot[v] >= 0 else self._nought(old.vtype[v])
            self.dot[z] = new.emit2(code, base, v, attr, imm, line, old.vtype[z])
        elif code == SCATTER or code == SCATTER_ADD:
            v = operands[2]
            if code == SCATTER_ADD and self.dot[v] < 0:
                self.dot[z] = self.dot[x]
                return 0
            base = self._dot_or_zeros(x)
            v = self.dot[v] if self.dot[v] >= 0 else self._nought(old.vtype[v])
            self.dot[z] = new.emit3(code, base, self.value[operands[1]], v, -1, imm, line, old.vtype[z])
        elif code != GUARD:
            self._by_rule(k, code, operands)
        return 0

    cdef int _moving(self, int k, int x, int v) except -1:
        """Op `k`, a moving window, at the same place of `x`; `v` is what it writes, -1 if it loads."""
        cdef Tape old = self.old
        operands = [x] if v < 0 else [x, v]
        cdef int j
        for j in range(len(operands), old.start[k + 1] - old.start[k]):
            operands.append(self.value[old.operand[old.start[k] + j]])
        return self.emit.window(old.code[k], operands, old.attr[k], old.imm[k], old.vtype[old.out[k]])

    cdef int _nested(self, int k, int code, int *operands, int n) except -1:
        cdef Tape old = self.old
        cdef int j, z, c, m = old.out[k + 1] - old.out[k]
        from sparsead.transform.branches.tangent import tangent_of_branch
        from sparsead.transform.loops.tangent import tangent_of_loop
        law = tangent_of_loop if code == LOOP else tangent_of_branch
        made = law(old.pool.attrs[old.attr[k]], tuple([self.dot[operands[j]] >= 0 for j in range(n)]), self.strong)
        new_operands = [self.value[operands[j]] for j in range(m)] + [self._dot_or_zeros(operands[c]) for c in made.active]
        new_operands += [self.dot[operands[j]] for j in made.others]
        new_operands += [self.value[operands[j]] for j in range(m, n)]
        results = self.emit.many(code, new_operands, made.attr,
                                 [old.vtype[z] for z in range(old.out[k], old.out[k + 1])]
                                 + [old.vtype[operands[c]] for c in made.active])
        for j in range(m):
            self.value[old.out[k] + j] = results[j]
        for j, c in enumerate(made.active):
            self.dot[old.out[k] + c] = results[m + j]
        return 0

    cdef int _nought(self, int vtype) except -1:
        """A zero broadcast to the shape of `vtype`, without memory of its own."""
        cdef ValueType t = <ValueType> self.old.pool.types[vtype]
        cdef int zero = self.emit.number(0.0, t.dtype)
        return self.emit.spread(zero, vtype) if t.ndim else zero

    cdef int _by_rule(self, int k, int code, int *operands) except -1:
        cdef Tape old = self.old
        cdef int j
        if OPS[code].inactive:
            return 0
        rule = OPS[code].tangent
        if rule is None:
            refuse(old, k)
        if self.complex and not OPS[code].of_complex and is_complex(old, k):
            refuse_complex(old, k)
        ids = tuple([self.value[operands[j]] for j in range(old.start[k + 1] - old.start[k])])
        dots = [self.dot[operands[j]] if self.dot[operands[j]] >= 0 else None for j in range(len(ids))]
        results = tuple([self.value[z] for z in range(old.out[k], old.out[k + 1])])
        attr = None if old.attr[k] < 0 else old.pool.attrs[old.attr[k]]
        view = OpView(k, OPS[code], ids, results, attr, old.imm[k], None)
        for j, dot in enumerate(rule(self.emit, view, dots)):
            if dot is not None:
                self.dot[old.out[k] + j] = self.emit.spread(dot, old.vtype[old.out[k] + j])
        return 0
