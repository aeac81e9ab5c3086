from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from sparsead.tape._tape import Tape

def live_values(tape: Tape, outputs: Iterable[int]) -> NDArray[Any]: ...
def simplify(tape: Tape, fold: bool = True) -> Tape: ...
def prune(tape: Tape, outputs: Iterable[int]) -> Tape: ...
