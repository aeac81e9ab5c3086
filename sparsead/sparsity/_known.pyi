from collections.abc import Mapping, Sequence

from numpy.typing import ArrayLike, NDArray

from sparsead.tape._tape import Tape

def known_values(tape: Tape, given: Mapping[int, ArrayLike]) -> dict[int, NDArray]: ...
def index_inputs(tape: Tape, wrt: Sequence[int]) -> list[int]: ...
