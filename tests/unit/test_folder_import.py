"""Real-world folders: tables from spreadsheets, names from other systems, mappings with mistakes."""

from __future__ import annotations

import io
import json
import os
import sys
import unicodedata
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from training.data.dataset import decode_picture, open_dataset, read_labels
from training.data.folder import import_folder, read_mapping
from training.errors import DatasetError, RecipeError
from training.recipe import load_recipe

HEAD = 'name = "t"\nlicence = "CC0-1.0"\nauthor = "me"\n'
YAW = HEAD + 'table = "t.jsonl"\n[controls]\nheadYaw = { column = "yaw", minimum = -30, maximum = 30 }\n'
WHO = YAW.replace("[controls]", 'identity = "who"\n[controls]')

Rows = list[dict[str, Any]]


def rows(count: int = 4, **more: Any) -> Rows:
    return [{"file": f"{i}.png", "yaw": 8.0 * i - 12, **more} for i in range(count)]


class Folder:
    """A folder to import, and its notes."""

    def __init__(self, place: Path, table: Rows | str | bytes, mapping: str = YAW, *, name: str = "t.jsonl") -> None:
        self.source = place / "in"
        self.source.mkdir()
        self.said: list[str] = []
        self.place = place
        (self.source / "mapping.toml").write_text(mapping, encoding="utf-8")
        if isinstance(table, list):
            for row in table:
                if isinstance(row.get("file"), str):
                    self.draw(row["file"])
            table = "\n".join(map(json.dumps, table)) + "\n"
        (self.source / name).write_bytes(table if isinstance(table, bytes) else table.encode())

    def draw(self, name: str) -> Path:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = zlib.crc32(name.encode()) & 0xFFFFFF
        Image.new("RGBA", (8, 8), f"#{colour:06x}").save(path, "PNG")
        return path

    def take(self) -> list[list[float]]:
        """Import; the controls of every frame."""
        out = self.place / "out"
        import_folder(self.source, read_mapping(self.source / "mapping.toml"), out, note=self.said.append)
        return [list(row.controls) for row in read_labels(out)[2]]

    def refused(self, words: str) -> None:
        with pytest.raises(DatasetError, match=words):
            self.take()
        assert not (self.place / "out").exists()
        assert not list(self.place.glob(".out*"))


PLAIN = "file,yaw,who\n0.png,-12.5,ann\n1.png,4.25,bob\n"
FORMS = {
    "as it is": PLAIN,
    "semicolons and decimal commas": PLAIN.replace(",", ";").replace(".5", ",5").replace(".25", ",25"),
    "quoted decimal commas": PLAIN.replace("-12.5", '"-12,5"').replace("4.25", '"4,25"'),
    "tabs": PLAIN.replace(",", "\t"),
    "a sep line": "sep=,\n" + PLAIN,
    "empty columns": PLAIN.replace("\n", ",,\n"),
    "lines of Windows": PLAIN.replace("\n", "\r\n"),
    "spaces around names": PLAIN.replace("file,yaw,who", " file , yaw,who "),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["t.csv", "t.CSV"])
