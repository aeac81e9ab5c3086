"""Engines: what runs a tape. `sparsead.engine.reference` says what a tape means; the others are faster.

=============  =====================================================================================================
``reference``  NumPy, op by op
``vm``         the tiled engine: kernels in C that comes with sparsead; needs nothing else
``native``     the same, with kernels that the machine's compiler has made; waits for it before the first run
``auto``       the tiled engine, and the native one from when the work pays for the compiler, which nobody waits for
=============  =====================================================================================================

The tiled and the native engine give the same bits. Without a compiler all but ``reference`` are ``vm``.
"""

import logging
import time

from sparsead.decisions import LOG

ENGINES = ("auto", "native", "vm", "reference")


def check_engine(engine, fast=False):
    """Raise ValueError if `engine` is unknown, or does not know `fast`."""
    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r} is unknown; choose one of {', '.join(ENGINES)}")
    if fast and engine not in ("auto", "native"):
        raise ValueError(f"fast=True is a wish to the compiler, which engine {engine!r} does not use; choose auto or native")


def program(tape, engine="auto", name="a tape", fast=False):
    """`tape` made ready to run: an object with ``run(inputs)`` and ``release()``, which gives idle memory back.

    Parameters
    ----------
    tape : Tape
    engine : {"auto", "native", "vm", "reference"}
    name : str
        What the tape computes, for messages.
    fast : bool
        Compiled kernels may contract and reorder, see `sparsead.engine.native.compiler`.
    """
    if engine == "reference":
        from sparsead.engine import reference

        LOG.info("%s: %d ops for NumPy, one by one (engine 'reference')", name, len(tape))
        return reference.Program(tape)
    from sparsead.engine import report, vm
    from sparsead.engine.native import building

    begin = time.perf_counter()
    made = vm.Program(tape, name)
    if LOG.isEnabledFor(logging.INFO):
        milliseconds = 1e3 * (time.perf_counter() - begin)
        LOG.info("%s: planned in %.1f ms for the tiled engine: %s", name, milliseconds, report.summary(made))
    if LOG.isEnabledFor(logging.DEBUG):
        for line in report.apart(made):
            LOG.debug(line)
    if engine == "native":
        building.build_now(made, fast)
    elif engine == "auto":
        building.build_later(made, fast)
    return made


def source(made):
    """The C of a program: what the compiler is given for it."""
    from sparsead.engine import reference

    if isinstance(made, reference.Program):
        return "/* run by NumPy, op by op */\n"
    from sparsead.engine.native.module import module_of

    return module_of(made, lines=True).text
