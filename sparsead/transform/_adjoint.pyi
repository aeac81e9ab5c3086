from collections.abc import Iterable

from sparsead.tape._tape import Tape

def adjoint(tape: Tape, wrt: Iterable[int], of: Iterable[int]) -> tuple[Tape, int]: ...
