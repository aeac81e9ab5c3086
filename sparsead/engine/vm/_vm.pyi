from typing import Any, NamedTuple

import numpy as np

from sparsead.schedule.form import Schedule
from sparsead.schedule.lower import Lowered
from sparsead.tape._tape import Tape

FUNCTIONS: set[str]
NARROW: set[str]
SUM: int

class Measured(NamedTuple):
    run: int
    threads: int
    times: np.ndarray

class Program:
    schedule: Schedule
    tape: Tape
    steps: list[Any]
    idle: list[Any]
    measured: Measured | None
    later: set[int]
    lowered: list[Lowered]
    kernel_of: dict[int, int]
    name: str
    build: Any
    work: float
    left: float
    def __init__(self, tape: Tape, name: str = ...) -> None: ...
    def run(self, inputs: list[Any], out: list[Any] | None = None) -> list[Any]: ...
    def attach(self, number: int, source: Any, address: int) -> None: ...
    def attach_step(self, unit: Any, address: int) -> None: ...
    def build_after(self, work: float, most: float) -> None: ...
    def release(self) -> None: ...
