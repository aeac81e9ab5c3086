from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from sparsead.tape._tape import Tape

def reached(tape: Tape, inputs: Iterable[bool]) -> NDArray[Any]: ...
def varied(tape: Tape, inputs: Iterable[bool]) -> NDArray[Any]: ...
def useful(tape: Tape, varying: NDArray[Any], outputs: Iterable[bool]) -> NDArray[Any]: ...
