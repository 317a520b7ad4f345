import numpy as np
from numpy.typing import NDArray

def shrink(
    source: bytes | NDArray[np.uint8],
    height: int,
    width: int,
    target: bytearray | NDArray[np.uint8],
    rows: int,
    columns: int,
) -> None: ...
