from collections.abc import Iterable

from sparsead.tape._tape import Tape

def tangent(tape: Tape, wrt: Iterable[int], strong: bool = False) -> Tape: ...
