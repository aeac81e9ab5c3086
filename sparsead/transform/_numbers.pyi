from collections.abc import Iterable
from typing import Any

from sparsead.tape._tape import Tape

Place = tuple[int, ...]

def differing(tape: Tape, other: Tape) -> list[Place] | None: ...
def numbers_of(tape: Tape, places: Iterable[Place]) -> list[Any]: ...
def with_numbers(tape: Tape, places: Iterable[Place]) -> Tape: ...
