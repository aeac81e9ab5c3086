from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Int32s: TypeAlias = NDArray[np.int32]
_Lists: TypeAlias = tuple[_Int32s, _Int32s]
_Graph: TypeAlias = tuple[_Int32s, _Int32s, _Int32s, int]

def find_alone(lists: _Lists, colors: _Int32s, n_colors: int) -> NDArray[np.bool_]: ...
def plan(lists: _Graph, colors: _Int32s, n_colors: int) -> tuple[_Int32s, _Int32s, _Int32s, _Int32s]: ...
def substitute(values: NDArray[Any], out: NDArray[Any], steps: tuple[_Int32s, _Int32s, _Int32s], chunks: _Int32s) -> None: ...
