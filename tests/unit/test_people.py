"""Characters of format 2: what opens, what is refused, who is drawn, and that a change of person costs no frame."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from engine_bridge.errors import CharacterError, EngineError, EngineUnavailable
from runtime.character import checked_files
from runtime.character.file import Character
from runtime.character.manifest import FrameSize
from runtime.character.person import Person
from runtime.character.writing import write_character
from runtime.engines import openvino
from runtime.engines.base import Engine
from runtime.engines.choice import candidates, open_engine
from runtime.engines.factory import EngineSettings, make_engine
from runtime.engines.first_load import ensure_tried
from runtime.engines.table import backend_of, unavailable
from tests.conftest import REPOSITORY
from tests.tiny_character import generator, members
from tests.tiny_engines import skip_for
from tests.tiny_people import (
    COLOURS,
    LATENT,
    NAMES,
    OPENED,
    SHIFT,
    SPREAD,
    animator,
    mapping,
    people_manifest,
    people_members,
    pictures,
    png,
    portrait,
    reader,
    write_people,
)
from training.precision.reduced import add_precisions

HEAD = (100, 100)  # a pixel of it
NO_OPENVINO = openvino.unavailable()
NO_BF16 = NO_OPENVINO or ("" if openvino.has_bf16() else "this processor has no bf16 instructions")
BACKENDS = [
    "onnxruntime",
    pytest.param("openvino", marks=pytest.mark.skipif(bool(NO_OPENVINO), reason=NO_OPENVINO)),
    *(pytest.param(name, marks=pytest.mark.gpu) for name in ("tensorrt", "tensorrt-rtx", "cuda")),
]
needs_bf16 = pytest.mark.skipif(bool(NO_BF16), reason=NO_BF16)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_people(tmp_path_factory.mktemp("people") / "people.bunraku")


@pytest.fixture(params=[*BACKENDS, pytest.param("openvino bf16", marks=needs_bf16)])
def patient(request: pytest.FixtureRequest, people: Path) -> Iterator[Engine]:
    backend, _, precision = request.param.partition(" ")
    with engine_of(people, backend, precision or "fp32", patient=True) as engine:
        yield engine


def engine_of(path: Path, backend: str = "onnxruntime", precision: str = "fp32", *, patient: bool = False) -> Engine:
    if backend_of(backend).on_gpu:
        skip_for(unavailable(backend))
    with Character.open(path) as character:
        (candidate,), _ = candidates(backend, character, precision)
        return make_engine(candidate, character, EngineSettings(threads=2, patient=patient))


def drawn(engine: Engine, shares: tuple[float, ...], **pose: float) -> npt.NDArray[np.uint8]:
    controls = np.zeros((1, len(NAMES)), np.float32)
    for name, value in pose.items():
        controls[0, NAMES.index(name)] = value
    about = engine.description
    out = np.empty((1, about.sizes.height, about.sizes.width, 4), np.uint8)
    engine.infer(np.array([shares], np.float32), controls, out)
    return out[0]


def test_it_reads_back_as_it_was_written(people: Path) -> None:
    with Character.open(people) as character:
        assert character.moves
        assert character.manifest.format == 2
        assert msgspec.structs.replace(character.manifest, files={}, format=1) == people_manifest()
        found = {name: character.read(name) for name in character.members if name != "character.json"}
        assert found.keys() == people_members().keys()
        assert list(found)[2:4] == ["people/0-back.png", "people/0-body.png"]
        role = character.role()
        np.testing.assert_array_equal(character.people[1].read().pixels, pictures("two"))  # nothing is half clear there
    assert role.latents.names == ("one", "two")
    assert not role.latents.has_mapping
    with pytest.raises(CharacterError, match="takes names, not seeds"):
        role.latents.identity(7)


def test_a_person_at_rest_is_the_drawing_and_moves_as_told(patient: Engine) -> None:
    for row, name in enumerate(COLOURS):
        shares = (1.0 - row, float(row))
        picture = drawn(patient, shares)
        solid = pictures(name)[2, ..., 3] > 0
        assert (picture[solid] == COLOURS[name]).all()
        turned = drawn(patient, shares, headYaw=30)
        right = round(SHIFT * 128)
        assert (turned[70:120, 70 + right : 120 + right] == COLOURS[name]).all()
        assert turned[100, 66, 3] == 0
        assert drawn(patient, shares, eyeBlinkLeft=1)[HEAD].tolist() == list(OPENED)


def test_who_has_the_largest_share_is_drawn_and_never_a_mixture(patient: Engine) -> None:
    for shares, name in (((0.9, 0.1), "one"), ((0.51, 0.49), "one"), ((0.49, 0.51), "two"), ((0.0, 1.0), "two")):
        assert drawn(patient, shares)[HEAD].tolist() == list(COLOURS[name])


def test_rows_of_a_batch_are_people_of_their_own(patient: Engine) -> None:
    out = np.empty((3, 256, 256, 4), np.uint8)
    shares = np.array([[0, 1], [1, 0], [0, 1]], np.float32)
    patient.infer(shares, np.zeros((3, len(NAMES)), np.float32), out)
    assert [tuple(picture[HEAD]) for picture in out] == [COLOURS["two"], COLOURS["one"], COLOURS["two"]]


def test_until_somebody_is_read_the_last_one_goes_on(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on = threading.Event()
    read = Person.read

    def slowly(self: Person):  # type: ignore[no-untyped-def]
        if "person 1" in self.where:
            assert may_go_on.wait(20)
        return read(self)

    monkeypatch.setattr(Person, "read", slowly)
    with engine_of(people) as engine:
        assert drawn(engine, (1, 0))[HEAD].tolist() == list(COLOURS["one"])
        for share in (0.1, 0.4, 0.6, 0.9):  # a walk to somebody who takes long to read
            assert drawn(engine, (1 - share, share))[HEAD].tolist() == list(COLOURS["one"])
        may_go_on.set()
        deadline = time.monotonic() + 20
        while drawn(engine, (0.05, 0.95))[HEAD].tolist() != list(COLOURS["two"]):
            assert time.monotonic() < deadline
        assert drawn(engine, (0, 1), eyeBlinkLeft=1)[HEAD].tolist() == list(OPENED)


def test_the_first_picture_is_of_whoever_is_wanted(people: Path, seeded: Path) -> None:
    with engine_of(people) as engine:
        assert drawn(engine, (0, 1))[HEAD].tolist() == list(COLOURS["two"])
    with Character.open(seeded) as character:
        seven = character.role().latents.identity(7)
    with engine_of(seeded) as engine:
        assert like(drawn(engine, tuple(seven)), imagined(tuple(seven[2:])))


def test_somebody_who_cannot_be_read_is_told_and_the_last_one_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {**people_members(), "people/1-head.png": png(pictures("two")[2])[:-40]}
    path = tmp_path / "half.bunraku"
    write_character(path, people_manifest(), files)
    with engine_of(path) as engine:
        for share in (0.0, 0.4, 0.8, 1.0, 1.0):
            assert drawn(engine, (1 - share, share))[HEAD].tolist() == list(COLOURS["one"])
        deadline = time.monotonic() + 20
        while not caplog.text:  # read in the background; frames do not wait for it
            assert time.monotonic() < deadline
            assert drawn(engine, (0, 1))[HEAD].tolist() == list(COLOURS["one"])
        for _ in range(20):  # it is logged once, and not retried
            assert drawn(engine, (0, 1))[HEAD].tolist() == list(COLOURS["one"])
    assert caplog.text.count("person 1 in half.bunraku: head cannot be read") == 1
    with engine_of(path, patient=True) as engine, pytest.raises(CharacterError, match="head cannot be read"):
        drawn(engine, (0, 1))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_is_still_heard_after_an_engine_has_gone(backend: str, people: Path) -> None:
    skip_for(unavailable(backend))
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.test_people import engine_of\n"
        "with engine_of(Path(sys.argv[1]), sys.argv[2]):\n"
        "    pass\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    print('heard')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(people), backend],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_what_people_are_moved_in_is_chosen_and_the_rest_refused(people: Path) -> None:
    with Character.open(people) as character:
        found, _ = candidates("auto", character)
        assert {candidate.precision for candidate in found} <= {"fp32", "bf16"}
        with pytest.raises(EngineUnavailable, match="it moves people in fp32 only"):
            candidates("onnxruntime", character, "bf16")
        with pytest.raises(CharacterError, match="has no int8 generator"):
            candidates("onnxruntime", character, "int8")
        with open_engine("synthetic", character) as choice:
            assert choice.role.width == 256


@needs_bf16
def test_motion_is_rounded_where_the_gate_found_no_harm(people: Path, tmp_path: Path) -> None:
    judged, refused = tmp_path / "judged.bunraku", tmp_path / "refused.bunraku"
    (report,) = add_precisions(people, judged, dataset=None)
    assert (report.precision, report.passed) == ("bf16", True)
    with Character.open(people) as before, Character.open(judged) as character:
        assert character.report()["precision"]["bf16"]["figures"][0]["psnr_p1_db"] > 38
        assert set(character.members) == {*before.members, "report.json"}
        assert str(candidates("openvino", character)[0][0]) == "openvino bf16"
    told = {"precision": {"bf16": {"passed": False}}}
    write_character(refused, people_manifest(), {**people_members(), "report.json": msgspec.json.encode(told)})
    with Character.open(refused) as character:
        assert [str(candidate) for candidate in candidates("openvino", character)[0]] == ["openvino fp32"]
        assert [str(candidate) for candidate in candidates("openvino", character, "bf16")[0]] == ["openvino bf16"]


def test_the_first_time_it_is_tried_in_a_process_of_its_own(
    people: Path, seeded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUNRAKU_CHECKED_FILES", str(tmp_path))
    for path in (people, seeded):
        with Character.open(path) as character:
            ensure_tried(character)
            assert checked_files.is_checked(character.digest)
    files = {**people_members(), "people/0-head.png": png(pictures("one")[2])[:-40]}
    write_character(tmp_path / "cut.bunraku", people_manifest(), files)
    with (
        Character.open(tmp_path / "cut.bunraku") as character,
        pytest.raises(CharacterError, match=r"cut.bunraku is refused.*head cannot be read"),
    ):
        ensure_tried(character)


def test_a_reader_with_non_finite_output_is_reported(tmp_path: Path) -> None:
    files = {**people_members(), "reader.onnx": reader(scale=float("inf"))}
    write_character(tmp_path / "bad.bunraku", people_manifest(), files)
    with pytest.raises(EngineError, match=r"reader.onnx finds numbers that are not finite in person 0 in bad.bunraku"):
        engine_of(tmp_path / "bad.bunraku").activate()


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_people(tmp_path_factory.mktemp("seeded") / "seeded.bunraku", seeds=True)


def imagined(latent: tuple[float, ...]) -> tuple[int, int, int]:
    """The colour of a head drawn by the tiny portrait generator."""
    red, green, blue, _ = np.array(latent) / np.sqrt(np.square(latent).mean()) * SPREAD + 128
    return round(red), round(green), round(blue)


def like(picture: npt.NDArray[np.uint8], colour: tuple[int, ...]) -> bool:
    return bool(np.abs(picture[HEAD][:3].astype(int) - colour[:3]).max() <= 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_seed_is_somebody_who_is_drawn_and_moved_like_the_others(seeded: Path, backend: str) -> None:
    with Character.open(seeded) as character:
        latents = character.role().latents
        assert (character.w_dim, character.latent_dim) == (2 + LATENT, LATENT)
    assert latents.has_mapping
    assert latents.identity("two").tolist() == [0, 1, 0, 0, 0, 0]
    seven, eight = latents.identity(7), latents.identity(8)
    assert seven.tolist()[:2] == [0, 0]
    with engine_of(seeded, backend, patient=True) as engine:
        assert like(drawn(engine, tuple(seven)), imagined(tuple(seven[2:])))
        assert like(drawn(engine, tuple(eight)), imagined(tuple(eight[2:])))
        assert drawn(engine, tuple(seven), eyeBlinkLeft=1)[HEAD].tolist() == list(OPENED)
        assert drawn(engine, (1, 0, 0, 0, 0, 0))[HEAD].tolist() == list(COLOURS["one"])


def test_the_way_to_a_seed_and_between_seeds_never_waits(seeded: Path) -> None:
    with Character.open(seeded) as character:
        latents = character.role().latents
    one, seven, eight = (latents.identity(key) for key in ("one", 7, 8))
    with engine_of(seeded) as engine:
        assert like(drawn(engine, tuple(one)), COLOURS["one"])
        for start, end, colour in (
            (one, seven, imagined(tuple(seven[2:]))),
            (seven, eight, imagined(tuple(eight[2:]))),
            (eight, one, COLOURS["one"]),
        ):
            for step in range(30):  # a walk; only whole people are shown
                picture = drawn(engine, tuple(latents.mixture(start, end, step / 29)))
                assert picture[HEAD][3] == 255
            deadline = time.monotonic() + 20
            while not like(drawn(engine, tuple(end)), colour):
                assert time.monotonic() < deadline


def test_a_portrait_generator_that_cannot_be_loaded_is_told_and_the_last_one_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "broken.bunraku"
    files = {**people_members(), "portrait.onnx": portrait(latent=LATENT), "mapping.onnx": mapping()}
    write_character(path, people_manifest(), files)
    engine = engine_of(path)
    engine._portrait_graph = b"nothing"  # type: ignore[attr-defined]  a library's refusal cannot be put into a file
    with engine:
        deadline = time.monotonic() + 20
        while "The last person stays on screen" not in caplog.text:
            assert time.monotonic() < deadline
            assert like(drawn(engine, (0, 0, 1, 1, 1, 1)), COLOURS["one"])
        while not like(drawn(engine, (0, 1, 0, 0, 0, 0)), COLOURS["two"]):  # everybody else still comes
            assert time.monotonic() < deadline


Files = dict[str, bytes]
OPAQUE = png(pictures("one")[2][..., :3])
WRONG: dict[str, tuple[Callable[[Files], Files], dict[str, object], str]] = {
    "no reader": (lambda files: without(files, "reader.onnx"), {}, "has no reader.onnx"),
    "no animator": (lambda files: without(files, "animator.onnx"), {"format": 2}, "has no animator.onnx"),
    "a picture too few": (lambda files: without(files, "people/1-front.png"), {}, "lacks people/1-front.png"),
    "a person for nobody": (
        lambda files: {**files, "people/2-head.png": files["people/1-head.png"]},
        {},
        "has, for nobody, people/2-head.png",
    ),
    "other sizes": (
        lambda files: {**files, "people/1-open.png": png(pictures("two", 512)[4])},
        {},
        r"person 1 in .*: open has 512x512 pixels; the character's frames have 256x256",
    ),
    "no alpha": (
        lambda files: {**files, "people/0-body.png": OPAQUE},
        {},
        "person 0 in .*: body is not an RGBA picture",
    ),
    "no picture": (
        lambda files: {**files, "people/0-body.png": b"GIF89a" * 9},
        {},
        "body is not an RGBA picture in PNG",
    ),
    "frames that cannot be": (lambda files: files, {"frame": FrameSize(300, 300)}, "squares of 256, 512, 1024 or 2048"),
    "people not counted": (lambda files: files, {"identities": {"one": 0, "two": 2}}, "does not count people from 0"),
    "a generator as well": (
        lambda files: {**files, "generator.onnx": generator(side=256).SerializeToString()},
        {},
        "has format 2, but its generator.onnx belongs to format 1",
    ),
    "parts of format 2 in format 1": (
        lambda files: {**members(side=256), "people/0-head.png": files["people/0-head.png"]},
        {"format": 1},
        "has format 1, but its people/0-head.png belongs to format 2",
    ),
    "other controls": (
        lambda files: {**files, "animator.onnx": animator(controls=len(NAMES) - 1)},
        {},
        rf"controls float32 \[N, {len(NAMES)}\].*but it has .*controls \[None, {len(NAMES) - 1}\]",
    ),
    "planes larger than the frame": (
        lambda files: {**files, "animator.onnx": animator(planes_px=512)},
        {},
        "animator.onnx in .* must take what reader.onnx gives",
    ),
    "a portrait generator without a mapping": (
        lambda files: {**files, "portrait.onnx": portrait()},
        {},
        "has portrait.onnx and no mapping.onnx: people from seeds need both",
    ),
    "a mapping without a portrait generator": (
        lambda files: {**files, "mapping.onnx": mapping()},
        {},
        "has mapping.onnx and no portrait.onnx",
    ),
    "portraits of another size": (
        lambda files: {**files, "portrait.onnx": portrait(side=512), "mapping.onnx": mapping()},
        {},
        r"portrait.onnx in .* must .* give references uint8 \[N, 6, 256, 256, 4\]",
    ),
    "a mapping to other latents": (
        lambda files: {**files, "portrait.onnx": portrait(), "mapping.onnx": mapping(latent=5)},
        {},
        r"mapping.onnx in .* must .* give w float32 \[N, 4\]",
    ),
    "a portrait generator in format 1": (
        lambda files: {**members(side=256), "portrait.onnx": portrait()},
        {"format": 1},
        "has format 1, but its portrait.onnx belongs to format 2",
    ),
    "a reader of something else": (
        lambda files: {**files, "reader.onnx": files["animator.onnx"]},
        {},
        "reader.onnx in .* must take references uint8",
    ),
}


def without(files: Files, name: str) -> Files:
    return {key: value for key, value in files.items() if key != name}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_together_is_named(what: str, tmp_path: Path) -> None:
    change, changes, words = WRONG[what]
    files = change(people_members())
    told = {
        **msgspec.to_builtins(people_manifest(**{k: v for k, v in changes.items() if k != "format"})),
        "format": changes.get("format", 2),
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()
        },
    }
    path = tmp_path / "wrong.bunraku"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {"character.json": msgspec.json.encode(told), **files}.items():
            archive.writestr(name, data)
    with pytest.raises(CharacterError, match=words):
        Character.open(path)


@pytest.mark.parametrize(
    "name", ["people/00-head.png", "people/0-hat.png", "people/../0-head.png", "people/1000-head.png"]
)
def test_pictures_of_other_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CharacterError, match="A character file has no member"):
        write_character(tmp_path / "x.bunraku", people_manifest(), {**people_members(), name: b"x"})
