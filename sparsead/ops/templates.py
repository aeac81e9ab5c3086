"""Turn the partial derivatives of a record, written as NumPy expressions, into templates of tape ops.

A record's ``partials`` is called once, with symbolic handles; the expressions it returns become a short list of
instructions that the transforms then instantiate per op without calling Python again (a scalar code has millions of
ops). It also tells, partial by partial, which operands and results a reverse sweep has to have.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field

import numpy as np

SELECT = "select"


@dataclass
class Template:
    """Instructions for all partials of one record.

    References: ``0..nin-1`` operands, then the results, then one for each instruction; ``-1 - k`` is constant `k`.

    Attributes
    ----------
    code : list of (str, tuple of int)
        Op name and references, in order.
    consts : list of float
    roots : list
        For each (result, operand), result-major: a float (a structural constant) or a reference.
    """

    nin: int
    nout: int
    code: list = field(default_factory=list)
    consts: list = field(default_factory=list)
    roots: list = field(default_factory=list)

    def vanishes(self, result, operand):
        """Whether this partial is zero everywhere, structurally."""
        root = self.roots[result * self.nin + operand]
        return isinstance(root, float) and root == 0

    def reach(self, root):
        """Instructions that `root` needs, ascending, and the mask of operands and results they read."""
        base = self.nin + self.nout
        wanted, mask, stack = set(), 0, [root]
        while stack:
            ref = stack.pop()
            if 0 <= ref < base:
                mask |= 1 << ref
            elif ref >= base and ref - base not in wanted:
                wanted.add(ref - base)
                stack.extend(self.code[ref - base][1])
        return sorted(wanted), mask


class Handle:
    """A symbolic operand: records what is done to it."""

    __slots__ = ("ref", "template")

    def __init__(self, template, ref):
        self.template, self.ref = template, ref

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__" or kwargs:
            raise TypeError(f"a partial may only call ufuncs plainly, not {ufunc.__name__}.{method} with {kwargs}")
        return _instruction(self.template, ufunc.__name__, inputs)

    def __array_function__(self, func, types, args, kwargs):
        if func is not np.where or kwargs:
            raise TypeError(f"a partial may only use ufuncs and select, not {func.__name__}")
        return _instruction(self.template, SELECT, args)


def _instruction(template, name, inputs):
    refs = tuple(_reference(template, x) for x in inputs)
    if (name, refs) in template.code:
        return Handle(template, template.nin + template.nout + template.code.index((name, refs)))
    template.code.append((name, refs))
    return Handle(template, template.nin + template.nout + len(template.code) - 1)


def _reference(template, x):
    if isinstance(x, Handle):
        return x.ref
    x = float(x)
    if x not in template.consts:
        template.consts.append(x)
    return -1 - template.consts.index(x)


_OPERATORS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "pow": np.power,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
    "and": np.bitwise_and, "or": np.bitwise_or, "floordiv": np.floor_divide, "mod": np.remainder,
}  # fmt: skip


def _install_operators():
    for name, ufunc in _OPERATORS.items():
        setattr(Handle, f"__{name}__", lambda a, b, ufunc=ufunc: ufunc(a, b))
        if hasattr(operator, f"__{name}__") and name not in ("lt", "le", "gt", "ge", "eq", "ne"):
            setattr(Handle, f"__r{name}__", lambda a, b, ufunc=ufunc: ufunc(b, a))
    Handle.__neg__ = lambda a: np.negative(a)
    Handle.__abs__ = lambda a: np.absolute(a)
    Handle.__invert__ = lambda a: np.invert(a)
    Handle.__hash__ = object.__hash__


_install_operators()


def template_of(record, of_complex=False):
    """The `Template` of a record of `sparsead.ops.elementwise`, by real or by complex operands; `None` if it has no partials.

    Raises
    ------
    TypeError
        The record's partials use something else than ufuncs, or return the wrong number of partials.
    """
    partials = record.of_complex if of_complex else record.partials
    if partials is None:
        return None
    template = Template(record.nin, record.nout)
    handles = [Handle(template, k) for k in range(record.nin + record.nout)]
    rows = partials(*handles)
    rows = [rows] if record.nout == 1 else list(rows)
    for row in rows:
        if len(row) != record.nin:
            raise TypeError(f"{record.name} has {record.nin} operands but {len(row)} partials")
        template.roots.extend(p.ref if isinstance(p, Handle) else float(p) for p in row)
    return template