def test_a_table_that_a_spreadsheet_saved_is_read_the_same(tmp_path: Path, form: str, encoding: str, name: str) -> None:
    folder = Folder(tmp_path, FORMS[form].encode(encoding), WHO.replace("t.jsonl", name), name=name)
    folder.draw("0.png")
    folder.draw("1.png")
    assert folder.take() == [[-12.5], [4.25]]
    assert folder.said == []
    identities = read_labels(tmp_path / "out")[1]
    assert [row.attributes for row in identities] == [{"source": "ann"}, {"source": "bob"}]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_json_mappings_people_and_recipes_may_have_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    mapping = WHO.replace("[controls]", 'identities = "people.json"\n[controls]')
    folder = Folder(tmp_path, "\r\n".join(map(json.dumps, rows(2, who="ann"))).encode(encoding), mapping)
    (folder.source / "mapping.toml").write_bytes(mapping.encode(encoding))
    (folder.source / "people.json").write_bytes('[{"who": "ann", "hair": "röd"}]'.encode(encoding))
    folder.draw("0.png")
    folder.draw("1.png")
    assert folder.take() == [[-12.0], [-4.0]]
    assert read_labels(tmp_path / "out")[1][0].attributes == {"hair": "röd"}
    recipe = tmp_path / "recipe.toml"
    recipe.write_bytes(
        'name = "r"\ntask = "decoder"\n[data]\npath = "d"\n[[stage]]\nkimg = 1\nsize_px = 256\n'.encode(encoding)
    )
    assert load_recipe(recipe).name == "r"


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.integers(-2999, 2999), min_size=2, max_size=5),
    separator=st.sampled_from(";\t|"),
    mark=st.sampled_from(".,"),
    encoding=st.sampled_from(["utf-8", "utf-16"]),
)
def test_no_locale_changes_a_value(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], separator: str, mark: str, encoding: str
) -> None:
    from training.data.folder import _read_table  # the table alone, without pictures for every example

    lines = [
        f"{i}.png{separator}{value / 100:.2f}".replace(".", mark).replace(f"{mark}png", ".png")
        for i, value in enumerate(values)
    ]
    path = tmp_path_factory.getbasetemp() / "locale.csv"
    path.write_bytes("\n".join([f"file{separator}yaw", *lines]).encode(encoding))
    table = _read_table(path, ("file", "yaw"), ("yaw",))
    assert [float(row["yaw"]) for _, row in table] == [value / 100 for value in values]
    assert [row["file"] for _, row in table] == [f"{i}.png" for i in range(len(values))]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("file,yaw\n0.png,1\n1.png,\n", r"t\.csv, line 3: yaw is empty or missing"),
        ("file,yaw\n0.png,1\n1.png\n", "line 3: yaw is empty or missing"),
        ("file,yaw\n0.png,left\n", "line 2: yaw is 'left', which is not a number"),
        ("file,yaw\n0.png,1_0\n", "line 2: yaw is '1_0', which is not a number"),
        ("file,yaw\n0.png,12 %\n", "line 2: yaw is '12 %', which is not a number"),
        ("file,yaw\n0.png,inf\n", "line 2: yaw is 'inf', which is not a number"),
        ("file,yaw\n0.png,1,5\n", "line 2: it has 3 cells, but the first line names 2 columns"),
        ('file,yaw\n0.png,"1,234"\n', "line 2.*thousands or decimals"),
        ("file,yaw,yaw\n0.png,1,2\n", 'line 1: the column "yaw" appears twice'),
        ("file,jaw\n0.png,1\n", r'no column yaw, which the mapping names for controls\.headYaw\. Did you mean "jaw"'),
        ("file,yaw\n0.png," + "9" * 140_000 + "\n", "line 2: field larger than"),
        ("file,yaw\n", "no rows"),
        ("", "no rows"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(tmp_path: Path, table: str, words: str) -> None:
    folder = Folder(tmp_path, table, YAW.replace("t.jsonl", "t.csv"), name="t.csv")
    folder.draw("0.png")
    folder.draw("1.png")
    folder.refused(words)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (None, "line 2: yaw is empty or missing"),
        ("", "line 2: yaw is empty or missing"),
        ("0,5", "line 2: yaw is '0,5', which is not a number"),
        ([1], "line 2: yaw is '.1.', which is not a number"),
        (10**400, "line 2"),
    ],
)
def test_a_json_cell_that_is_not_a_number_is_refused_with_its_line(tmp_path: Path, cell: object, words: str) -> None:
    table = rows(3)
    table[1]["yaw"] = cell
    Folder(tmp_path, table).refused(words)


