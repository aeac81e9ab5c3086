"""Appending ops to a tape: types inferred, constants interned, templates of partials instantiated."""
import numpy as np
from numpy import array, zeros  # NumPy's own: a trace wraps the names in its namespace

from sparsead.ops.table import CODE_OF_NAME
from sparsead.ops.templates import template_of
from sparsead.tape.spec import BY_NAME, OPS, View

from sparsead.tape._tape cimport CAST, COPY, LOAD, SUM, ZEROS, Tape, ValueType, offset_t

cdef int ADD = CODE_OF_NAME["add"]
cdef int MULTIPLY = CODE_OF_NAME["multiply"]
cdef int NEGATIVE = CODE_OF_NAME["negative"]
cdef int STRONG = CODE_OF_NAME["strong_multiply"]
cdef int CONJUGATE = CODE_OF_NAME["conjugate"]

cdef int MIXED = -2                  # stands for the type of a result whose operands are to be cast first

cdef dict _compiled = {}, _of_complex = {}
cdef frozenset SINGULAR = frozenset(("divide", "reciprocal", "log", "log2", "log10", "log1p", "power", "float_power"))


cdef class CompiledTemplate:
    """A `Template` of `sparsead.ops.templates` as C arrays."""

    def __init__(self, template, bint strong):
        self.nin, self.nout, self.strong = template.nin, template.nout, strong
        n = len(template.code)
        self.codes = array([CODE_OF_NAME[name] for name, _ in template.code] + [0], np.intc)
        self.counts = array([len(refs) for _, refs in template.code] + [0], np.intc)
        refs = zeros((n + 1, 3), np.intc)
        for k, (_, row) in enumerate(template.code):
            refs[k, :len(row)] = row
        self.refs = refs.ravel()
        self.consts = array(template.consts + [0.0])
        is_const = [isinstance(root, float) for root in template.roots]
        self.root_is_const = array(is_const, np.int8)
        self.root_consts = array([r if c else 0.0 for r, c in zip(template.roots, is_const)])
        self.root_refs = array([0 if c else r for r, c in zip(template.roots, is_const)], np.intc)
        reach = [([], 0) if c else template.reach(r) for r, c in zip(template.roots, is_const)]
        self.masks = array([mask for _, mask in reach], np.intc)
        self.singular = array([any([template.code[k][0] in SINGULAR for k in order]) for order, _ in reach], np.int8)
        self.orders = [array(order + [-1], np.intc) for order, _ in reach]


cdef CompiledTemplate compiled(int code):
    """The compiled template of an elementwise op, or None for an inactive one."""
    try:
        return _compiled[code]
    except KeyError:
        record = OPS[code].elementwise
        template = template_of(record)
        _compiled[code] = None if template is None else CompiledTemplate(template, record.strong)
        return _compiled[code]


cdef bint has_complex(Tape tape) except -1:
    """Whether there may be complex values on `tape`: a question that tapes of real code answer once, not op by op."""
    cdef ValueType t
    for t in tape.pool.types:
        if t.is_complex:
            return True
    return False


cdef bint is_complex(Tape tape, int k) except -1:
    """Whether op `k` has a complex operand or result."""
    cdef int j
    for j in range(tape.start[k], tape.start[k + 1]):
        if tape.type_of(tape.operand[j]).is_complex:
            return True
    for j in range(tape.out[k], tape.out[k + 1]):
        if tape.type_of(j).is_complex:
            return True
    return False


cdef CompiledTemplate compiled_for(Tape tape, int k):
    """Like `compiled`, for the operands of op `k`, which may be complex."""
    cdef int code = tape.code[k]
    if compiled(code) is None or not is_complex(tape, k):
        return compiled(code)
    if code not in _of_complex:
        record = OPS[code].elementwise
        template = template_of(record, True)
        _of_complex[code] = None if template is None else CompiledTemplate(template, record.strong)
    if _of_complex[code] is None:
        refuse_complex(tape, k)
    return _of_complex[code]


def refuse_complex(Tape tape, int k):
    """NotImplementedError for op `k`, whose derivatives hold for real numbers alone."""
    line = tape.op(k).line
    where = "" if line is None else f" at {line[0]}:{line[1]}"
    raise NotImplementedError(f"{OPS[tape.code[k]].name} of complex numbers has no derivative rule{where}; express it by the "
                              "real and imaginary parts, x.real and x.imag")


