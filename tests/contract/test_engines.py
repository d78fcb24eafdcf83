"""Contract of every engine, run for each one available here; `-m gpu` runs those that need a GPU."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from engine_bridge.errors import EngineError
from runtime.engines.backend import GeneratorModel
from runtime.engines.base import Engine, Sizes
from runtime.engines.onnxruntime import OnnxRuntimeEngine
from runtime.engines.table import BACKENDS, SYNTHETIC
from tests.tiny_character import CONTROLS, W_DIM, write_tiny
from tests.tiny_engines import inputs, make_engine

ENGINES = [
    pytest.param(backend.name, marks=[pytest.mark.gpu] * backend.on_gpu)
    for backend in BACKENDS
    if not backend.by_name  # not available to developers here
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("engines") / "tiny.bunraku")


@pytest.fixture(params=[SYNTHETIC, *ENGINES])
def engine(request: pytest.FixtureRequest, tiny: Path) -> Engine:
    return make_engine(request.param, tiny)


def test_it_describes_itself_before_it_is_active(engine: Engine) -> None:
    about = engine.description
    assert about.label.startswith(f"{about.backend}/")
    assert about.label.endswith(" fp32")
    assert about.sizes == Sizes(W_DIM, CONTROLS, 32, 32)
    assert about.version
    assert about.precision == "fp32"


def test_it_fills_the_callers_buffer_and_is_deterministic(engine: Engine) -> None:
    with engine:
        w, controls, out = inputs(1)
        engine.infer(w, controls, out)
        first = out.copy()
        assert len(np.unique(first)) > 2
        again = np.full_like(out, 7)
        engine.infer(w, controls, again)
        assert np.array_equal(again, first)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_batch_equals_its_pictures_one_by_one(engine: Engine, count: int) -> None:
    with engine:
        w, controls, out = inputs(count)
        engine.infer(w, controls, out)
        single = np.empty((1, 32, 32, 4), np.uint8)
        for index in range(count):
            engine.infer(w[index : index + 1], controls[index : index + 1], single)
            # Another batch size may sum in another order: one step of 255 at most.
            assert np.abs(single[0].astype(int) - out[index]).max() <= 1


def test_inputs_changed_in_place_are_seen(engine: Engine) -> None:
    with engine:
        w, controls, out = inputs(1)
        engine.infer(w, controls, out)
        before = out.copy()
        w += 0.7
        controls[:] = 0.9
        engine.infer(w, controls, out)
        assert not np.array_equal(out, before)


def test_many_buffers_in_turn(engine: Engine) -> None:
    with engine:
        w, controls, _ = inputs(1)
        buffers = [np.zeros((1, 32, 32, 4), np.uint8) for _ in range(12)]
        for buffer in buffers * 2:
            engine.infer(w, controls, buffer)
        assert all(np.array_equal(buffer, buffers[0]) for buffer in buffers)


def test_wrong_inputs_are_refused_and_it_plays_on(engine: Engine) -> None:
    with engine:
        w, controls, out = inputs(2)
        engine.infer(w, controls, out)
        good = out.copy()
        read_only = out.copy()
        read_only.flags.writeable = False
        for bad in (
            (w[:, :-1].copy(), controls, out),
            (w, controls[:1], out),
            (w, controls, out[:, :-1].copy()),
            (w.astype(np.float64), controls, out),
            (w, controls.astype(np.float16), out),
            (w, controls, out.astype(np.float32)),
            (w[:0], controls[:0], out[:0]),
            (w[0], controls[0], out[0]),
            (np.asfortranarray(w), controls, out),
            (w, controls, read_only),
        ):
            with pytest.raises(EngineError, match=rf"w float32 \[N, {W_DIM}\]"):
                engine.infer(*bad)
        engine.infer(w, controls, out)
        assert np.array_equal(out, good)


def test_it_must_be_active_and_may_be_closed_twice(engine: Engine) -> None:
    with pytest.raises(EngineError, match="not active"):
        engine.infer(*inputs(1))
    engine.activate()
    engine.activate()
    engine.infer(*inputs(1))
    engine.deactivate()
    engine.deactivate()
    with pytest.raises(EngineError, match="not active"):
        engine.infer(*inputs(1))
    with engine:
        engine.infer(*inputs(1))


def test_two_at_once_in_two_threads(engine: Engine, tiny: Path) -> None:
    other = make_engine(engine.description.backend, tiny)
    w, controls, out = inputs(1)
    with engine, other:
        engine.infer(w, controls, out)
        wrong: list[str] = []

        def work(mine: Engine) -> None:
            local = np.zeros_like(out)
            for _ in range(20):
                mine.infer(w, controls, local)
                if not np.array_equal(local, out):
                    wrong.append(mine.description.backend)

        threads = [threading.Thread(target=work, args=(mine,)) for mine in (engine, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert wrong == []


@pytest.mark.parametrize("name", ENGINES)
def test_it_draws_what_the_reference_draws(name: str, tiny: Path) -> None:
    pictures = []
    for backend in ("onnxruntime", name):
        with make_engine(backend, tiny) as engine:
            w, controls, out = inputs(2)
            engine.infer(w, controls, out)
            pictures.append(out)
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1


def test_a_network_that_a_library_cannot_run_is_an_engine_error(tiny: Path) -> None:
    engine = OnnxRuntimeEngine(GeneratorModel(b"\x08\x0a", Sizes(1, 1, 1, 1), "fp32"))
    with pytest.raises(EngineError, match="refuses the graph"):
        engine.activate()
