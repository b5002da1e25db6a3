"""Long columns made short: integers, mostly small, as base64 of variable-length bytes.

Each integer is zigzagged (0, -1, 1, -2, … become 0, 1, 2, 3, …) and written in groups of seven bits, lowest first, the
eighth bit saying that more follow: the varints of Protocol Buffers. `scripts/1-data.js` reads them back.
"""

from __future__ import annotations

import base64

import numpy as np

from market.candles import Floats, Ints


def packed(values: Ints) -> str:
    """Base64 of the varints of `values` (N,)."""
    signed = values.astype(np.int64)
    left = ((signed << 1) ^ (signed >> 63)).astype(np.uint64)
    width = np.ones(len(left), dtype=np.int64)
    for bits in range(7, 64, 7):
        width += left >> np.uint64(bits) > 0
    ends = np.cumsum(width)
    out = np.zeros(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    starts = ends - width
    for place in range(int(width.max(initial=0))):
        has = width > place
        follows = np.where(width[has] > place + 1, 128, 0).astype(np.uint8)
        out[starts[has] + place] = ((left[has] >> np.uint64(7 * place)) & np.uint64(127)).astype(np.uint8) | follows
    return base64.b64encode(out.tobytes()).decode()


def steps(values: Ints) -> str:
    """`packed` differences of a column (N,), the first from 0: for what moves slowly."""
    whole = values.astype(np.int64)
    return packed(whole - np.concatenate([[0], whole[:-1]])[: len(whole)])


def shares(values: Floats) -> str:
    """`steps` of fractions (N,) of 0..1 in 1e-4, each raised by one so that 0 can say: not known."""
    return steps(np.where(np.isfinite(values), np.rint(np.nan_to_num(values) * 10_000) + 1, 0).astype(np.int64))
