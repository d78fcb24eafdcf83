"""Every compositor matches the trainer's definition, and survives any motion."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from engine_bridge.errors import CharacterError, EngineError
from runtime.composite import build, native, open_composite
from runtime.composite.base import CLEAR, KEEP, PLANES, SOLID, Composite
from runtime.composite.native import NativeComposite
from runtime.composite.plain import PlainComposite
from runtime.composite.references import GRID, REFERENCES, References, prepare

torch = pytest.importorskip("torch", reason="the definition is the trainer's: pip install bunraku[train]")

HEAD = REFERENCES.index("head")
TOLERANCE = 2  # of 255, premultiplied
Floats = npt.NDArray[np.float32]
needs_kernel = pytest.mark.skipif(bool(native.unavailable()), reason=f"no kernel: {native.unavailable()}")


class OldProcessor(NativeComposite):
    """The kernel as on a processor without AVX2."""

    def __init__(self) -> None:
        super().__init__(1)
        self._share = native._library().bunraku_composite_draw_of_any


WAYS = {
    "kernel": lambda: NativeComposite(1),
    "kernel, two threads": lambda: NativeComposite(2),
    "kernel, five threads": lambda: NativeComposite(5),
    "kernel, old processor": OldProcessor,
    "numpy": PlainComposite,
}


@pytest.fixture(params=[pytest.param(name, marks=needs_kernel if "kernel" in name else []) for name in WAYS])
def way(request: pytest.FixtureRequest) -> Iterator[Composite]:
    composite = WAYS[request.param]()
    yield composite
    composite.close()


def person(size: int, seed: int = 0) -> References:
    """Blots of colour with soft edges, and large clear areas."""
    noise = torch.from_numpy(np.random.default_rng(seed).normal(size=(len(REFERENCES), 4, 12, 12)).astype(np.float32))
    blots = torch.nn.functional.interpolate(noise, size=(size, size), mode="bicubic") * 200 + 60
    return prepare(np.ascontiguousarray(blots.clamp(0, 255).permute(0, 2, 3, 1).numpy().astype(np.uint8)))


def motion(planes_px: int, seed: int = 1) -> tuple[Floats, Floats]:
    """Smooth flows that also leave the picture, and masks that are closed in some places and open in others."""
    generator = np.random.default_rng(seed)
    flow = torch.from_numpy(generator.normal(size=(1, 2 * len(REFERENCES), 6, 6)).astype(np.float32)) * 0.2
    planes = torch.from_numpy(generator.normal(size=(1, len(PLANES), 9, 9)).astype(np.float32)) * 5
    flow = torch.nn.functional.interpolate(flow, size=(GRID, GRID), mode="bicubic")
    planes = torch.sigmoid(torch.nn.functional.interpolate(planes, size=(planes_px, planes_px), mode="bicubic"))
    planes[:, -4:] = planes[:, -4:] * 1.4 - 0.2
    return flow.view(len(REFERENCES), 2, GRID, GRID).numpy(), planes[0].numpy()


def defined(references: References, flow: Floats, planes: Floats) -> Floats:
    """The trainer's definition, with alpha stretched like in the runtime: premultiplied, 0..255."""
    from training.animator.composite import Motion, composite

    pixels = torch.from_numpy(references.pixels).permute(0, 3, 1, 2)[None].float() / 255
    picture = composite(pixels, Motion(torch.from_numpy(flow)[None], torch.from_numpy(planes)[None]))
    premultiplied = picture[0].permute(1, 2, 0).numpy()
    alpha = premultiplied[..., 3:]
    straight = np.where(alpha > 1 / 255, premultiplied[..., :3] / np.maximum(alpha, 1 / 255), 0).clip(0, 1)
    stretched = ((alpha - CLEAR) / (SOLID - CLEAR)).clip(0, 1)
    return np.concatenate([straight * stretched, stretched], -1) * 255


@functools.cache
def example(size: int, planes_px: int, seed: int) -> tuple[References, Floats, Floats, Floats]:
    """A person, their motion, and the expected picture."""
    references, (flow, planes) = person(size, seed), motion(planes_px, seed)
    return references, flow, planes, defined(references, flow, planes)


def premultiplied(straight: npt.NDArray[np.uint8]) -> Floats:
    picture = straight.astype(np.float32)
    picture[..., :3] *= picture[..., 3:] / 255
    return picture


def drawn(way: Composite, references: References, flow: Floats, planes: Floats) -> npt.NDArray[np.uint8]:
    out = np.full((references.size, references.size, 4), 77, np.uint8)
    way.draw(references, flow, planes, out)
    return out


@pytest.mark.parametrize(
    ("size", "planes_px", "seed"),
    [(256, 64, 1), (256, 64, 2), (256, 256, 3), (512, 128, 4), (1024, 128, 5)],
)
def test_it_meets_the_definition(way: Composite, size: int, planes_px: int, seed: int) -> None:
    check_the_definition(way, size, planes_px, seed)


@needs_kernel
def test_the_kernel_meets_the_definition_of_the_largest_picture() -> None:
    with contextlib.closing(NativeComposite(2)) as kernel:
        check_the_definition(kernel, 2048, 64, 6)