def test_a_table_that_is_not_text_is_refused(tmp_path: Path) -> None:
    Folder(tmp_path, '{"file": "a.png", "who": "Zoë"}'.encode("cp1252")).refused("is not text.*Save it as UTF-8")


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ('headYav = { column = "yaw", minimum = -30, maximum = 30 }', 'no control "headYav". Did you mean "headYaw"'),
        ('eyeBlink_L = { column = "yaw", minimum = 0, maximum = 1 }', 'Did you mean "eyeBlinkLeft"'),
        ('"Mouth Smile_R" = { column = "yaw", minimum = 0, maximum = 1 }', 'Did you mean "mouthSmileRight"'),
        ('headYaw = { column = "yaw", minimum = 30, maximum = -30 }', "minimum 30 and maximum -30"),
        ('headYaw = { column = "yaw", minimum = 0, maximum = 0 }', "minimum 0 and maximum 0"),
        ('headYaw = { column = "yaw", minimum = -inf, maximum = inf }', "finite"),
        ('headYaw = { column = "yaw", minimum = nan, maximum = 30 }', "finite"),
        ('headYaw = { column = "yaw", minimum = -30, maximum = 30, rest = 90 }', "rests at 90, outside"),
        ('jawOpen = { column = "yaw", minimum = 0.2, maximum = 1 }', "rests at 0, outside"),
        ('headYaw = { column = "yaw", minimum = -30, maximum = 30, scale = 0 }', "scale other than 0"),
        ('headYaw = { column = "yaw", minimum = -30, maximum = 30, offset = inf }', "finite"),
        ('jawOpen = { column = "yaw", minimum = 0, maximum = 100 }', r"drivers move it from 0 to 1.*scale.*percent"),
        ('headYaw = { column = "yaw", minimum = -1000, maximum = 1000 }', "angle in degrees"),
        ("", "there are no controls"),
    ],
)
def test_a_mapping_that_cannot_become_a_character_is_refused(tmp_path: Path, control: str, words: str) -> None:
    Folder(tmp_path, rows(), HEAD + 'table = "t.jsonl"\n[controls]\n' + control).refused(words)


def test_the_same_mistakes_are_refused_when_a_data_set_is_opened(tmp_path: Path) -> None:
    Folder(tmp_path, rows()).take()
    path = tmp_path / "out" / "dataset.json"
    whole = json.loads(path.read_text())
    control = whole["controls"][0]
    for change, words in (
        ({"controls": []}, r"dataset\.json: there are no controls"),
        ({"controls": [{**control, "name": "yaw"}]}, 'no control "yaw"'),
        ({"controls": [control, control]}, "appears twice"),
        ({"controls": [{**control, "minimum": 30}]}, "minimum 30"),
        ({"controls": [{**control, "rest": 31}]}, "rests at 31"),
        (
            {"controls": [{**control, "maximum": 5}]},
            r"frames\.jsonl, line 4: headYaw is 12, outside its range -30 to 5",
        ),
        ({"frames": 5}, r"frames\.jsonl has 4 lines, but dataset\.json says 5"),
        ({"identities": 2}, r"identities\.jsonl has 1 lines, but dataset\.json says 2"),
    ):
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(DatasetError, match=words):
            open_dataset(tmp_path / "out", 8, workers=1)


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        ({"column": "jaw", "minimum": 0, "maximum": 1}, "line 2: jaw gives jawOpen the value 40, and 3 of 4 rows"),
        ({"column": "jaw", "minimum": 0, "maximum": 1, "scale": 0.1}, "line 2: jaw gives jawOpen the value 4"),
    ],
)
def test_a_range_that_does_not_fit_the_data_is_refused(tmp_path: Path, scale: dict[str, float], words: str) -> None:
    table = [{**row, "jaw": jaw} for row, jaw in zip(rows(), (0, 40, 30, 20), strict=True)]
    fields = ", ".join(f"{key} = {json.dumps(value)}" for key, value in scale.items())
    Folder(tmp_path, table, YAW + f"jawOpen = {{ {fields} }}\n").refused(words)


