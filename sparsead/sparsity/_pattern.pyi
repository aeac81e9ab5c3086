from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sparsead.tape._tape import Tape

def propagate(
    tape: Tape, wrt: Sequence[int], of: Sequence[int], known: Mapping[int, NDArray], squeeze_at: int
) -> tuple[NDArray, NDArray[np.int32], list[str]]: ...
