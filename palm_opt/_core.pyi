from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_REWARDS: int

def game(
    targets: Any, members: Any
) -> tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.int32], NDArray[np.float64], int, int
]: ...
def skyline(values: Any, costs: Any, order: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def coverage(values: Any, weights: Any, low: Any, high: Any) -> NDArray[np.uint8]: ...
def support(values: Any, weights: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...
