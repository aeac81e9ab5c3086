"""Derivatives as C that stands alone, for programs that know nothing of Python."""

from __future__ import annotations

from sparsead.derivatives.prepared import Derivative


def export_c(derivative, name, directory=".", *, examples=False):
    """Write a prepared derivative as C99 that needs neither Python nor sparsead: ``name.c`` and ``name.h``.

    Parameters
    ----------
    derivative : Grad, ValueAndGrad, Jacobian, Hessian, Jvp, Vjp or Hvp
        Prepared by a call or by ``.prepare(*args)``; its most recent recording is written.
    name : str
        Of the function, an identifier in C and Fortran.
    directory : path
        Where the files go; made if there is none.
    examples : bool
        Write ``name_example.c`` and ``name_example.f90`` too, programs that call it with the arguments of the recording.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    TypeError
        `derivative` is none of these, or `name` no string.
    ValueError
        `name` cannot be a name in C.
    RuntimeError
        The derivative is not prepared.
    NotImplementedError
        Something needs Python or a library: functions of the user (``black_box``, ``on_step``), solvers, ``numpy.linalg``,
        complex numbers; the message says what, and the user's line. Also ``linearize``, and Jacobians with ``format="dense"`` or
        ``has_aux``. Nothing is written then.

    Notes
    -----
    The function takes what the derivative takes: arrays in the layout that they had at the recording, floats by value; then, for
    `jvp` and `hvp`, the tangents, and for `vjp` the adjoints of the outputs. It gives what the derivative gives in arrays that
    follow: of `vjp` the values, and the pullback of these adjoints. An argument that `of` names is no parameter if it is only
    written: no argument is ever changed, as in Python. Integers, strings, index arrays and the path through the code are those of
    the recording; a call that would take another path gives the number of the guard that fails, and leaves the outputs alone.
    Captured arrays up to 64 KB are in the source, with the numbers that they have now; larger ones are parameters. The header
    says all this of the function at hand.

    Jacobians and Hessians come as the entries of ``.data`` in Python, with the pattern as arrays in the source.

    Threads may call the function at the same time, each with a workspace of its own. On one thread it does the arithmetic of
    the tiled engine in its order; exp, sin and their like may differ by 2 units in the last place, contractions like a sum in
    another order.

    Examples
    --------
    >>> import numpy as np, sparsead, tempfile
    >>> def rhs(t, y, dy):
    ...     dy[:] = -y * y
    ...     dy[1:] += y[:-1]
    >>> jac = sparsead.jacobian(rhs, wrt="y", of="dy").prepare(0.0, np.ones(3), np.empty(3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     source, header = sparsead.export_c(jac, "chain_jac", folder)
    ...     print(header.read_text().splitlines()[-7])
    int chain_jac(double t, const double *y, double *values, void *workspace);

    """
    from sparsead.derivatives.entries import entry_of  # the engine is loaded by who wants it, not by import sparsead
    from sparsead.engine.native.examples import examples_of
    from sparsead.engine.native.export import Export, check_name, write

    check_name(name, "name")
    if not isinstance(derivative, Derivative):
        kind = type(derivative).__name__
        raise TypeError(f"export_c: derivative has to be one of sparsead's, such as sparsead.jacobian(f), not a {kind}")
    try:
        entry = entry_of(derivative, name)
        if entry is None:
            raise NotImplementedError(f"a {derivative.kind} is no function of arrays; a jvp is")
        export = Export(entry)
    except NotImplementedError as error:
        raise NotImplementedError(f"export_c: {derivative!r} cannot be written as C: {error}") from error
    return write(export, directory, examples_of(export) if examples else {})
