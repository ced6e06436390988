from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_REWARDS: int

def game(
    targets: Any, members: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32], NDArray[np.float64], int, int]: ...
def skyline(values: Any, costs: Any, order: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def coverage(values: Any, weights: Any, low: Any, high: Any) -> NDArray[np.uint8]: ...
def support(values: Any, weights: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]: ...
def local(
    by_row: Any,
    by_column: Any,
    costs: Any,
    fixed: Any,
    chosen: Any,
    weight: Any,
    random: Any,
    budget: float,
    steps: int,
) -> tuple[int, int]: ...
def probe(
    weights: Any, hull: Any, values: Any, mass: Any, random: Any, epsilon: float, delta: float, tries: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
