"""How much flows bend from cell to cell.

    mean |flow(x - 1) - 2 flow(x) + flow(x + 1)|, in both directions

Where a turning head stretches paint, every small error of a flow shows as a ripple. A straight flow
costs nothing, a kink as much as it turns (second-order smoothness of optical flow, Trobin 2008,
doi:10.1007/978-3-540-69321-5_40).
"""

from __future__ import annotations

from torch import Tensor


def bending(flow: Tensor) -> Tensor:
    """The mean, in half pictures.

    Args:
        flow: float [..., G, G], G at least 3.
    """
    across = flow[..., 2:] - 2 * flow[..., 1:-1] + flow[..., :-2]
    down = flow[..., 2:, :] - 2 * flow[..., 1:-1, :] + flow[..., :-2, :]
    return across.abs().mean() + down.abs().mean()
