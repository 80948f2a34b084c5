"""Primitives no numpy function of the same name stands for: the calls that record them."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import MASK, Calls, any_of, fixed

HIDDEN: dict[str, Calls | tuple[Calls, ...]] = {
    "astype": fixed(lambda x: (x.astype("f4").astype("f8") - x) ** 2 + x, (3,), analytic=False),
    "getitem": any_of(
        fixed(lambda x: x[1], (3,)),
        fixed(lambda x: x[..., None, ::-1], (2, 3)),
        fixed(lambda x: x[1:, np.array([0, 0, 2])], (2, 3)),
        fixed(lambda x: x[MASK], (2, 3)),
        fixed(lambda x: x[[1, 1], :, [0, 1]], (2, 2, 3)),
        fixed(lambda x: x[()], ()),
        fixed(lambda x: x[-1, 1:0:-1], (2, 3)),
        fixed(lambda x: x[np.array(1)], (3,)),
    ),
    "scatter_add": fixed(lambda x: np.diag(x * x), (3,)),
}
