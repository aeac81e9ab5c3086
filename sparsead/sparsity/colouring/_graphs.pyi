from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Int32s: TypeAlias = NDArray[np.int32]
_Lists: TypeAlias = tuple[_Int32s, _Int32s]
_Graph: TypeAlias = tuple[_Int32s, _Int32s, _Int32s, int]

class DoesNotFit(ValueError):
    pass

def symmetric_graph(rows: _Lists) -> _Graph | None: ...
def bipartite_graph(rows: _Lists, n_columns: int) -> _Graph: ...
def transpose_positions(lists: _Lists, bound: int) -> tuple[_Int32s, _Int32s, _Int32s]: ...
def first_fit(
    lists: _Graph,
    method: Literal["star", "acyclic"],
    order: _Int32s,
    forced: _Int32s | None = None,
    limit: int | None = None,
) -> Any: ...  # None where `limit` is not enough
