# Traced numbers. Included by _traced.pyx.

cdef class TracedScalar(Traced):
    """A number of the traced function: a value without memory. Formatting shows its number at the trace."""
    cdef readonly object concrete           # python number (weak) or NumPy scalar
    cdef readonly int value
    cdef readonly Trace home                # the trace it belongs to
    cdef Link link

    def __dealloc__(self):
        leave(&self.link)

    @property
    def __class__(self):
        return type(self.concrete)

    @property
    def active(self):
        return bool(self.home.facts[self.value] & ACTIVE)

    cpdef object settled(self):
        """The number at the trace; after a loop it is known only when somebody asks."""
        if self.home.stale and self.home.facts[self.value] & VARIES:
            self.home.settle()
        return self.concrete

    def __bool__(self):
        cdef bint truth = bool(self.settled())
        cdef Trace trace = innermost(self)
        cdef int v
        if trace is self.home:
            v = self.value
            if trace.facts[v] & (VARIES | COUNTS) and not isinstance(self.concrete, (bool, np.bool_)):
                v = (<TracedScalar> trace.call(np.not_equal, (self, 0))).value
            trace.guard(v, truth)
        else:                               # a branch of the inner function is one of the outer function too
            token = CURRENT.set(self.home)
            try:
                bool(self)
            finally:
                CURRENT.reset(token)
        return truth

    def __int__(self):
        return int(self._number("int"))

    def __index__(self):
        if not isinstance(self.concrete, (int, np.integer)):
            raise TypeError(f"only integers may index: got a traced {type(self.concrete).__name__}{self.home.at()}")
        return int(self._number("index"))

    def __float__(self):
        return float(self._number("float"))

    def __complex__(self):
        return complex(self._number("complex"))

    def __round__(self, digits=0):
        if digits:
            return round(float(self), digits)
        self.settled()
        rounded = innermost(self).call(np.rint, (self,))       # piecewise constant: a guard, not a derivative
        (<TracedScalar> rounded).home.guard((<TracedScalar> rounded).value, float((<TracedScalar> rounded).concrete))
        return int((<TracedScalar> rounded).concrete)

    def __trunc__(self):
        return int(self)

    cdef object _number(self, str what):
        cdef Trace trace = self.home
        if trace.facts[self.value] & ACTIVE:
            raise_active(trace, what)
        self.settled()
        trace.guard(self.value, self.concrete if isinstance(self.concrete, (int, float, bool, complex)) else self.concrete.item())
        return self.concrete

    def __repr__(self):
        return f"TracedScalar({self.settled()!r})"

    def __str__(self):
        return str(self.settled())

    def __format__(self, spec):
        return format(self.settled(), spec)

    @property
    def dtype(self):
        return asarray(self.concrete).dtype

    @property
    def shape(self):
        return ()

    @property
    def ndim(self):
        return 0

    @property
    def size(self):
        return 1

    @property
    def T(self):
        return self

    @property
    def real(self):
        return self._part(0) if isinstance(self.concrete, (complex, np.complexfloating)) else self

    @property
    def imag(self):
        return self._part(1) if isinstance(self.concrete, (complex, np.complexfloating)) else 0.0

    cdef object _part(self, int which):
        """The real or the imaginary part of a complex number."""
        cdef Trace trace = innermost(self)
        part = self.concrete.imag if which else self.concrete.real
        dtype = asarray(part).dtype
        cdef int v = trace.emit1(LOAD, trace.value_of(self, None), trace.tape.pool.attr_id(View((), (), dtype)),
                                 which * dtype.itemsize, trace.tape.pool.dense_type_id(dtype, ()))
        return make_scalar(part, v, trace)

    def item(self):
        return self

    def copy(self):
        return self

    def conjugate(self):
        if not isinstance(self.concrete, (complex, np.complexfloating)):
            return self
        return softened(innermost(self).call(np.conjugate, (self,)), weak(self))

    conj = conjugate

    def astype(self, dtype, *args, **kwargs):
        """A scalar of another dtype."""
        cdef Trace trace = innermost(self)
        concrete = asarray(self.concrete).astype(dtype)[()]
        return make_scalar(concrete, trace.value_of(self, np.dtype(dtype)), trace)

    def reshape(self, *shape):
        """An array with this one element."""
        return as_array(innermost(self), self).reshape(*shape)

    def ravel(self):
        return self.reshape(1)

    flatten = ravel

    def __array__(self, *args, **kwargs):
        raise_array(innermost(self), self)

    def __getattr__(self, name):
        return method_of(self, name)
