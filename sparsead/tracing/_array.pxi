# Traced arrays. Included by _traced.pyx.

cdef class TracedArray(Traced):
    """An array of the traced function: a window on a `Storage`."""
    cdef readonly object concrete
    cdef readonly Storage storage
    cdef readonly Trace home                # the trace it belongs to
    cdef readonly Moves moving              # how the window moves with traced indices, or None
    cdef int _version, _value, _epoch       # the value loaded from this version of the storage

    cdef int current(self) except -1:
        """The tape's value of this array now."""
        cdef Storage s = self.storage
        cdef cnp.ndarray c
        if s.write_only:
            raise ActivityError(f"{s.label} is read{self.home.at()}, but was declared as only written: make it Duplicated")
        if self._version == s.version and self._epoch == self.home.epoch:
            return self._value
        c = self.concrete
        shape, strides = (<object> c).shape, (<object> c).strides
        cdef Py_ssize_t offset = <Py_ssize_t> cnp.PyArray_DATA(c) - s.lo
        cdef Tape tape = self.home.tape
        if self.moving is None and offset == 0 and shape == s.shape and strides == s.strides \
                and cnp.PyArray_ITEMSIZE(c) == s.item:
            self._value = s.version
        else:
            self._value = self.home.load(s, offset, shape, strides, self._dtype_in(s), self.moving)
        self._version, self._epoch = s.version, self.home.epoch
        return self._value

    cdef object _dtype_in(self, Storage s):
        """Of what a window on the storage sees: its elements, or their real or imaginary parts."""
        cdef cnp.ndarray c = self.concrete
        return s.dtype if cnp.PyArray_ITEMSIZE(c) == s.item else c.dtype

    def value(self):
        """The tape's value of this array now."""
        return self.current()

    @property
    def __class__(self):
        # What code asks by isinstance() before it computes; type() tells the truth.
        return np.ndarray

    @property
    def active(self):
        return bool(self.home.facts[self.storage.version] & ACTIVE)

    cdef object view(self, object concrete):
        """A traced array for another window on the same memory; `concrete` is what NumPy made."""
        return make_array(concrete, self.storage, self.home, self.moving)

    cdef bint shares(self, object concrete):
        cdef Py_ssize_t at = <Py_ssize_t> cnp.PyArray_DATA(concrete)
        return self.storage.lo <= at < self.storage.lo + max(self.storage.nbytes, 1)

    def same_memory(self, concrete):
        """Whether an array that NumPy made from ours is a view of our memory."""
        return self.shares(concrete)

    cdef object _derived(self, object concrete):
        if concrete.size == 0 or self.shares(concrete):
            return self.view(concrete)
        # A copy: elements in C order, then laid out as NumPy laid them out.
        cdef Trace trace = self.home
        cdef Tape tape = trace.tape
        cdef int v = trace.dense(self.current())
        cdef int vtype = tape.pool.dense_type_id(concrete.dtype, concrete.shape)
        if tape.vtype[v] != vtype:
            t = <ValueType> tape.pool.types[vtype]
            v = trace.emit1(LOAD, v, tape.pool.attr_id(View(t.shape, t.strides, t.dtype)), 0, vtype)
        cdef int laid = tape.pool.type_id(concrete.dtype, concrete.shape, concrete.strides)
        if laid != vtype:
            v = trace.emit1(COPY, v, -1, 0, laid)
        return make_array(concrete, Storage(trace, concrete, <ValueType> tape.pool.types[laid], v), trace)

    # ---- indexing ------------------------------------------------------------------------------------------------

    def __getitem__(self, index):
        if innermost(self) is not self.home:
            return self._outer_item(index)
        if type(index) is int and (<cnp.ndarray> self.concrete).ndim == 1:
            return self._element(index)
        if has_traced_number(index):
            window = self._followed(index)
            if window is not None:
                return window[()] if (<TracedArray> window).concrete.ndim == 0 and not self._keeps(index) else window
        if not is_basic(index):
            from sparsead.tracing.indexing import take
            return take(self, index)
        result = self.concrete[index]
        if type(result) is np.ndarray:
            return self.view(result)
        return self._scalar_at(self.concrete[with_ellipsis(index)], result)

    cdef TracedArray _followed(self, object index):
        """The window that an index with traced numbers names, as an array; None if the tape cannot follow them."""
        from sparsead.tracing.moving import window
        if innermost(self) is not self.home:
            return None
        found = window(self, index)
        if found is None:
            return None
        return make_array(self.concrete[with_ellipsis(found[0])], self.storage, self.home, found[1])

    cdef bint _keeps(self, object index):
        """Whether NumPy gives an array for an index, also where no axis is left."""
        return type(index) is tuple and Ellipsis in [part for part in <tuple> index if part is Ellipsis]

    def _outer_item(self, index):
        # Read of an enclosing function's array inside a nested derivative: read there, use here.
        token = CURRENT.set(self.home)
        try:
            return self[index]
        finally:
            CURRENT.reset(token)

    cdef object _element(self, Py_ssize_t i):
        cdef cnp.ndarray c = self.concrete
        result = (<object> c)[i]                               # NumPy's own IndexError
        if i < 0:
            i += c.shape[0]
        cdef Py_ssize_t offset = <Py_ssize_t> cnp.PyArray_DATA(c) + i * c.strides[0] - self.storage.lo
        return self._load_scalar(offset, result)

    cdef object _scalar_at(self, cnp.ndarray where, object result):
        return self._load_scalar(<Py_ssize_t> cnp.PyArray_DATA(where) - self.storage.lo, result)

    cdef object _load_scalar(self, Py_ssize_t offset, object result):
        cdef Trace trace = self.home
        cdef Storage s = self.storage
        if s.shape == () and cnp.PyArray_ITEMSIZE(self.concrete) == s.item:
            return make_scalar(result, s.version, trace)
        return make_scalar(result, trace.load(s, offset, (), (), self._dtype_in(s), self.moving), trace)

    def __setitem__(self, index, value):
        cdef Trace trace = innermost(self)
        cdef cnp.ndarray dest
        cdef TracedArray window
        if has_traced_number(index):
            window = self._followed(index)
            if window is not None:
                window._assign(trace, window.concrete, value)
                return
        if not is_basic(index):
            from sparsead.tracing.indexing import put
            put(self, index, value)
            return
        dest = self.concrete[with_ellipsis(index)]
        self._assign(trace, dest, value)

    cdef int _assign(self, Trace trace, cnp.ndarray dest, object value) except -1:
        cdef cnp.ndarray source
        if isinstance(value, TracedArray) and (<TracedArray> value).storage is self.storage:
            source = (<TracedArray> value).concrete
            if cnp.PyArray_DATA(source) == cnp.PyArray_DATA(dest) and (<object> source).shape == (<object> dest).shape \
                    and cnp.PyArray_ITEMSIZE(source) == cnp.PyArray_ITEMSIZE(dest) \
                    and (<object> source).strides == (<object> dest).strides and self._moves_with(value):
                return 0                                       # x[a] += y ends with a store of x[a] onto itself
        if type(value) in (list, tuple):
            from sparsead.tracing.functions import array_of
            value = array_of(trace, value)
        concrete = plain(value)
        if not dest.flags.writeable:
            raise ValueError("assignment destination is read-only")
        cdef int v
        if isinstance(value, Traced):
            v = trace.value_of(value, None)
        elif isinstance(value, np.ndarray):
            v = trace.value_of(value, None)
        else:
            # A complex number becomes a real one as an array does, with NumPy's warning: Python has no float() of it.
            v = trace.const(value.item() if isinstance(value, np.generic) else value, dest.dtype) \
                if isinstance(value, (int, float, np.generic)) \
                and (not isinstance(value, np.complexfloating) or dest.dtype.kind == "c") \
                else trace.value_of(asarray(value), None)
        dest[...] = concrete                                   # NumPy's own errors come first
        trace.store(self, dest, v)
        return 0

    cdef bint _moves_with(self, TracedArray other):
        if self.moving is None or other.moving is None:
            return self.moving is other.moving
        return self.moving.same(other.moving)

    def assign(self, dest, value):
        """Store `value` into `dest`, a NumPy view of this array's memory."""
        self._assign(innermost(self), dest, value)

    def scatter(self, int pos, int v, bint add):
        """Record a scatter of value `v` to element positions `pos` of the storage."""
        innermost(self).scatter(self, pos, v, add)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return iter([self[i] for i in range(len(self.concrete))])

    def __len__(self):
        return len(self.concrete)

    def __contains__(self, x):
        return bool((self == x).any())

    def __bool__(self):
        truth = bool(self.concrete)                            # NumPy's ValueError for more than one element
        return bool(self.reshape(-1)[0]) if self.concrete.size == 1 else truth

    def __int__(self):
        return int(self._only("int"))

    def __float__(self):
        return float(self._only("float"))

    def __index__(self):
        return self._only("index").__index__()

    def _only(self, what):
        if self.concrete.ndim:
            raise TypeError(f"{what}() of an array of shape {self.shape}: only 0-d arrays become Python numbers")
        return self[()]

    def __format__(self, spec):
        self.home.settle()
        return format(self.concrete, spec)

    def __repr__(self):
        self.home.settle()
        return "Traced" + repr(self.concrete)

    def __str__(self):
        self.home.settle()
        return str(self.concrete)

    # ---- in place ---------------------------------------------------------------------------------------------------

    cdef object _inplace(self, object ufunc, object other):
        if not operand_like(other):
            return NotImplemented
        cdef Trace trace = innermost(self)
        from sparsead.tracing.ufuncs import call_into
        return call_into(trace, ufunc, (self, other), (self,))

    def __iadd__(self, o):
        return self._inplace(np.add, o)

    def __isub__(self, o):
        return self._inplace(np.subtract, o)

    def __imul__(self, o):
        return self._inplace(np.multiply, o)

    def __itruediv__(self, o):
        return self._inplace(np.true_divide, o)

    def __ifloordiv__(self, o):
        return self._inplace(np.floor_divide, o)

    def __imod__(self, o):
        return self._inplace(np.remainder, o)

    def __ipow__(self, o):
        return self._inplace(np.power, o)

    def __iand__(self, o):
        return self._inplace(np.bitwise_and, o)

    def __ior__(self, o):
        return self._inplace(np.bitwise_or, o)

    def __ixor__(self, o):
        return self._inplace(np.bitwise_xor, o)

    def __imatmul__(self, o):
        product = self @ o
        if product.shape != self.shape:
            raise ValueError(f"@= of shapes {self.shape} and {o.shape} gives {product.shape}, which does not fit in place")
        self[...] = product
        return self

    # ---- attributes and views ----------------------------------------------------------------------------------------

    @property
    def shape(self):
        return self.concrete.shape

    @shape.setter
    def shape(self, new):
        self.concrete = self.concrete.view()
        self.concrete.shape = new                              # NumPy's error where this would need a copy
        self._version = -1

    @property
    def dtype(self):
        return self.concrete.dtype

    @property
    def ndim(self):
        return self.concrete.ndim

    @property
    def size(self):
        return self.concrete.size

    @property
    def strides(self):
        return self.concrete.strides

    @property
    def itemsize(self):
        return self.concrete.itemsize

    @property
    def nbytes(self):
        return self.concrete.nbytes

    @property
    def flags(self):
        return self.concrete.flags

    @property
    def base(self):
        return None if self.concrete is self.storage.base else self.storage.base

    @property
    def T(self):
        return self.view(self.concrete.T)

    @property
    def mT(self):
        return self.view(self.concrete.mT)

    @property
    def real(self):
        return self.view(self.concrete.real) if self.concrete.dtype.kind == "c" else self

    @real.setter
    def real(self, value):
        self.real[...] = value

    @property
    def imag(self):
        return self.view(self.concrete.imag) if self.concrete.dtype.kind == "c" else zeros(self.shape, self.dtype)

    @imag.setter
    def imag(self, value):
        if self.concrete.dtype.kind != "c":
            raise TypeError("array does not have imaginary part to set")
        self.imag[...] = value

    @property
    def flat(self):
        from sparsead.tracing.indexing import Flat
        return Flat(self)

    @flat.setter
    def flat(self, value):
        from sparsead.tracing.indexing import Flat
        Flat(self)[...] = value

    def reshape(self, *shape, **kwargs):
        """View or copy, as NumPy decides."""
        order = kwargs.get("order", "C")
        if order == "A":
            order = "F" if self.concrete.flags.fnc else "C"
        if order == "F":
            new = self.concrete.reshape(*shape, **kwargs).shape
            return self.transpose().reshape(new[::1 - 2]).transpose()
        return self._derived(self.concrete.reshape(*shape, **kwargs))

    def ravel(self, order="C"):
        """View or copy, as NumPy decides."""
        return self._copied_if(self.concrete.ravel(order), order)

    def flatten(self, order="C"):
        """Always a copy."""
        return self._copied_if(self.concrete.flatten(order), order)

    cdef object _copied_if(self, object concrete, order):
        if order == "F" and not self.shares(concrete) and concrete.size:
            return (<TracedArray> self.view(self.concrete.T))._derived(concrete)
        if order == "A" and self.concrete.flags.fnc:
            return self._copied_if(concrete, "F")
        if order == "K" and not self.shares(concrete) and concrete.size:
            return (<TracedArray> self.view(self.concrete.transpose(memory_order(self.concrete))))._derived(concrete)
        return self._derived(concrete)

    def transpose(self, *axes):
        """View with permuted axes."""
        return self.view(self.concrete.transpose(*axes))

    def swapaxes(self, axis1, axis2):
        """View with two axes swapped."""
        return self.view(self.concrete.swapaxes(axis1, axis2))

    def squeeze(self, axis=None):
        """View without axes of length one."""
        return self.view(self.concrete.squeeze(axis))

    def diagonal(self, offset=0, axis1=0, axis2=1):
        """Read-only view of a diagonal."""
        return self.view(self.concrete.diagonal(offset, axis1, axis2))

    def storage_as_vector(self):
        """All of the storage's memory as a traced vector."""
        cdef Storage s = self.storage
        item = s.dtype.itemsize
        return make_array(window(s.base, 0, (s.nbytes // item,), (item,), s.dtype), s, self.home)

    def view_as(self, concrete):
        """A traced array for `concrete`, a NumPy view of this array's memory."""
        return self.view(concrete)

    def copy(self, order="C"):
        """A copy with memory of its own."""
        return self._copy(self.concrete.copy(order))

    cdef object _copy(self, object concrete):
        return self._derived(concrete) if concrete.size else self.home.fresh(concrete)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def astype(self, dtype, order="K", casting="unsafe", subok=True, copy=True):
        """Cast; always a copy, unless ``copy=False`` and nothing changes."""
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self if not copy else self._copy(self.concrete.astype(dtype, order=order))
        concrete = self.concrete.astype(dtype, order=order, casting=casting)
        cdef Trace trace = innermost(self)
        cdef int v = trace.cast(trace.dense(trace.value_of(self, None)), dtype)
        cdef int laid = trace.type_of_concrete(concrete)
        if trace.tape.vtype[v] != laid:
            v = trace.emit1(COPY, v, -1, 0, laid)
        return trace.wrap(concrete, v)

    def item(self, *args):
        """One element as a traced scalar."""
        if not args:
            if self.size != 1:
                raise ValueError("can only convert an array of size 1 to a Python scalar")
            return self.reshape(1)[0]
        return self[args] if len(args) > 1 or self.ndim == 1 or isinstance(args[0], tuple) and self[args[0]] is None \
            else self.reshape(-1)[args[0]]

    def tolist(self):
        """Nested lists of traced scalars."""
        return [row.tolist() if isinstance(row, TracedArray) else row for row in self] if self.ndim else self[()]

    def __array__(self, dtype=None, copy=None):
        cdef Trace trace = self.home
        cdef int v = self.current()
        if not trace.facts[v] & VARIES:
            return array(self.concrete, dtype=dtype)
        if trace.facts[v] & ACTIVE or self.concrete.dtype.kind in "fc":
            raise_array(trace, self)
        # Without a derivative (a mask, an index): the tape is right as long as its contents are these.
        trace.settle()
        trace.guard_contents(v, self.concrete)
        return array(self.concrete, dtype=dtype)

    def __getattr__(self, name):
        return method_of(self, name)

    def __reduce__(self):
        raise TraceError("a traced array cannot be pickled")


cdef object with_ellipsis(object index):
    """The same elements as `index`, always as an array."""
    if type(index) is not tuple:
        return index if index is Ellipsis else (index, ...)
    for part in index:
        if part is Ellipsis:
            return index
    return index + (Ellipsis,)


cdef bint is_basic(object index):
    if type(index) is tuple:
        for part in index:
            if not basic_part(part):
                return False
        return True
    return basic_part(index)


cdef bint basic_part(object part):
    kind = type(part)
    if kind is int or kind is slice or part is None or part is Ellipsis:
        return True
    if isinstance(part, np.integer):
        return True
    return kind is TracedScalar and isinstance((<TracedScalar> part).concrete, (int, np.integer)) \
        and not isinstance((<TracedScalar> part).concrete, bool)


cdef list memory_order(object a):
    """Axes in the order in which NumPy's iterator walks over memory: the insertion sort of its
    `npyiter_find_best_axis_ordering`, where an axis without a step is at home anywhere."""
    cdef list axes = [], steps = [0 if n == 1 else abs(step) for n, step in zip(a.shape, a.strides)]
    for axis in reversed(range(a.ndim)):                # from the innermost outwards
        place = len(axes)
        for k in reversed(range(len(axes))):
            if steps[axis] and steps[axes[k]]:
                if steps[axes[k]] <= steps[axis]:
                    break
                place = k
        axes.insert(place, axis)
    return axes[::-1]
