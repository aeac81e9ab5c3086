"""Modes: what `autodiff` computes, and what it gives back besides derivatives.

A mode is a value that never changes; the functions here make others of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Mode:
    """What is computed; see `autodiff`.

    Attributes
    ----------
    direction : {"forward", "reverse"}
    primal : bool
        Whether the value of the function is given back.
    split : bool
        Whether the reverse sweep is a call of its own, see `autodiff_thunk`.
    holomorphic : bool
        Whether a complex result is differentiated as a holomorphic function: the derivative is df/dz, added to shadows as it is.
        If the function is not holomorphic, that is Wirtinger's, (d/dx - i d/dy) / 2 at z = x + iy. A real result is
        differentiated as in `Reverse`: d/dx + i d/dy. Where the result is complex, all that has a derivative is.
    strong : bool
        Whether an adjoint or tangent of zero stays zero whatever it is multiplied by, infinities and NaN included.
    width : int
        Lanes that a split mode was made for; 0: as many as the arguments have.
    modified : bool or tuple of bool
        Whether the function and each argument may be modified between the sweeps of a split mode; one bool speaks of all.
    """

    direction: str
    primal: bool = False
    split: bool = False
    holomorphic: bool = False
    strong: bool = False
    width: int = 0
    modified: bool | tuple[bool, ...] = True

    @property
    def forward(self):
        """Whether tangents are computed."""
        return self.direction == "forward"

    def __repr__(self):
        name = self.direction.capitalize() + ("Split" if self.split else "") + ("Holomorphic" if self.holomorphic else "")
        name += "WithPrimal" if self.primal else "NoPrimal" if self.split else ""
        given = [f"{k}={getattr(self, k)!r}" for k, plain in (("strong", False), ("width", 0), ("modified", True))
                 if getattr(self, k) != plain]  # fmt: skip
        return name + (f"({', '.join(given)})" if given else "")


Forward = Mode("forward")
ForwardWithPrimal = Mode("forward", primal=True)
Reverse = Mode("reverse")
ReverseWithPrimal = Mode("reverse", primal=True)
ReverseSplitNoPrimal = Mode("reverse", split=True)
ReverseSplitWithPrimal = Mode("reverse", primal=True, split=True)
ReverseHolomorphic = Mode("reverse", holomorphic=True)
ReverseHolomorphicWithPrimal = Mode("reverse", primal=True, holomorphic=True)


_known = {m: m for m in (Forward, ForwardWithPrimal, Reverse, ReverseWithPrimal, ReverseSplitNoPrimal, ReverseSplitWithPrimal,
                         ReverseHolomorphic, ReverseHolomorphicWithPrimal)}  # fmt: skip


def _made(mode, **changes):
    """`mode` with changes: equal modes are one object, by which recordings are found."""
    new = replace(mode, **changes)
    return _known.setdefault(new, new)


def check_mode(mode):
    """TypeError if `mode` is none."""
    if not isinstance(mode, Mode):
        raise TypeError(f"the first argument has to be a mode, such as sparsead.Reverse, not {mode!r:.60}")
    return mode


def WithPrimal(mode):
    """`mode`, giving the value of the function too.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.WithPrimal(sparsead.Reverse)
    ReverseWithPrimal

    """
    return _made(check_mode(mode), primal=True)


def NoPrimal(mode):
    """`mode`, giving derivatives alone.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.NoPrimal(sparsead.ForwardWithPrimal)
    Forward

    """
    return _made(check_mode(mode), primal=False)


def set_strong_zero(mode, on=True):
    """`mode` with zero derivatives that stay zero: ``0 * inf`` and ``0 * nan`` are 0 where the zero is a tangent or an adjoint.

    Parameters
    ----------
    mode : Mode
    on : bool or Mode
        Whether; a mode: as that one has it.

    Returns
    -------
    Mode

    Examples
    --------
    The derivative of the square root at 0 is infinite, and what it is multiplied by is zero:

    >>> import numpy as np, sparsead
    >>> f = lambda x: 0.0 * np.sqrt(x)
    >>> mode = sparsead.set_strong_zero(sparsead.Reverse)
    >>> with np.errstate(divide="ignore"):
    ...     sparsead.autodiff(mode, f, sparsead.Active, sparsead.Active(0.0))
    ((0.0,),)

    """
    return _made(check_mode(mode), strong=on.strong if isinstance(on, Mode) else bool(on))


def clear_strong_zero(mode):
    """`mode` with the products of IEEE arithmetic, see `set_strong_zero`.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.clear_strong_zero(sparsead.set_strong_zero(sparsead.Forward))
    Forward

    """
    return set_strong_zero(mode, False)


def Split(mode, width=0, modified=True):
    """The split form of a reverse mode, for `autodiff_thunk`.

    Parameters
    ----------
    mode : Mode
    width : int
        Lanes; 0: as many as the arguments have.
    modified : bool or tuple of bool
        Whether the function and each argument may be modified between the two sweeps.

    Raises
    ------
    TypeError
        `mode` is a forward or a holomorphic one.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.Split(sparsead.ReverseWithPrimal)
    ReverseSplitWithPrimal

    """
    if check_mode(mode).forward or mode.holomorphic:
        raise TypeError(f"{mode!r} has no split form: only Reverse and ReverseWithPrimal have")
    return ReverseSplitModified(ReverseSplitWidth(_made(mode, split=True), width), modified)


def Combined(mode):
    """The mode in which one call runs both sweeps.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.Combined(sparsead.ReverseSplitNoPrimal)
    Reverse

    """
    return _made(check_mode(mode), split=False, width=0, modified=True)


def ReverseSplitWidth(mode, width):
    """A split mode for so many shadows at once.

    Parameters
    ----------
    mode : Mode
    width : int
        Arguments with another number of shadows are refused, and Active returns have so many seeds; 0: as many as the arguments
        have.

    Raises
    ------
    TypeError, ValueError
        `mode` is not split, or `width` no number of lanes.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.ReverseSplitWidth(sparsead.ReverseSplitNoPrimal, 2)
    ReverseSplitNoPrimal(width=2)

    """
    if not isinstance(width, int) or isinstance(width, bool) or width < 0:
        raise ValueError(f"the width has to be a positive number of lanes, or 0 for that of the arguments, not {width!r}")
    return _made(_split(mode), width=width)


def ReverseSplitModified(mode, modified):
    """A split mode with the promise which arguments stay as they are between the sweeps.

    Parameters
    ----------
    mode : Mode
    modified : bool or tuple of bool
        False: it stays as the forward sweep left it. The first one speaks of the function, then one for each argument; a single
        bool of all.

    Raises
    ------
    TypeError
        `mode` is not split, or `modified` something else.

    Notes
    -----
    What the reverse sweep needs is on the tape whatever is promised here.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.ReverseSplitModified(sparsead.ReverseSplitNoPrimal, (False, True))
    ReverseSplitNoPrimal(modified=(False, True))

    """
    if not isinstance(modified, bool) and not (isinstance(modified, tuple) and all(isinstance(m, bool) for m in modified)):
        raise TypeError(f"modified= is a bool, or a tuple of bools for the function and each argument, not {modified!r}")
    return _made(_split(mode), modified=modified)


def _split(mode):
    if not check_mode(mode).split:
        raise TypeError(f"{mode!r} is not split: take ReverseSplitNoPrimal, ReverseSplitWithPrimal or Split(mode)")
    return mode


def needs_primal(mode):
    """Whether `mode` gives the value of the function.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.needs_primal(sparsead.ReverseWithPrimal)
    True

    """
    return check_mode(mode).primal


def strong_zero(mode):
    """Whether zero derivatives stay zero in `mode`, see `set_strong_zero`.

    Examples
    --------
    >>> import sparsead
    >>> sparsead.strong_zero(sparsead.Reverse)
    False

    """
    return check_mode(mode).strong