def check_the_definition(way: Composite, size: int, planes_px: int, seed: int) -> None:
    references, flow, planes, wanted = example(size, planes_px, seed)
    assert 0.1 < (wanted[..., 3] > 128).mean() < 0.95
    assert np.abs(premultiplied(drawn(way, references, flow, planes)) - wanted).max() <= TOLERANCE


def test_at_rest_a_drawing_comes_through_unchanged(way: Composite) -> None:
    straight = np.zeros((len(REFERENCES), 256, 256, 4), np.uint8)
    straight[HEAD, 40:200, 60:190] = np.random.default_rng(3).integers(0, 256, (160, 130, 4))
    straight[HEAD, ..., 3] = np.where(straight[HEAD, ..., 3] > 0, 255, 0)
    planes = np.zeros((len(PLANES), 64, 64), np.float32)
    planes[: len(KEEP)] = 1
    picture = drawn(way, prepare(straight), np.zeros((len(REFERENCES), 2, GRID, GRID), np.float32), planes)
    figure = straight[HEAD, ..., 3] > 0
    np.testing.assert_array_equal(picture[figure], straight[HEAD][figure])
    assert not picture[~figure, 3].any()


def test_clear_pixels_beside_the_figure_have_its_colour(way: Composite) -> None:
    straight = np.zeros((len(REFERENCES), 256, 256, 4), np.uint8)
    straight[1, 96:160, 96:160] = (200, 100, 50, 255)
    planes = np.ones((len(PLANES), 64, 64), np.float32)
    planes[[PLANES.index("open"), PLANES.index("drawn")]] = 0
    picture = drawn(way, prepare(straight), np.zeros((len(REFERENCES), 2, GRID, GRID), np.float32), planes)
    for y, x in ((95, 128), (160, 100), (130, 95), (130, 160)):
        assert picture[y, x].tolist() == [200, 100, 50, 0]
    assert not picture[:90].any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
@pytest.mark.filterwarnings("ignore:invalid value|overflow:RuntimeWarning")
def test_it_survives_motion_that_is_not_finite(way: Composite, value: float) -> None:
    references, (flow, planes) = person(256), motion(64)
    wild = flow.copy()
    wild[:, :, ::3] = value
    holes = planes.copy()
    holes[:, ::5] = value
    for arguments in ((wild, planes), (flow, holes), (wild, holes)):
        drawn(way, references, *arguments)
    assert np.abs(premultiplied(drawn(way, references, flow, planes)) - defined(references, flow, planes)).max() <= 2


def test_wrong_arrays_are_rejected(way: Composite) -> None:
    references, (flow, planes) = person(256), motion(64)
    out = np.empty((256, 256, 4), np.uint8)
    wrong = [
        (flow[:4], planes, out),
        (flow.astype(np.float64), planes, out),
        (flow, planes[:, :48, :48], out),
        (flow, motion(512)[1], out),
        (flow, planes, out[:128]),
        (flow, planes, out[::-1]),
    ]
    for arguments in wrong:
        with pytest.raises(EngineError, match=r"composite takes contiguous flow float32 \[6, 2, 64, 64\]"):
            way.draw(references, *arguments)  # type: ignore[arg-type]


def test_pictures_that_cannot_be_moved_are_rejected() -> None:
    for shape in ((5, 256, 256, 4), (6, 256, 256, 3), (6, 256, 4)):
        with pytest.raises(
            CharacterError, match=r"6 RGBA pictures of one size \(back, body, inner, head, front, open\)"
        ):
            prepare(np.zeros(shape, np.uint8))
    for shape in ((6, 300, 300, 4), (6, 256, 512, 4), (6, 128, 128, 4)):
        with pytest.raises(CharacterError, match=f"{shape[2]}x{shape[1]} pixels. They must be squares of 256, 512"):
            prepare(np.zeros(shape, np.uint8))


def test_the_kernel_is_used_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_kernel = open_composite(2)
    assert with_kernel.name == ("numpy" if native.unavailable() else "kernel")
    with_kernel.close()
    monkeypatch.setattr(native, "unavailable", lambda: "there is no kernel for haiku on m68k")
    assert open_composite(2).name == "numpy"
    assert "there is no kernel for haiku on m68k" in caplog.text


def test_libraries_are_built_from_this_source() -> None:
    told = dict(reversed(line.split()) for line in build.DIGESTS.read_text(encoding="utf-8").splitlines())
    assert told.pop("../kernel.c") == build.digest(build.SOURCE), "run python -m runtime.composite.build"
    assert set(told) == {name for name, _ in native.TARGETS.values()}
    for name, digest in told.items():
        assert build.digest(native.LIBRARIES / name) == digest


@pytest.mark.parametrize(("name", "target"), native.TARGETS.values())
def test_building_again_gives_the_same_bytes(
    name: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.environ.get("BUNRAKU_TEST_DOWNLOADS") != "1":
        pytest.skip("set BUNRAKU_TEST_DOWNLOADS=1 to fetch a compiler of 80 MB for this")
    packages, again = tmp_path / "packages", tmp_path / name
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(packages), f"ziglang=={build.ZIG}"]
    subprocess.run(command, check=True)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    build.build(target, again)
    assert again.read_bytes() == (native.LIBRARIES / name).read_bytes()
