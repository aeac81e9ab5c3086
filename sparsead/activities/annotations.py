"""Activities: what is said of an argument, of the function, and (as a class) of what it returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsead.activities.structures import check_pair, is_differentiable, is_number, mutable_number
from sparsead.tracing._traced import TracedArray


class Annotation:
    """What activities have in common.

    Attributes
    ----------
    shadows : tuple
        One for each lane.
    """

    shadows: Any = ()
    value: Any
    batch = False


def _tuple_of(cls, *values):
    return tuple.__new__(cls, values)


class Const(tuple, Annotation):
    """An argument that no derivative flows through, what is stored into it included.

    Parameters
    ----------
    value : object
        Anything.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.autodiff(sparsead.Reverse, lambda x, n: x**n, sparsead.Active, sparsead.Active(2.0), sparsead.Const(3))
    ((12.0, None),)

    """

    __slots__ = ()
    _fields = ("value",)

    def __new__(cls, value):
        return _tuple_of(cls, value)

    value = property(lambda self: self[0])

    def __repr__(self):
        return f"Const({self[0]!r})"


class Active(tuple, Annotation):
    """An argument that cannot change, a number or a tuple of numbers, in reverse modes: its derivative is given back.

    Parameters
    ----------
    value : float, complex, int, or tuple of these
        Integers are taken as floats.

    Raises
    ------
    TypeError
        `value` can change (an array, a list): it needs a shadow, ``Duplicated(x, dx)``.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.autodiff(sparsead.ReverseWithPrimal, lambda x: x * x, sparsead.Active, sparsead.Active(3.0))
    ((6.0,), 9.0)

    """

    __slots__ = ()
    _fields = ("value",)

    def __new__(cls, value):
        if isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_)):
            value = float(value)
        if isinstance(value, (np.ndarray, TracedArray)):
            raise TypeError(
                f"Active is for numbers, which cannot change; an array, here of {value.shape}, has a shadow: Duplicated(x, dx)"
            )
        place = mutable_number(value)
        if place is not None:
            raise TypeError(f"Active is for numbers, which cannot change, but {place} can: give it a shadow, Duplicated(x, dx)")
        return _tuple_of(cls, value)

    value = property(lambda self: self[0])

    def __repr__(self):
        return f"Active({self[0]!r})"


class Duplicated(tuple, Annotation):
    """An argument with a shadow, which has the argument's structure and holds its tangent or its adjoint.

    Parameters
    ----------
    value : object
        An array, or a structure of arrays and numbers; in forward modes also a number.
    shadow : object
        Of the same structure, shapes, dtypes and strides; ``make_zero(value)`` makes one. A view may have a plain array as its
        shadow.

    Raises
    ------
    ValueError
        The two do not match, or share memory.
    TypeError
        `value` is an integer.

    Notes
    -----
    With the contents before the call x, those after it x', and J = dx'/dx: in forward modes the shadow is a tangent and becomes
    ``J @ shadow``. In reverse modes it is the adjoint of the contents after the call, and becomes the adjoint of those before,
    ``J.T @ shadow``. So where the argument is only read, J has the identity there, and reverse modes add to the shadow.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> def scale(x, factor):
    ...     x *= factor
    >>> x, dx = np.array([1.0, 2.0]), np.array([1.0, 0.0])
    >>> sparsead.autodiff(sparsead.Reverse, scale, sparsead.Const, sparsead.Duplicated(x, dx), sparsead.Active(3.0))
    ((None, 1.0),)
    >>> x, dx
    (array([3., 6.]), array([3., 0.]))

    """

    __slots__ = ()
    _fields = ("value", "shadow")

    def __new__(cls, value, shadow):
        _refuse_integer(value, cls.__name__)
        check_pair(value, (shadow,), cls.__name__)
        return _tuple_of(cls, value, shadow)

    value = property(lambda self: self[0])
    shadows = property(lambda self: self[1:])

    @property
    def shadow(self):
        """The shadow; ``x.shadow += y`` is an update in place."""
        return self[1]

    @shadow.setter
    def shadow(self, updated):
        if updated is not self[1]:
            raise AttributeError("the shadow of an argument is one object for good: write into it, shadow[...] = x")

    def __repr__(self):
        return f"{type(self).__name__}({self[0]!r}, {self[1]!r})"


class DuplicatedNoNeed(Duplicated):
    """`Duplicated`, for an output that is only written; `WriteOnly` is another name.

    Parameters are those of `Duplicated`. That it is only written is checked: a function that reads it, what it wrote itself
    included, raises ActivityError with the line.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> def square(out, x):
    ...     out[0] = x * x
    >>> out, dout = np.empty(1), np.ones(1)
    >>> sparsead.autodiff(sparsead.Reverse, square, sparsead.Const, sparsead.WriteOnly(out, dout), sparsead.Active(3.0))
    ((None, 6.0),)
    >>> out, dout
    (array([9.]), array([0.]))

    """

    __slots__ = ()


WriteOnly = DuplicatedNoNeed


class BatchDuplicated(tuple, Annotation):
    """`Duplicated` with several shadows, which are served by one sweep.

    Parameters
    ----------
    value : object
    shadows : tuple or list
        At least one. All batch arguments of a call need equally many; one shadow is as good as `Duplicated`.

    Raises
    ------
    ValueError
        There is no shadow, or one does not match.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> x = np.array([1.0, 3.0])
    >>> seeds = sparsead.onehot(x)
    >>> f = lambda x: x[0] * x[1]
    >>> (slopes,) = sparsead.autodiff(sparsead.Forward, f, sparsead.Duplicated, sparsead.BatchDuplicated(x, seeds))
    >>> [float(s) for s in slopes]
    [3.0, 1.0]

    """

    __slots__ = ()
    _fields = ("value", "shadows")
    batch = True

    def __new__(cls, value, shadows):
        if not isinstance(shadows, (tuple, list)):
            raise TypeError(f"{cls.__name__} takes a tuple of shadows, not {type(shadows).__name__}")
        if not shadows:
            raise ValueError(f"{cls.__name__} needs at least one shadow")
        _refuse_integer(value, cls.__name__)
        check_pair(value, shadows, cls.__name__)
        return _tuple_of(cls, value, tuple(shadows))

    value = property(lambda self: self[0])
    shadows = property(lambda self: self[1])

    def __repr__(self):
        return f"{type(self).__name__}({self[0]!r}, {self[1]!r})"


class BatchDuplicatedNoNeed(BatchDuplicated):
    """`BatchDuplicated`, for an output that is only written, which is checked as for `WriteOnly`.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> def powers(out, x):
    ...     out[0] = x
    ...     out[1] = x * x
    >>> out, x = np.empty(2), sparsead.Active(3.0)
    >>> args = sparsead.BatchDuplicatedNoNeed(out, sparsead.onehot(out)), x
    >>> sparsead.autodiff(sparsead.Reverse, powers, sparsead.Const, *args)
    ((None, (1.0, 6.0)),)

    """

    __slots__ = ()


class Ref:
    """A place for a value, where `MixedDuplicated` leaves a derivative.

    Attributes
    ----------
    value : object

    Examples
    --------
    >>> import sparsead
    >>> sparsead.Ref((0.0, [0.0])).value
    (0.0, [0.0])

    """

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return f"Ref({self.value!r})"


class MixedDuplicated(tuple, Annotation):
    """An argument with parts that can change and parts that cannot, ``(2.7, [3.14])``, in reverse modes.

    Parameters
    ----------
    value : object
    shadow : Ref
        Holds the shadow; the call puts the updated one there. Parts that can change stay the objects they are.

    Raises
    ------
    TypeError
        The shadow is in no `Ref`.
    ValueError
        It does not match.

    Examples
    --------
    >>> import sparsead
    >>> place = sparsead.Ref((0.0, [0.0]))
    >>> f = lambda pair: pair[0] * pair[1][0]
    >>> sparsead.autodiff(sparsead.Reverse, f, sparsead.Active, sparsead.MixedDuplicated((2.0, [3.0]), place))
    ((None,),)
    >>> place.value
    (3.0, [2.0])

    """

    __slots__ = ()
    _fields = ("value", "shadow")

    def __new__(cls, value, shadow):
        _check_refs((shadow,), cls.__name__)
        check_pair(value, (shadow.value,), cls.__name__)
        return _tuple_of(cls, value, shadow)

    value = property(lambda self: self[0])
    shadow = property(lambda self: self[1])
    shadows = property(lambda self: (self[1].value,))
    refs = property(lambda self: (self[1],))

    def __repr__(self):
        return f"MixedDuplicated({self[0]!r}, {self[1]!r})"


class BatchMixedDuplicated(tuple, Annotation):
    """`MixedDuplicated` with several shadows, each in a `Ref`, which are served by one sweep.

    Parameters
    ----------
    value : object
    refs : tuple of Ref

    Examples
    --------
    >>> import sparsead
    >>> def scale(out, x):
    ...     out[1][0] = x * out[0]
    >>> places = tuple(sparsead.Ref((0.0, [seed])) for seed in (1.0, 10.0))
    >>> args = sparsead.BatchMixedDuplicated((3.0, [0.0]), places), sparsead.Active(2.0)
    >>> sparsead.autodiff(sparsead.Reverse, scale, sparsead.Const, *args)
    ((None, (3.0, 30.0)),)
    >>> [place.value for place in places]
    [(2.0, [0.0]), (20.0, [0.0])]

    """

    __slots__ = ()
    _fields = ("value", "refs")
    batch = True

    def __new__(cls, value, refs):
        if not refs:
            raise ValueError(f"{cls.__name__} needs at least one shadow")
        _check_refs(refs, cls.__name__)
        check_pair(value, tuple(ref.value for ref in refs), cls.__name__)
        return _tuple_of(cls, value, tuple(refs))

    value = property(lambda self: self[0])
    refs = property(lambda self: self[1])
    shadows = property(lambda self: tuple(ref.value for ref in self[1]))

    def __repr__(self):
        return f"BatchMixedDuplicated({self[0]!r}, {self[1]!r})"


def _refuse_integer(value, name):
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        raise TypeError(f"{name}: the integer {value} has no derivative; write {float(value)}, or Const({value})")


def _check_refs(refs, name):
    for ref in refs:
        if not isinstance(ref, Ref):
            raise TypeError(f"{name} takes its shadow in a sparsead.Ref, not in a {type(ref).__name__}")


DUPLICATED = (Duplicated, BatchDuplicated)
MIXED = (MixedDuplicated, BatchMixedDuplicated)
WRITE_ONLY = (DuplicatedNoNeed, BatchDuplicatedNoNeed)


KINDS = frozenset((Const, Active, *DUPLICATED, *WRITE_ONLY, *MIXED))


def is_activity(obj):
    """Whether `obj` is the class of an activity: what is said of a return."""
    return isinstance(obj, type) and issubclass(obj, Annotation)


def guessed(value, mode, what):
    """The annotation of an argument that came without one."""
    if isinstance(value, Annotation):
        return value
    if is_activity(value):
        raise TypeError(f"{what} is {value.__name__}, which says something of a value but has none: {value.__name__}(x)")
    if not is_differentiable(value):
        return Const(value)
    if not mode.forward and (is_number(value) or mutable_number(value) is None):
        return Active(value)
    raise TypeError(f"{what} holds floating numbers and has no shadow: Duplicated(x, dx), or Const(x) if its derivative is zero")
