"""256-bit balances as columns of a frame, exact where they fit and as text where they do not.

Belongs here: the change of form. Never a float for a raw amount; `scaled` is for analysis.
"""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from portfolio_pipelines.chains.reader.encoding import Bytes

RAW: Final = pl.Decimal(38, 0)
LARGEST: Final = 10**38 - 1  # of DECIMAL(38, 0)
UNKNOWN_DECIMALS: Final = -1


def amounts(words: Bytes) -> tuple[pl.Series, pl.Series]:
    """Balances as two columns of which exactly one has a value in each row.

    Args:
        words: Big-endian unsigned integers, shape (rows, 32).

    Returns:
        `raw`, Decimal(38, 0), null where the number has more than 38 digits; and `raw_hex`, 0x and 64 lower-case hex
        digits there, null elsewhere.
    """
    import pyarrow as pa

    limbs = _limbs(words)
    fits = _fits(limbs)
    low = np.zeros((len(words), 2), "<u8")  # Arrow keeps a decimal128 as a little-endian integer of 16 bytes
    low[:, 0], low[:, 1] = limbs[:, 3], limbs[:, 2]
    low[~fits] = 0
    validity = None if fits.all() else pa.py_buffer(np.packbits(fits, bitorder="little").tobytes())
    column = pa.Array.from_buffers(pa.decimal128(38, 0), len(words), [validity, pa.py_buffer(low.tobytes())])
    raw = pl.Series("raw", pl.from_arrow(column), dtype=RAW)
    if validity is None:
        return raw, pl.Series("raw_hex", [None], dtype=pl.String).new_from_index(0, len(words))
    large = np.full(len(words), None, object)
    large[~fits] = ["0x" + words[row].tobytes().hex() for row in np.flatnonzero(~fits)]
    return raw, pl.Series("raw_hex", large.tolist(), dtype=pl.String)


def scaled(words: Bytes, decimals: NDArray[np.int16]) -> NDArray[np.float64]:
    """Balances in whole coins, raw / 10^decimals, with a relative error below 1e-15.

    Args:
        words: Big-endian unsigned integers, shape (rows, 32).
        decimals: Of each row's token, 0 to 255, shape (rows,); -1 where unknown, which gives NaN.
    """
    limbs = _limbs(words).astype(np.float64)
    whole = ((limbs[:, 0] * 2.0**64 + limbs[:, 1]) * 2.0**64 + limbs[:, 2]) * 2.0**64 + limbs[:, 3]
    powers = np.array([float(f"1e{power}") for power in range(256)] + [np.nan])  # the nearest double of each power
    result: NDArray[np.float64] = whole / powers[decimals]  # index -1 is the NaN
    return result


def _limbs(words: Bytes) -> NDArray[np.uint64]:
    """Four numbers of 64 bits a row, the highest first."""
    return np.ascontiguousarray(words).view(">u8").reshape(-1, 4).astype(np.uint64)


def _fits(limbs: NDArray[np.uint64]) -> NDArray[np.bool_]:
    high, low = (np.uint64(part) for part in divmod(LARGEST, 2**64))
    below = (limbs[:, 2] < high) | ((limbs[:, 2] == high) & (limbs[:, 3] <= low))
    fits: NDArray[np.bool_] = below & (limbs[:, 0] == 0) & (limbs[:, 1] == 0)
    return fits
