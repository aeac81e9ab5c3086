from typing import Any

import numpy as np
from numpy.typing import NDArray

def places_of(indptr: NDArray[Any], indices: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.int64]: ...
