"""How a batch is split, and the order of operations on a GPU; against a fake that runs on the CPU."""

from __future__ import annotations

import ctypes
import logging

import numpy as np
import pytest

from engine_bridge.errors import EngineError
from runtime.engines.cuda_runtime import CudaRuntime
from runtime.engines.ends import End, Ends
from runtime.engines.gpu_lane import SLOTS, GpuLane, Piece, pieces
from tests.fake_cudart import FakeCudart

W_DIM, CONTROLS, HEIGHT, WIDTH = 3, 2, 4, 5
PICTURE = HEIGHT * WIDTH * 4
ENDS = Ends(
    (End("w", (W_DIM,), np.dtype(np.float32)), End("controls", (CONTROLS,), np.dtype(np.float32))),
    (End("rgba", (HEIGHT, WIDTH, 4), np.dtype(np.uint8)),),
)


class Rig:
    """A lane over the fake; its "network" fills each picture with w[0] + 10 * controls[1]."""

    def __init__(self, *, batch: int = 2, refuse: str = "", refuse_computing: bool = False) -> None:
        self.cudart = FakeCudart(refuse=refuse)
        self.cuda = CudaRuntime(self.cudart)
        self.batch = batch
        self.refuse_computing = refuse_computing
        self.computed = 0
        w, controls, rgba = (self.cuda.device_memory(batch * size) for size in (4 * W_DIM, 4 * CONTROLS, PICTURE))
        self._w = np.frombuffer((ctypes.c_float * (batch * W_DIM)).from_address(w), np.float32).reshape(batch, -1)
        self._controls = np.frombuffer(
            (ctypes.c_float * (batch * CONTROLS)).from_address(controls), np.float32
        ).reshape(batch, -1)
        self._rgba = np.frombuffer((ctypes.c_uint8 * (batch * PICTURE)).from_address(rgba), np.uint8).reshape(batch, -1)
        addresses = {"w": w, "controls": controls, "rgba": rgba}
        self.lane = GpuLane(self.cuda, addresses, self._enqueue, batch=batch, ends=ENDS)

    def _enqueue(self) -> None:
        if self.refuse_computing and self.cudart.calls[-3] == "cudaStreamBeginCapture":
            raise EngineError("not while recording")

        def compute() -> None:
            self.computed += 1
            self._rgba[:] = (self._w[:, 0] + 10 * self._controls[:, 1]).astype(np.uint8)[:, None]

        self.cudart.enqueue(compute)

    def draw(self, *values: int) -> list[int]:
        out = self.lane.collect(self.lane.submit(inputs(*values)), len(values))["rgba"]
        assert out.shape == (len(values), HEIGHT, WIDTH, 4)
        assert all(len(np.unique(picture)) == 1 for picture in out)
        return [int(picture[0, 0, 0]) for picture in out]


def inputs(*values: int) -> dict[str, np.ndarray]:
    w, controls = np.zeros((len(values), W_DIM), np.float32), np.zeros((len(values), CONTROLS), np.float32)
    w[:, 0] = [value % 10 for value in values]
    controls[:, 1] = [value // 10 for value in values]
    return {"w": w, "controls": controls}


@pytest.mark.parametrize(
    ("count", "batches", "expected"),
    [
        (1, (1,), [(0, 1, 1)]),
        (3, (1,), [(0, 1, 1), (1, 1, 1), (2, 1, 1)]),
        (7, (1, 4), [(0, 4, 4), (4, 1, 1), (5, 1, 1), (6, 1, 1)]),
        (13, (1, 4, 8), [(0, 8, 8), (8, 4, 4), (12, 1, 1)]),
        (1, (4,), [(0, 1, 4)]),
        (6, (4,), [(0, 4, 4), (4, 2, 4)]),
        (5, range(1, 4), [(0, 3, 3), (3, 2, 2)]),
    ],
)
def test_a_batch_is_cut_into_the_largest_sizes(
    count: int, batches: tuple[int, ...], expected: list[tuple[int, int, int]]
) -> None:
    cut = list(pieces(count, batches))
    assert cut == [Piece(*numbers) for numbers in expected]
    assert [row for piece in cut for row in range(count)[piece.rows]] == list(range(count))


def test_a_frame_is_one_launch_of_a_recorded_graph() -> None:
    rig = Rig()
    assert rig.lane.refusal == ""
    rig.cudart.calls.clear()
    assert rig.draw(42, 7) == [42, 7]
    assert [name for name in rig.cudart.calls if name != "cudaEventSynchronize"] == [
        "cudaGraphLaunch",
        "cudaEventRecord",
    ]


def test_a_half_empty_batch_gives_only_its_own_rows() -> None:
    rig = Rig(batch=4)
    assert rig.draw(11, 12, 13, 14) == [11, 12, 13, 14]
    assert rig.draw(25) == [25]


def test_as_many_as_there_are_slots_may_be_under_way() -> None:
    rig = Rig(batch=1)
    values = (31, 58)
    assert len(values) == SLOTS
    slots = [rig.lane.submit(inputs(value)) for value in values]
    for slot, value in zip(slots, values, strict=True):
        assert (rig.lane.collect(slot, 1)["rgba"] == value).all()


def test_a_frame_that_an_interrupt_left_under_way_does_not_disturb_the_next() -> None:
    rig = Rig(batch=1)
    for value in (1, 2, 3):
        rig.lane.submit(inputs(value))
    assert rig.draw(44) == [44]


@pytest.mark.parametrize("refuse", ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_it_draws_call_by_call_where_a_graph_is_refused(refuse: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        rig = Rig(refuse=refuse)
    assert "cudaErrorStreamCaptureUnsupported" in rig.lane.refusal
    assert "no CUDA graph for batches of 2" in caplog.text
    assert len(caplog.records) == 1
    assert "cudaGetLastError" in rig.cudart.calls
    rig.cudart.calls.clear()
    assert rig.draw(42, 7) == [42, 7]
    assert rig.draw(43, 8) == [43, 8]
    assert "cudaGraphLaunch" not in rig.cudart.calls
    rig.cuda.close()
    assert rig.cudart.live == 0


def test_it_draws_call_by_call_where_computing_cannot_be_recorded() -> None:
    rig = Rig(refuse_computing=True)
    assert rig.lane.refusal == "not while recording"
    assert rig.draw(42, 7) == [42, 7]
    rig.cuda.close()
    assert rig.cudart.live == 0


def test_everything_is_given_back_once() -> None:
    rig = Rig()
    assert rig.draw(1, 2) == [1, 2]
    assert rig.cudart.live > 5
    rig.cuda.close()
    rig.cuda.close()
    assert rig.cudart.live == 0
    assert rig.cudart.calls[-1] == "cudaStreamDestroy"


@pytest.mark.parametrize("refuse", ["cudaStreamCreateWithFlags", "cudaMalloc", "cudaMallocHost", "cudaEventRecord"])
def test_a_failure_says_what_where_and_what_to_do(refuse: str) -> None:
    with pytest.raises(
        EngineError, match=r"CUDA failed while .*cudaErrorStreamCaptureUnsupported \(the fake says 900\)"
    ):
        Rig(refuse=refuse).draw(1)
