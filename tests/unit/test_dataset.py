"""Data sets: they read back as written, and broken ones are refused with the location."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from training.cast import write_dataset
from training.data.dataset import GroupSampler, open_dataset, read_labels, shrink_premultiplied, split_frames
from training.data.folder import FolderMapping, import_folder, read_mapping
from training.errors import DatasetError


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cast data set: 18 named characters with 4 pictures, 10 invented ones with 3, 64 px."""
    out = tmp_path_factory.mktemp("data") / "cast"
    write_dataset(out, identities=10, frames_per_identity=3, named_frames=4, size_px=64, seed=5, workers=1)
    return out


@pytest.fixture
def copy(drawn: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(drawn, tmp_path / "copy", ignore=shutil.ignore_patterns(".cache"))
    return tmp_path / "copy"


def test_pictures_come_back_premultiplied_at_both_sizes(drawn: Path) -> None:
    full, half = open_dataset(drawn, 64, workers=1), open_dataset(drawn, 32, workers=1)
    assert full.pictures.shape == (18 * 4 + 30, 64, 64, 4)
    assert half.pictures.shape == (102, 32, 32, 4)
    assert (full.pictures[..., :3] <= full.pictures[..., 3:]).all()
    mean = full.pictures[7].reshape(32, 2, 32, 2, 4).mean((1, 3))
    assert np.abs(mean - half.pictures[7]).max() <= 1
    assert full.regions.min() >= 0
    assert full.regions.max() <= 1
    assert next(iter(full.named)) == "Aki"


def test_shrinking_does_not_stain_edges_with_hidden_colour() -> None:
    straight = np.zeros((2, 2, 4), np.uint8)
    straight[0, 0] = (200, 100, 50, 255)
    straight[1, 1] = (0, 255, 0, 0)
    assert shrink_premultiplied(straight, 1)[0, 0].tolist() == [50, 25, 13, 64]


def test_the_split_keeps_named_people_and_never_overlaps(drawn: Path) -> None:
    data = open_dataset(drawn, 32, workers=1)
    split = split_frames(data, holdout_identities=0.5, holdout_frames=0.3)
    parts = [split.train, split.unseen_controls, split.unseen_identities]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(data.pictures)))
    held = set(data.identity[split.unseen_identities].tolist())
    assert held
    assert held.isdisjoint(data.identity[split.train].tolist())
    assert held.isdisjoint(data.named.values())
    assert min(np.bincount(data.identity[split.train])[list(data.named.values())]) >= 2


def test_a_batch_depends_on_seed_and_step_alone_and_pairs_identities(drawn: Path) -> None:
    data = open_dataset(drawn, 32, workers=1)
    sampler = GroupSampler(data, np.arange(len(data.pictures)))
    batch = sampler.batch(16, named_share=0.5, seed=1, step=9)
    assert batch.tolist() == sampler.batch(16, named_share=0.5, seed=1, step=9).tolist()
    assert batch.tolist() != sampler.batch(16, named_share=0.5, seed=1, step=10).tolist()
    assert batch.tolist() != sampler.batch(16, named_share=0.5, seed=1, step=9, rank=1).tolist()
    assert (data.identity[batch[0::2]] == data.identity[batch[1::2]]).all()
    assert (batch[0::2] != batch[1::2]).all()
    named = set(data.named.values())
    for share in (0.0, 1.0):
        drawn_people = data.identity[sampler.batch(64, named_share=share, seed=1, step=9)].tolist()
        assert {person in named for person in drawn_people} == ({True} if share else {True, False})


def _edit_line(path: Path, number: int, change: dict[str, object]) -> None:
    lines = path.read_text().splitlines()
    lines[number] = json.dumps({**json.loads(lines[number]), **change})
    path.write_text("\n".join(lines) + "\n")


def test_broken_labels_are_refused_with_their_line(copy: Path) -> None:
    frames = copy / "frames.jsonl"
    whole = frames.read_text()
    first = json.loads(whole.splitlines()[0])
    for change, names in (
        ({"controls": [1.0]}, "line 4: needs"),
        ({"controls": ["x"]}, "line 4"),
        ({"identity": 999}, "line 4: identity 999"),
        ({"shard": "other.zip"}, "line 4: the shard other.zip"),
        ({"shard": first["shard"], "file": first["file"]}, "line 4.*twice"),
    ):
        _edit_line(frames, 3, change)
        with pytest.raises(DatasetError, match=names):
            read_labels(copy)
        frames.write_text(whole)
    frames.write_text(whole + '{"shard": "sha')
    with pytest.raises(DatasetError, match="line 103"):
        read_labels(copy)
    frames.write_text("")
    with pytest.raises(DatasetError, match="no pictures"):
        read_labels(copy)


