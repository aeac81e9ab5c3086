from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from sparsead.tape.spec import Op, OpView

class TapeError(RuntimeError): ...

class ValueType:
    id: int
    dtype: Any
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    size: int
    nbytes: int
    ndim: int
    inexact: bool

class Pool:
    types: list[ValueType]
    attrs: list[Any]
    lines: list[Any]
    consts: list[Any]
    def type(self, dtype: Any, shape: Sequence[int], strides: Sequence[int] | None = None) -> ValueType: ...

class Tape:
    pool: Pool
    inputs: list[int]
    outputs: list[int]
    names: dict[int, str]
    n_values: int
    nbytes: int
    def __init__(self, pool: Pool | None = None) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[OpView]: ...
    def op(self, k: int) -> OpView: ...
    def type(self, value: int) -> ValueType: ...
    def maker(self, value: int) -> int: ...
    def add(self, op: Op, operands: Sequence[int] = ..., types: Sequence[ValueType] = ..., attr: Any = None, imm: int = 0,
            line: Any = None) -> tuple[int, ...]: ...
    def const(self, value: Any) -> int: ...
    def fresh(self) -> Tape: ...
    def copy(self) -> Tape: ...
    def codes(self) -> NDArray[Any]: ...

def is_dense(array: NDArray[Any]) -> bool: ...