def test_what_is_cut_or_cannot_be_learnt_is_told(tmp_path: Path) -> None:
    table = [{**row, "jaw": 0.5, "roll": 0.01 * i} for i, row in enumerate(rows(9))]
    mapping = YAW + (
        'jawOpen = { column = "jaw", minimum = 0, maximum = 1 }\n'
        'headRoll = { column = "roll", minimum = -20, maximum = 20 }\n'
        'bodyYaw = { column = "yaw", minimum = -15, maximum = 60 }\n'
        'eyeBlinkLeft = { column = "yaw", scale = 0.01, offset = 0.2, minimum = 0, maximum = 1 }\n'
    )
    folder = Folder(tmp_path, table, mapping)
    assert max(row[0] for row in folder.take()) == 30.0
    told = "\n".join(folder.said)
    assert (
        "values of yaw outside headYaw's range -30 to 30 are clipped to it, the farthest is 52: 3, first line 7" in told
    )
    assert "jaw is constant (0.5), so jawOpen cannot be learnt" in told
    assert "roll moves headRoll by only 0.08 of its range" in told
    assert "one column moves two controls: 2, first yaw for headYaw and bodyYaw" in told
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["notes"] == folder.said


def test_a_range_in_radians_is_questioned(tmp_path: Path) -> None:
    table = [{**row, "yaw": 0.1 * i} for i, row in enumerate(rows())]
    folder = Folder(tmp_path, table, YAW.replace("30", "0.5"))
    folder.take()
    assert folder.said == [
        "headYaw is in degrees and moves by only 1; `scale` is 57.2958 for radians: 1, first [controls]"
    ]