@pytest.mark.parametrize("name", ["a\x1b[2J", "x" * 81, "a\u202eb", " "])
def test_a_name_that_no_character_can_have_is_refused_before_training(copy: Path, name: str) -> None:
    _edit_line(copy / "identities.jsonl", 0, {"name": name})
    with pytest.raises(DatasetError, match=r"identities\.jsonl.*1 to 80 characters"):
        read_labels(copy)


@pytest.mark.parametrize(
    "change",
    [{"minimum": 30.0}, {"maximum": -30.0, "minimum": 30.0}, {"rest": 31.0}, {"maximum": 1e300}],
    ids=["no range", "upside down", "rest outside", "beyond float32"],
)
def test_a_control_that_cannot_be_learnt_is_refused(copy: Path, change: dict[str, float]) -> None:
    manifest = json.loads((copy / "dataset.json").read_text())
    assert manifest["controls"][0]["maximum"] == 30.0
    manifest["controls"][0] |= change
    (copy / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match="headYaw"):
        read_labels(copy)


def test_other_formats_and_empty_folders_are_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"dataset\.json is missing"):
        read_labels(tmp_path / "empty")
    manifest = json.loads((copy / "dataset.json").read_text())
    (copy / "dataset.json").write_text(json.dumps({**manifest, "format": 2}))
    with pytest.raises(DatasetError, match="format 2"):
        read_labels(copy)
    (copy / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match="cannot become 48 px"):
        open_dataset(copy, 48, workers=1)


