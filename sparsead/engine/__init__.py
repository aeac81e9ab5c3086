"""Engines: what runs a tape. `sparsead.engine.reference` says what a tape means; the others are faster."""

ENGINES = ("auto", "vm", "reference")
LONG = 10_000  # ops: a second of planning


def program(tape, engine="auto", name="a tape"):
    """`tape` made ready to run: an object with ``run(inputs)`` and ``release()``, which gives idle memory back.

    Parameters
    ----------
    tape : Tape
    engine : {"auto", "vm", "reference"}
        "auto" is the tiled engine, "vm", but for long tapes of scalar code, which take long to plan.
    name : str
        What the tape computes, for messages.
    """
    if engine == "reference" or (engine == "auto" and len(tape) > LONG):
        from sparsead.engine import reference

        return reference.Program(tape)
    from sparsead.engine import vm

    return vm.Program(tape, name)
