from typing import Any

from sparsead.schedule.form import Schedule
from sparsead.tape._tape import Tape

class Program:
    schedule: Schedule
    tape: Tape
    def __init__(self, tape: Tape, name: str = ...) -> None: ...
    def run(self, inputs: list[Any], out: list[Any] | None = None) -> list[Any]: ...
    def release(self) -> None: ...