@pytest.mark.parametrize("torn", [True, False], ids=["torn", "of another size"])
def test_a_bad_picture_is_named(copy: Path, torn: bool) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (32, 32), "red").save(buffer, "PNG")
    shard = copy / "shard-00000.zip"
    with zipfile.ZipFile(shard) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[sorted(members)[5]] = b"no picture" if torn else buffer.getvalue()
    with zipfile.ZipFile(shard, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(DatasetError, match="0000005.*cannot be used" if torn else "0000005.*32x32"):
        open_dataset(copy, 64, workers=1)
    assert not list((copy / ".cache").glob("*.u8"))


def _frames(folder: Path, rows: list[dict[str, object]], *, mode: str = "RGBA", sizes: tuple[int, ...] = (32,)) -> Path:
    folder.mkdir()
    for index, row in enumerate(rows):
        size_px = sizes[index % len(sizes)]
        Image.new(mode, (size_px, size_px), f"#ff{index:02x}00").save(folder / str(row["picture"]))
    (folder / "table.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return folder


def _mapping(folder: Path) -> FolderMapping:
    path = folder.parent / "mapping.toml"
    path.write_text(
        'name = "t"\nlicence = "CC0-1.0"\nauthor = "me"\ntable = "table.jsonl"\npicture = "picture"\nidentity = "who"\n'
        "[controls]\n"
        'headYaw = { column = "turn", scale = -10, minimum = -30, maximum = 30 }\n'
        "[regions.mouth]\nbox = [0.25, 0.5, 0.75, 0.875]\nfollow = { headYaw = [0.0125, -0.00625] }\n"
    )
    return read_mapping(path)


ROWS: list[dict[str, object]] = [
    {"picture": "a.png", "turn": 1.5, "who": "ann"},
    {"picture": "b.png", "turn": -9, "who": "bob"},
    {"picture": "c.png", "turn": 0, "who": "ann"},
]


def test_a_folder_with_parameters_becomes_a_data_set(tmp_path: Path) -> None:
    source = _frames(tmp_path / "in", ROWS)
    said: list[str] = []
    import_folder(source, _mapping(source), tmp_path / "out", note=said.append)
    assert said == [
        "values of turn outside headYaw's range -30 to 30 are clipped to it, the farthest is 90: 1, first line 2"
    ]
    data = open_dataset(tmp_path / "out", 32, workers=1)
    assert data.controls[:, 0].tolist() == [-15, 30, 0]
    assert data.identity.tolist() == [0, 1, 0]
    assert data.regions[2, 2].tolist() == [0.25, 0.5, 0.75, 0.875]  # at rest
    assert data.regions[0, 2].tolist() == [0.0625, 0.59375, 0.5625, 0.96875]  # 15 degrees to one side
    assert data.regions[1, 2].tolist() == [0.625, 0.3125, 1.0, 0.6875]  # and cut off by the picture's edge
    assert data.pictures[0, 0, 0].tolist() == [255, 0, 0, 255]


def test_a_bad_folder_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    cases: list[tuple[list[dict[str, object]], dict[str, object], str]] = [
        (ROWS, {"mode": "RGB"}, "no alpha"),
        (ROWS, {"sizes": (32, 64)}, "64 px wide, the ones before it 32 px"),
        ([*ROWS, ROWS[0]], {}, "line 4: a.png appears already on line 1"),
        ([{**ROWS[0], "turn": "left"}], {}, "'left', which is not a number"),
        ([{**ROWS[0], "turn": float("nan")}], {}, "line 1"),
        ([{"picture": "a.png", "who": "ann"}], {}, "no column turn"),
    ]
    for number, (rows, options, names) in enumerate(cases):
        source = _frames(tmp_path / f"in{number}", rows, **options)  # type: ignore[arg-type]
        out = tmp_path / f"out{number}"
        with pytest.raises(DatasetError, match=names):
            import_folder(source, _mapping(source), out)
        assert not out.exists()
        assert not list(tmp_path.glob(".out*"))
    source = _frames(tmp_path / "gone", ROWS)
    (source / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"b\.png is in the table but not in the folder"):
        import_folder(source, _mapping(source), tmp_path / "out")
    (source / "b.png").write_bytes(b"torn")
    with pytest.raises(DatasetError, match=r"line 2.*b\.png cannot be read"):
        import_folder(source, _mapping(source), tmp_path / "out")
    (source / "table.jsonl").write_text("")
    with pytest.raises(DatasetError, match="no rows"):
        import_folder(source, _mapping(source), tmp_path / "out")
    (source / "table.jsonl").write_text(json.dumps({**ROWS[0], "picture": "../a.png"}))
    with pytest.raises(DatasetError, match="outside the folder"):
        import_folder(source, _mapping(source), tmp_path / "out")


def test_a_region_that_cannot_be_is_refused(tmp_path: Path) -> None:
    for regions, names in (
        ("mouth = { box = [0.5, 0.5, 0.4, 0.6] }", r"regions\.mouth has box \[0\.5, 0\.5, 0\.4, 0\.6\]"),
        ("mouth = { box = [0.4, 0.5, 0.5, 1.6] }", "within 0..1"),
        ("mouth = { box = [0.4, 0.5, 0.5, 0.6], follow = { jawOpen = [0, 1] } }", "follows jawOpen"),
        ("nose = { box = [0.4, 0.5, 0.5, 0.6] }", "nose"),
    ):
        path = tmp_path / "mapping.toml"
        path.write_text(f'name = "t"\nlicence = "CC0-1.0"\nauthor = "me"\n[controls]\n[regions]\n{regions}\n')
        with pytest.raises(DatasetError, match=names):
            read_mapping(path)


def test_people_bring_their_attributes_from_a_list(tmp_path: Path) -> None:
    source = _frames(tmp_path / "in", ROWS)
    mapping = msgspec.structs.replace(_mapping(source), identities="people.json")
    people = [{"who": "bob", "hair": [0.1, 0.2, 0.3], "tall": True}, {"who": "ann", "hair": [0.3, 0.2, 0.1]}]
    (source / "people.json").write_text(json.dumps(people))
    with pytest.warns(UserWarning, match="Bunraku, in: values of turn outside"):
        import_folder(source, mapping, tmp_path / "out")
    _, identities, _, _ = read_labels(tmp_path / "out")
    assert [row.attributes for row in identities] == [
        {"hair": [0.3, 0.2, 0.1]},
        {"hair": [0.1, 0.2, 0.3], "tall": True},
    ]
    for text, names in (
        (json.dumps(people[:1]), "people.json says nothing about ann"),
        ("[3]", "must be a JSON list of people, each with who"),
        ('[{"name": "ann"}]', "each with who"),
    ):
        (source / "people.json").write_text(text)
        with pytest.raises(DatasetError, match=names):
            import_folder(source, mapping, tmp_path / "again")
        assert not (tmp_path / "again").exists()


def test_pictures_without_alpha_are_taken_when_asked_for(tmp_path: Path) -> None:
    source = _frames(tmp_path / "in", ROWS, mode="RGB")
    import_folder(source, _mapping(source), tmp_path / "out", opaque=True, note=lambda _: None)
    assert open_dataset(tmp_path / "out", 32, workers=1).pictures[..., 3].min() == 255


@pytest.mark.parametrize(("name", "folder"), [("godette", "iid_4000"), ("godette_identities", "identities_96x16")])
def test_the_shipped_mappings_fit_the_shared_frames(shared_data: Path, name: str, folder: str) -> None:
    from training.data.folder import _read_table  # the mapping alone, without copying thousands of pictures
    from training.recipe import RECIPES

    mapping = read_mapping(RECIPES / "mappings" / f"{name}.toml")
    _, row = next(iter(_read_table(shared_data / "godette_vrm" / folder / mapping.table)))
    assert {column.column for column in mapping.controls.values()} <= set(row)
