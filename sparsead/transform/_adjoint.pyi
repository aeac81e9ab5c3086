from collections.abc import Iterable
from typing import Any

from sparsead.tape._tape import Tape

def adjoint(
    tape: Tape, wrt: Iterable[int], of: Iterable[int], incoming: Iterable[int] = (), keep: bool = False, zero_kind: int = 0
) -> tuple[Tape, int]: ...
def zeros_of_code(code: int) -> int: ...
def extent_of(attr: Any) -> tuple[int, int, bool]: ...