def test_one_blink_for_both_eyes_is_nothing_odd(tmp_path: Path) -> None:
    table = [{**row, "blink": i / 3} for i, row in enumerate(rows())]
    blink = '= { column = "blink", minimum = 0, maximum = 1 }\n'
    folder = Folder(tmp_path, table, YAW + f"eyeBlinkLeft {blink}eyeBlinkRight {blink}")
    folder.take()
    assert folder.said == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, 'no column who, which the mapping names for identity. Did you mean "whom"'),
        ({"who": ""}, "line 1: the identity column who is empty"),
        ({"who": "  "}, "line 1: the identity column who is empty"),
        ({"who": None}, "line 1: the identity column who is empty"),
        ({"who": True}, "line 1: the identity column who is True"),
        ({"who": 1.5}, "line 1: the identity column who is 1.5"),
    ],
)
def test_people_are_never_merged_by_a_missing_name(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    Folder(tmp_path, rows(4, whom="ann", **change), WHO).refused(words)


def test_an_empty_name_in_one_row_is_refused(tmp_path: Path) -> None:
    table = rows(4, who="ann")
    table[2]["who"] = ""
    Folder(tmp_path, table, WHO).refused("line 3: the identity column who is empty")


def test_a_column_of_people_that_no_mapping_names_is_told(tmp_path: Path) -> None:
    table = [{**row, "person": "ann" if i < 2 else "bob"} for i, row in enumerate(rows())]
    folder = Folder(tmp_path, table)
    folder.take()
    assert folder.said == [
        "all pictures count as one person, but a column may say who it is (`identity`): 1, first person"
    ]


def test_names_that_look_alike_are_told(tmp_path: Path) -> None:
    table = rows(6)
    for row, who in zip(table, ("Zoë", unicodedata.normalize("NFD", "Zoë"), " Zoë ", "zoë", 1, 1.0), strict=True):
        row["who"] = who
    folder = Folder(tmp_path, table, WHO)
    folder.take()
    assert [row.attributes["source"] for row in read_labels(tmp_path / "out")[1]] == ["Zoë", "zoë", "1"]
    assert folder.said == ['names that differ only in case or spaces count as two people: 1, first "Zoë", "zoë"']


def test_a_person_for_every_picture_is_told(tmp_path: Path) -> None:
    table = [{**row, "who": i} for i, row in enumerate(rows())]
    folder = Folder(tmp_path, table, WHO)
    folder.take()
    assert "every picture is a separate person by the column who" in folder.said[0]


def test_a_list_of_people_with_doubles_is_refused_and_extras_are_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path, rows(4, who="ann"), WHO.replace("[controls]", 'identities = "p.json"\n[controls]'))
    people = folder.source / "p.json"
    people.write_text('[{"who": "ann"}, {"who": "ann"}]')
    folder.refused(r"p\.json: ann appears twice")
    people.write_text('[{"who": "anne"}]')
    folder.refused('says nothing about ann. Did you mean "anne"')
    people.write_text('[{"who": "ann"}, {"who": "bob"}]')
    folder.take()
    assert folder.said == ["people of p.json without a picture: 1, first bob"]


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("frames\\a.png", "frames/a.png"),
        (".\\frames\\a.png", "frames/a.png"),
        ("./frames/a.png", "frames/a.png"),
        (unicodedata.normalize("NFC", "é/ü.png"), unicodedata.normalize("NFD", "é/ü.png")),
        (unicodedata.normalize("NFD", "é/ü.png"), unicodedata.normalize("NFC", "é/ü.png")),
    ],
)
def test_a_name_of_another_system_is_found(tmp_path: Path, written: str, there: str) -> None:
    folder = Folder(tmp_path, json.dumps({"file": written, "yaw": 3}))
    folder.draw(there)
    assert folder.take() == [[3.0]]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("b.png", 'line 1: the picture .*b.png is in the table but not in the folder. Did you mean "a.png"'),
        ("A.PNG", 'Did you mean "a.png"'),
        (" a.png", 'Did you mean "a.png"'),
        ("frames/a.png", "not in the folder"),
        ("../a.png", "outside the folder"),
        ("..\\a.png", "outside the folder"),
        ("/a.png", "outside the folder"),
        ("C:\\a.png", "outside the folder"),
        ("\\\\server\\share\\a.png", "outside the folder"),
        ("a.png\0", "NUL in its name"),
        ("a" * 5000, "not in the folder"),
        (7, "no picture in column file"),
    ],
)
def test_a_name_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path, written: object, words: str) -> None:
    folder = Folder(tmp_path, json.dumps({"file": written, "yaw": 3}))
    if folder.draw("a.png").with_name("A.PNG").exists() and written == "A.PNG":
        pytest.skip("this disk does not tell capitals apart")
    folder.refused(words)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_colon_or_backslash_in_a_name_is_not_a_drive_if_the_file_exists(tmp_path: Path) -> None:
    folder = Folder(tmp_path, [{"file": "a:1.png", "yaw": 1}, {"file": "b\\1.png", "yaw": 2}])
    assert folder.take() == [[1.0], [2.0]]


def test_one_picture_under_two_names_is_refused(tmp_path: Path) -> None:
    table = rows(2)
    table[1]["file"] = "./0.png"
    Folder(tmp_path, table).refused(r"line 2: \./0\.png appears already on line 1")


def test_pictures_that_are_the_same_or_not_named_are_told(tmp_path: Path) -> None:
    folder = Folder(tmp_path, rows())
    (folder.source / "1.png").write_bytes((folder.source / "0.png").read_bytes())
    folder.draw("new.PNG")
    for hidden in (".DS_Store", "._0.png", "Thumbs.db", "desktop.ini"):
        (folder.source / hidden).write_bytes(b"\0")
    folder.take()
    assert folder.said == [
        "pictures that the table does not name are left out: 1, first new.PNG",
        "pictures that show the same as another one: 1, first 1.png and 0.png",
    ]


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="symbolic links need rights on Windows")
def test_links_that_go_in_circles_do_no_harm(tmp_path: Path) -> None:
    folder = Folder(tmp_path, rows(2))
    (folder.source / "loop").symlink_to(folder.source, target_is_directory=True)
    (folder.source / "self.png").symlink_to("self.png")
    assert len(folder.take()) == 2
    (tmp_path / "out").rename(tmp_path / "first")
    (folder.source / "t.jsonl").write_text(json.dumps({"file": "self.png", "yaw": 0}))
    folder.refused("line 1: the picture .*self.png cannot be read")


