"""Engines: what runs a tape. `sparsead.engine.reference` says what a tape means; the others are faster."""

import logging
import time

from sparsead.decisions import LOG

ENGINES = ("auto", "vm", "reference")


def program(tape, engine="auto", name="a tape"):
    """`tape` made ready to run: an object with ``run(inputs)`` and ``release()``, which gives idle memory back.

    Parameters
    ----------
    tape : Tape
    engine : {"auto", "vm", "reference"}
        "auto" is the tiled engine, "vm".
    name : str
        What the tape computes, for messages.
    """
    if engine == "reference":
        from sparsead.engine import reference

        LOG.info("%s: %d ops for NumPy, one by one (engine 'reference')", name, len(tape))
        return reference.Program(tape)
    from sparsead.engine import report, vm

    begin = time.perf_counter()
    made = vm.Program(tape, name)
    if LOG.isEnabledFor(logging.INFO):
        milliseconds = 1e3 * (time.perf_counter() - begin)
        LOG.info("%s: planned in %.1f ms for the tiled engine: %s", name, milliseconds, report.summary(made))
    if LOG.isEnabledFor(logging.DEBUG):
        for line in report.apart(made):
            LOG.debug(line)
    return made
