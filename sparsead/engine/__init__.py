"""Engines: what runs a tape. `sparsead.engine.reference` says what a tape means; the others are faster."""

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

        return reference.Program(tape)
    from sparsead.engine import vm

    return vm.Program(tape, name)
