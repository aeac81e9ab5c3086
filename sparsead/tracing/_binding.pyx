"""The arguments of a call by name.

Law: what is bound is what ``inspect.Signature.bind`` and ``apply_defaults`` bind. This is the common case of it, Python functions
and their methods; whatever is unusual, errors included, is left to them.
"""
from types import FunctionType, MethodType

cdef enum:
    STAR = 4        # flags of code objects: *args and **kwargs
    STARS = 8


cdef class Binder:
    """Binds the arguments of calls of one function.

    Parameters
    ----------
    function : callable
    """

    cdef object function, code, star, stars
    cdef tuple names, only             # of positional parameters, and of those that are passed by name only
    cdef frozenset named               # what a name in a call may mean
    cdef Py_ssize_t skipped, unnamed   # positional parameters that a method binds, and that have no names for the caller

    def __init__(self, function):
        self.function = function
        self._read(function.__func__ if type(function) is MethodType else function)

    cdef _read(self, function):
        self.code = getattr(function, "__code__", None) if type(function) is FunctionType else None
        if self.code is None:
            return
        names, n, n_only = self.code.co_varnames, self.code.co_argcount, self.code.co_kwonlyargcount
        self.skipped = 1 if type(self.function) is MethodType else 0
        self.unnamed = self.code.co_posonlyargcount
        self.names, self.only = names[:n], names[n:n + n_only]
        stars = names[n + n_only:]
        self.star = stars[0] if self.code.co_flags & STAR else None
        self.stars = stars[1 if self.star is not None else 0] if self.code.co_flags & STARS else None
        self.named = frozenset(self.names[self.skipped:] + self.only)
        if self.skipped > n:
            self.code = None

    def bind(self, tuple args, dict kwargs):
        """``{name: value}`` in the order of the parameters, or None: ask the signature."""
        function = self.function
        if self.code is None:
            return None
        if self.skipped:
            function = function.__func__
        if function.__code__ is not self.code or not _plain(function.__dict__):
            return None
        cdef Py_ssize_t n = len(self.names), given = len(args) + self.skipped, used = 0, k
        if given > n and self.star is None:
            return None
        cdef dict arguments = {}
        cdef tuple defaults = function.__defaults__ if given < n else None
        for k in range(self.skipped, n):
            name = self.names[k]
            if kwargs and name in kwargs:
                if k < given or k < self.unnamed:
                    return None
                arguments[name] = kwargs[name]
                used += 1
            elif k < given:
                arguments[name] = args[k - self.skipped]
            elif defaults is not None and k - n + len(defaults) >= 0:
                arguments[name] = defaults[k - n + len(defaults)]
            else:
                return None
        if self.star is not None:
            arguments[self.star] = args[n - self.skipped:]
        if self.only:
            defaults_by_name = function.__kwdefaults__ or {}
            for name in self.only:
                if name in kwargs:
                    arguments[name] = kwargs[name]
                    used += 1
                elif name in defaults_by_name:
                    arguments[name] = defaults_by_name[name]
                else:
                    return None
        if self.stars is not None:
            arguments[self.stars] = {name: x for name, x in kwargs.items() if name not in self.named} if kwargs else {}
        elif used < len(kwargs):
            return None
        return arguments


cdef bint _plain(dict attributes):
    """Whether a function with these attributes has the signature of its code."""
    return not attributes or not ("__wrapped__" in attributes or "__signature__" in attributes)