def test_what_was_done_to_pictures_is_counted(tmp_path: Path) -> None:
    folder = Folder(tmp_path, rows())
    exif = Image.Exif()
    exif[0x0112] = 6
    for index in (1, 3):
        Image.new("RGBA", (8, 8), (index, 0, 0, 255)).save(folder.source / f"{index}.png", exif=exif)
    folder.take()
    assert folder.said == ["picture that is turned as its EXIF orientation says: 2, first 1.png (line 2)"]


def test_a_bad_picture_names_file_line_and_cure(tmp_path: Path) -> None:
    folder = Folder(tmp_path, rows())
    (folder.source / "2.png").write_bytes(b"")
    folder.refused(r"t\.jsonl, line 3: the picture .*2\.png cannot be read: it is empty.*remove its line")
    Image.new("RGBA", (8, 9)).save(folder.source / "2.png")
    folder.refused(r"line 3: the picture .*2\.png is 8x9 px; pictures must be square")
    Image.new("RGBA", (16, 16)).save(folder.source / "2.png")
    folder.refused("line 3.* is 16 px wide, the ones before it 8 px")


def test_stored_pictures_that_an_import_would_have_changed_are_refused(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = Image.new("RGBA", (8, 8), "red")
    for picture, options in (
        (plain, {"exif": exif}),
        (plain, {"save_all": True, "append_images": [Image.new("RGBA", (8, 8), "blue")]}),
        (plain.convert("P"), {"transparency": 0}),
        (plain.convert("RGB"), {"transparency": (255, 0, 0)}),
        (Image.fromarray(np.zeros((8, 8), np.uint16)), {}),
    ):
        stream = io.BytesIO()
        picture.save(stream, "PNG", **options)
        with pytest.raises(ValueError, match="not one upright RGBA picture"):
            decode_picture(stream.getvalue(), 8)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.txt", "file,yaw\n0.png,3\n"),
        ("t.tsv", "file\tyaw\n0.png\t3\n"),
        ("t.csv", '{"file": "0.png", "yaw": 3}\n'),
        ("t.JSONL", '{"file": "0.png", "yaw": 3}\n'),
    ],
)
def test_the_contents_of_a_table_tell_its_form(tmp_path: Path, name: str, text: str) -> None:
    folder = Folder(tmp_path, text, YAW.replace("t.jsonl", name), name=name)
    folder.draw("0.png")
    assert folder.take() == [[3.0]]


def test_other_kinds_of_tables_are_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path, '[{"file": "0.png", "yaw": 3}]', YAW.replace("t.jsonl", "t.json"), name="t.json")
    folder.refused("is a JSON list. Write one row per line")
    (folder.source / "t.json").write_bytes(b"PK\x03\x04\xff\xfe")
    folder.refused("is not text.*Save it as UTF-8")


def test_nothing_nested_without_end_ends_in_a_traceback(tmp_path: Path) -> None:
    deep = "[" * 100_000
    folder = Folder(tmp_path, '{"file": ' + deep + "\n")
    folder.refused("line 1.*recursion")
    (folder.source / "mapping.toml").write_text("name = " + deep)
    folder.refused("mapping.toml: .*recursion")
    (tmp_path / "recipe.toml").write_text("name = " + deep)
    with pytest.raises(RecipeError, match="recursion"):
        load_recipe(tmp_path / "recipe.toml")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps names that are not UTF-8")
def test_names_that_no_terminal_should_see_do_no_harm(tmp_path: Path) -> None:
    folder = Folder(tmp_path, rows(2))
    for name in (b"\xff.png", b"\x1b[31m.png"):
        Path(os.fsdecode(os.fsencode(folder.source) + b"/" + name)).write_bytes(b"")
    folder.take()
    assert folder.said == ["pictures that the table does not name are left out: 2, first �[31m.png"]
    folder = Folder(tmp_path / "in", rows(2, who="a\x1b[31m"), WHO)
    folder.refused("control characters")