cdef class Emitter:
    """Appends ops to `tape`; ops made by a derivative carry the user's line of the op they come from."""

    def __init__(self, Tape tape):
        self.tape = tape
        self.line = -1
        self._types, self._consts, self._zeros, self._views = {}, {}, {}, {}

    # ---- elementwise ---------------------------------------------------------------------------------------

    cdef int elementwise(self, int code, const int *args, int n) except -1:
        cdef Tape tape = self.tape
        cdef int vtype = -1, k, a = tape.vtype[args[0]]
        cdef int b = tape.vtype[args[1]] if n > 1 else -1
        cdef int c = tape.vtype[args[2]] if n > 2 else -1
        cdef tuple key = (code, a, b, c)
        found = self._types.get(key)
        if found is None:
            found = self._types[key] = self._result_type(code, [tape.type_of(args[k]) for k in range(n)])
        vtype = found
        if vtype == MIXED:
            return self._of_mixed(code, args, n)
        return tape.emit(code, args, n, -1, 0, self.line, vtype)

    def _complex_among(self, list types):
        """The complex dtype that real operands have to be cast to; None if there is none."""
        dtypes = {t.dtype for t in types if t.inexact}
        return np.result_type(*dtypes) if len(dtypes) > 1 and any([t.is_complex for t in types]) else None

    cdef int _of_mixed(self, int code, const int *args, int n) except -1:
        """An op on real and complex operands."""
        cdef int[3] cast
        cdef int k
        dtype = self._complex_among([self.tape.type_of(args[k]) for k in range(n)])
        for k in range(n):
            cast[k] = self.cast(args[k], dtype) if self.tape.type_of(args[k]).inexact else args[k]
        return self.elementwise(code, cast, n)

    def _result_type(self, int code, list types):
        function = OPS[code].elementwise.ufunc
        if self._complex_among(types) is not None:
            return MIXED
        if isinstance(function, np.ufunc):
            loop = function.resolve_dtypes(tuple([t.dtype for t in types]) + (None,) * function.nout)
            dtype = loop[len(loop) - 1]
        else:
            dtype = types[1].dtype if len(types) == 3 else types[0].dtype
        if len({t.shape for t in types}) == 1 and len({t.strides for t in types}) == 1:
            return self.tape.pool.type_id(dtype, types[0].shape, scaled(types[0], dtype))
        shape = np.broadcast_shapes(*[t.shape for t in types])
        for t in types:                    # a scalar operand leaves the layout of the other alone
            if t.shape == shape and all(o is t or o.ndim == 0 for o in types):
                return self.tape.pool.type_id(dtype, shape, scaled(t, dtype))
        return self.tape.pool.dense_type_id(dtype, shape)

    cdef int ew1(self, int code, int a) except -1:
        return self.elementwise(code, &a, 1)

    cdef int ew2(self, int code, int a, int b) except -1:
        cdef int[2] ab
        ab[0], ab[1] = a, b
        return self.elementwise(code, ab, 2)

    cdef int number(self, double c, object dtype) except -1:
        cdef tuple key = (c, np.signbit(c), dtype)
        found = self._consts.get(key)
        if found is None:
            found = self._consts[key] = self.tape.constant(dtype.type(c), -1)
        return found

    cdef int conjugated(self, int v) except -1:
        return self.ew1(CONJUGATE, v) if self.tape.type_of(v).is_complex else v

    def conj(self, int v):
        """`v`, conjugated if it is complex."""
        return self.conjugated(v)

    # ---- partials ------------------------------------------------------------------------------------------

    cdef int factor(self, int p) except -1:
        """What a derivative is multiplied by for the partial `p`: in the reverse sweep its conjugate."""
        return p

    cdef int partial(self, CompiledTemplate t, int root, const int *refs, int *temps) except -1:
        """Instantiate partial `root`; `refs` are operands and results, `temps` remembers shared instructions."""
        cdef int base = t.nin + t.nout, k, j, ref, i = 0, n
        cdef int[3] args
        cdef int[::1] order = t.orders[root]
        while order[i] >= 0:
            k = order[i]
            i += 1
            if temps[k] >= 0:
                continue
            n = t.counts[k]
            dtype = self._dtype_among(t, k, refs, temps)
            for j in range(n):
                ref = t.refs[3 * k + j]
                if ref < 0:
                    args[j] = self.number(t.consts[-1 - ref], dtype)
                elif ref < base:
                    args[j] = refs[ref]
                else:
                    args[j] = temps[ref - base]
            temps[k] = self.elementwise(t.codes[k], args, n)
        ref = t.root_refs[root]
        return refs[ref] if ref < base else temps[ref - base]

    cdef object _dtype_among(self, CompiledTemplate t, int k, const int *refs, int *temps):
        # Constants of a template are weak: they take the floating dtype of the op's other operands.
        cdef int base = t.nin + t.nout, j, ref
        cdef ValueType vt
        for j in range(t.counts[k]):
            ref = t.refs[3 * k + j]
            if ref >= 0:
                vt = self.tape.type_of(refs[ref] if ref < base else temps[ref - base])
                if vt.inexact:
                    return vt.dtype
        ref = t.nin                         # e.g. ldexp(1, e): only integers; the result knows the dtype
        return self.tape.type_of(refs[ref]).dtype if refs[ref] >= 0 else np.dtype(float)

    cdef int product(self, int g, CompiledTemplate t, int root, const int *refs, int *temps,
                     bint strong) except -1:
        """g times partial `root`; -1 where the partial is a structural zero."""
        cdef double c
        if t.root_is_const[root]:
            c = t.root_consts[root]
            if c == 0:
                return -2
            if c == 1:
                return g
            if c == -1:
                return self.ew1(NEGATIVE, g)
            return self.ew2(MULTIPLY, g, self.number(c, self.tape.type_of(g).dtype))
        cdef int p = self.factor(self.partial(t, root, refs, temps))
        if t.strong:                        # d strong(a, b) = strong(da, b) + strong(a, db): a's zero wins
            return self.ew2(STRONG, g, p) if root == 0 else self.ew2(STRONG, p, g)
        return self.ew2(STRONG if strong else MULTIPLY, g, p)

    cdef int add2(self, int a, int b) except -1:
        return self.ew2(ADD, a, b)

    # ---- shapes --------------------------------------------------------------------------------------------

    cdef int fit(self, int g, int vtype) except -1:
        """Sum `g` over the axes that broadcasting added, and cast it, so that it is of type `vtype`."""
        cdef Tape tape = self.tape
        if tape.vtype[g] == vtype:
            return g
        cdef ValueType have = tape.type_of(g), want = <ValueType> tape.pool.types[vtype]
        if have.shape != want.shape:
            extra = have.ndim - want.ndim
            axes = tuple(range(extra)) + tuple([k + extra for k in range(want.ndim)
                                                if want.shape[k] == 1 and have.shape[k + extra] != 1])
            g = self.sum(g, axes)
            if tape.type_of(g).shape != want.shape:
                g = self.reshape(g, want.shape)
        if tape.type_of(g).dtype != want.dtype:
            g = self.cast(g, want.dtype)
        return self.laid(g, vtype)

    cdef int laid(self, int v, int vtype) except -1:
        """`v` in the memory layout of `vtype`: loads and stores address it by the layout of the value it belongs to."""
        if self.tape.vtype[v] == vtype:
            return v
        return self.tape.emit1(COPY, v, -1, 0, self.line, vtype)

    cdef int spread(self, int v, int vtype) except -1:
        """Broadcast `v` to the shape of `vtype`."""
        if self.tape.vtype[v] == vtype:
            return v
        return self.laid(self.broadcast(v, (<ValueType> self.tape.pool.types[vtype]).shape), vtype)

    cdef int zeros_of(self, int vtype) except -1:
        # Never shared: each zero array is a storage of its own.
        return self.tape.emit0(ZEROS, -1, 0, self.line, vtype)

    cdef int view_type(self, int attr) except -1:
        found = self._views.get(attr)
        if found is None:
            view = self.tape.pool.attrs[attr]
            view = getattr(view, "view", view)                      # of a window that moves
            found = self._views[attr] = self.tape.pool.dense_type_id(view.dtype, view.shape)
        return found

    cdef int load_attr(self, int v, int attr, offset_t imm) except -1:
        return self.tape.emit1(LOAD, v, attr, imm, self.line, self.view_type(attr))

    cdef list many(self, int code, operands, object attr, vtypes):
        """An op with any number of operands and results (ids of types), and an attribute or None."""
        cdef int attr_id = -1 if attr is None else self.tape.pool.attr_id(attr), first
        cdef int[:] args = array(list(operands) + [0], np.intc), types = array(list(vtypes) + [0], np.intc)
        first = self.tape.emit_many(code, &args[0], len(operands), attr_id, 0, self.line, &types[0], len(vtypes))
        return list(range(first, first + len(vtypes)))

    cdef int window(self, int code, operands, int attr, offset_t imm, int vtype) except -1:
        """A load, store or accumulation on a window that may move: of op `code`, on (storage, [value], indices)."""
        cdef int[:] args = array(list(operands) + [0], np.intc)
        return self.tape.emit(code, &args[0], len(operands), attr, imm, self.line, vtype)

    cdef int whole_view(self, int vtype) except -1:
        """Attribute id of the view that is all of a value of type `vtype`."""
        cdef ValueType t = <ValueType> self.tape.pool.types[vtype]
        return self.tape.pool.attr_id(View(t.shape, t.strides, t.dtype))

    # ---- the same for rules written in Python ---------------------------------------------------------------

    def ew(self, str name, *operands):
        """Elementwise op by name; python floats among the operands take the dtype of the others."""
        dtype = None
        for v in operands:
            if not isinstance(v, float):
                t = self.tape.type_of(v)
                dtype = t.dtype if dtype is None or t.inexact else dtype
        cdef int[4] args
        cdef int k
        for k in range(len(operands)):
            args[k] = self.number(operands[k], dtype) if isinstance(operands[k], float) else operands[k]
        return self.elementwise(CODE_OF_NAME[name], args, len(operands))

    def type(self, int v):
        """The `ValueType` of value `v`."""
        return self.tape.type_of(v)

    def sum(self, int v, axes, dtype=None):
        """Sum over `axes` (non-negative, ascending); the axes are dropped."""
        axes = tuple(axes)
        if not axes:
            return v
        cdef ValueType t = self.tape.type_of(v)
        shape = tuple([n for k, n in enumerate(t.shape) if k not in axes])
        return self.tape.emit1(SUM, v, self.tape.pool.attr_id(axes), 0, self.line,
                               self.tape.pool.dense_type_id(t.dtype if dtype is None else dtype, shape))

    def cast(self, int v, dtype):
        """Cast to `dtype`."""
        cdef ValueType t = self.tape.type_of(v)
        if t.dtype == dtype:
            return v
        return self.tape.emit1(CAST, v, -1, 0, self.line, self.tape.pool.type_id(dtype, t.shape, scaled(t, dtype)))

    def load(self, int v, view, offset=0):
        """Load a `View` of the memory of `v`."""
        return self.load_attr(v, self.tape.pool.attr_id(view), offset)

    def dense(self, int v):
        """`v` in C order."""
        cdef ValueType t = self.tape.type_of(v)
        if t.strides == (<ValueType> self.tape.pool.types[self.tape.pool.dense_type_id(t.dtype, t.shape)]).strides:
            return v
        return self.load(v, View(t.shape, t.strides, t.dtype))

    def reshape(self, int v, shape):
        """C-order reshape."""
        v = self.dense(v)
        cdef ValueType t = self.tape.type_of(v)
        if t.shape == tuple(shape):
            return v
        new = self.tape.pool.type(t.dtype, shape)
        return self.load(v, View(new.shape, new.strides, new.dtype))

    def broadcast(self, int v, tuple shape):
        """Broadcast to `shape`, as a load with strides of zero."""
        cdef ValueType t = self.tape.type_of(v)
        if t.shape == shape:
            return v
        extra = len(shape) - t.ndim
        strides = (0,) * extra + tuple([0 if n == 1 else s for n, s in zip(t.shape, t.strides)])
        return self.load(v, View(shape, strides, t.dtype))

    def expand(self, int v, axes, tuple shape):
        """Undo a reduction over `axes`: put the axes back and broadcast to `shape`."""
        kept = tuple([1 if k in axes else n for k, n in enumerate(shape)])
        return self.broadcast(self.reshape(v, kept), shape)

    def transpose(self, int v, perm):
        """Permute the axes."""
        cdef ValueType t = self.tape.type_of(v)
        shape, strides = tuple([t.shape[k] for k in perm]), tuple([t.strides[k] for k in perm])
        return self.load(v, View(shape, strides, t.dtype))

    def zeros(self, vtype):
        """Fresh zeros of a `ValueType`."""
        return self.zeros_of(vtype.id)

    def op(self, str name, operands, vtype, attr=None, imm=0):
        """Any registered op with one result."""
        cdef int attr_id = -1 if attr is None else self.tape.pool.attr_id(attr)
        cdef int[:] args = array(list(operands) + [0], np.intc)
        return self.tape.emit(BY_NAME[name].code, &args[0], len(operands), attr_id, imm, self.line, vtype.id)

    def primal(self, int v):
        """The value of `v`, where a rule is run; the adjoint's emitter restores it."""
        return v

    def wanted(self, int v):
        """Whether an adjoint of `v` is asked for."""
        return True

    def number_like(self, double c, int v):
        """A constant of the dtype of `v`."""
        return self.number(c, self.tape.type_of(v).dtype)

    def reversed(self, int v, int axis):
        """`v` backwards along `axis`."""
        cdef ValueType t = self.tape.type_of(v)
        strides = tuple([-s if k == axis else s for k, s in enumerate(t.strides)])
        return self.load(v, View(t.shape, strides, t.dtype), max(t.shape[axis] - 1, 0) * t.strides[axis])

    def shifted(self, int v, int axis, double first):
        """[first, v_0, v_1, ..., v_{n-2}] along `axis`."""
        v = self.dense(v)
        cdef ValueType t = self.tape.type_of(v)
        if t.shape[axis] == 0:
            return v
        fresh = self.op("copy", (self.broadcast(self.number(first, t.dtype), t.shape),), t)
        shape = tuple([n - (k == axis) for k, n in enumerate(t.shape)])
        view = View(shape, t.strides, t.dtype)
        return self.op("store", (fresh, self.load(v, view)), t, view, t.strides[axis])

    def with_first(self, int v, int axis, double first):
        """`v` with `first` in its first row along `axis`."""
        v = self.dense(v)
        cdef ValueType t = self.tape.type_of(v)
        if t.shape[axis] == 0:
            return v
        shape = tuple([1 if k == axis else n for k, n in enumerate(t.shape)])
        row = self.broadcast(self.number(first, t.dtype), shape)
        return self.op("store", (self.op("copy", (v,), t), row), t, View(shape, t.strides, t.dtype))

    def on_diagonal(self, int v, str term, str letters, tuple shape):
        """Zeros of `shape` with `v` (axes `letters`) added where the axes of equal letters in `term` agree."""
        t = self.array_type(self.tape.type_of(v).dtype, shape)
        sizes = dict(zip(term, shape))
        strides = tuple([sum([s for c, s in zip(term, t.strides) if c == letter]) for letter in letters])
        view = View(tuple([sizes[c] for c in letters]), strides, t.dtype)
        return self.op("accumulate", (self.zeros(t), v), t, view)

    def partials(self, str name, operands, int result):
        """The partials of an elementwise op at (operands, result), as values."""
        cdef int code = CODE_OF_NAME[name], i
        cdef CompiledTemplate t = compiled(code)
        cdef int[8] refs
        cdef int[64] temps
        for i in range(64):
            temps[i] = -1
        for i in range(len(operands)):
            refs[i] = operands[i]
        refs[len(operands)] = result
        out = []
        for i in range(len(operands)):
            if t.root_is_const[i]:
                out.append(self.number_like(t.root_consts[i], operands[i]))
            else:
                out.append(self.partial(t, i, refs, temps))
        return out

    def partial_of(self, str name, operands, results, int result, int operand):
        """A partial of an elementwise op at (operands, results): a float where it is one everywhere, else a value."""
        cdef CompiledTemplate t = compiled(CODE_OF_NAME[name])
        cdef int[8] refs
        cdef int[64] temps
        cdef int i, root = result * t.nin + operand
        if t.root_is_const[root]:
            return float(t.root_consts[root])
        for i in range(64):
            temps[i] = -1
        for i, v in enumerate((*operands, *results)):
            refs[i] = v
        return self.partial(t, root, refs, temps)

    def array_type(self, dtype, shape):
        """The C-order `ValueType` of (dtype, shape)."""
        return self.tape.pool.type(dtype, shape)


cdef tuple scaled(ValueType t, object dtype):
    """Strides of `t` for another item size."""
    cdef Py_ssize_t a = t.dtype.itemsize, b = dtype.itemsize
    return t.strides if a == b else tuple([s // a * b for s in t.strides])
