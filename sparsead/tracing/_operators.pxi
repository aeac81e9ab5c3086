# Python's operators on traced values. Included by _traced.pyx.

cdef class Traced:
    """Operators shared by traced arrays and scalars."""

    def __add__(self, o):
        return binary(np.add, self, o)

    def __radd__(self, o):
        return binary(np.add, o, self)

    def __sub__(self, o):
        return binary(np.subtract, self, o)

    def __rsub__(self, o):
        return binary(np.subtract, o, self)

    def __mul__(self, o):
        return binary(np.multiply, self, o)

    def __rmul__(self, o):
        return binary(np.multiply, o, self)

    def __truediv__(self, o):
        return binary(np.true_divide, self, o)

    def __rtruediv__(self, o):
        return binary(np.true_divide, o, self)

    def __floordiv__(self, o):
        return binary(np.floor_divide, self, o)

    def __rfloordiv__(self, o):
        return binary(np.floor_divide, o, self)

    def __mod__(self, o):
        return binary(np.remainder, self, o)

    def __rmod__(self, o):
        return binary(np.remainder, o, self)

    def __divmod__(self, o):
        return binary(np.divmod, self, o)

    def __rdivmod__(self, o):
        return binary(np.divmod, o, self)

    def __pow__(self, o, modulus):
        return softened(power(self, o), weak(self) and weak(o))

    def __rpow__(self, o):
        return binary(np.power, o, self)

    def __matmul__(self, o):
        return matrix_product(self, o)

    def __rmatmul__(self, o):
        return matrix_product(o, self)

    def __and__(self, o):
        return binary(np.bitwise_and, self, o)

    def __rand__(self, o):
        return binary(np.bitwise_and, o, self)

    def __or__(self, o):
        return binary(np.bitwise_or, self, o)

    def __ror__(self, o):
        return binary(np.bitwise_or, o, self)

    def __xor__(self, o):
        return binary(np.bitwise_xor, self, o)

    def __rxor__(self, o):
        return binary(np.bitwise_xor, o, self)

    def __invert__(self):
        return softened(innermost(self).call(np.invert, (self,)), weak(self))

    def __neg__(self):
        return softened(innermost(self).call(np.negative, (self,)), weak(self))

    def __pos__(self):
        return softened(innermost(self).call(np.positive, (self,)), weak(self))

    def __abs__(self):
        return softened(innermost(self).call(np.absolute, (self,)), weak(self))

    def __lt__(self, o):
        return binary(np.less, self, o)

    def __le__(self, o):
        return binary(np.less_equal, self, o)

    def __gt__(self, o):
        return binary(np.greater, self, o)

    def __ge__(self, o):
        return binary(np.greater_equal, self, o)

    def __eq__(self, o):
        return binary(np.equal, self, o)

    def __ne__(self, o):
        return binary(np.not_equal, self, o)

    __hash__ = None

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        cdef Trace trace = innermost(self)
        if method == "__call__" and not kwargs:
            return power(inputs[0], inputs[1]) if ufunc is np.power else trace.call(ufunc, inputs)
        from sparsead.tracing.ufuncs import dispatch
        return dispatch(trace, ufunc, method, inputs, kwargs)

    def __array_function__(self, func, types, args, kwargs):
        from sparsead.tracing.functions import dispatch
        return dispatch(innermost(self), func, args, kwargs)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        raise TraceError(outside(innermost(self), "the buffer protocol (memoryview, struct, ctypes, compiled functions)"))


cdef object matrix_product(object x, object y):
    if not operand_like(x) or not operand_like(y):      # a sparse matrix has a product of its own
        return NotImplemented
    return innermost(x).other_ufunc(np.matmul, (x, y), {})


cdef object power(object x, object y):
    # NumPy itself squares for x ** 2; the tape then knows that there is no derivative by the exponent.
    if not operand_like(x) or not operand_like(y):
        return NotImplemented
    cdef Trace trace = innermost(x if isinstance(x, Traced) else y)
    if isinstance(x, Traced) and type(y) in (int, float) and y == 2 and x.dtype.kind in "fc":
        return trace.call(np.square, (x,))
    return trace.call(np.power, (x, y))
