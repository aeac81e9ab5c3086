from collections.abc import Sequence

from sparsead.tape._tape import Tape

def narrowed(tape: Tape, owned: Sequence[int] = ()) -> Tape: ...
