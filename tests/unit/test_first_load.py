"""A character from a stranger cannot take all memory or time: its sizes are checked, then it is tried in isolation."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from engine_bridge.errors import CharacterError
from runtime.character import checked_files
from runtime.character.file import Character
from runtime.character.onnx_cost import cost_of
from runtime.character.onnx_graph import read_graph
from runtime.character.shipped import find_character, shipped_folder
from runtime.engines.choice import open_engine
from runtime.engines.first_load import ensure_tried
from tests.conftest import RunProgram
from tests.greedy_graphs import GROWING, fat_but_allowed, fed_size, growing, products, write_greedy
from tests.onnx_mutants import seeds
from tests.tiny_character import generator, write_tiny


@pytest.fixture(autouse=True)
def nothing_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty list of checked files."""
    folder = tmp_path / "checked"
    monkeypatch.setenv("BUNRAKU_CHECKED_FILES", str(folder))
    return folder


@pytest.mark.parametrize("operator", [*GROWING, "GatherElements"])
def test_a_graph_that_inflates_is_refused_by_its_sizes(operator: str) -> None:
    with pytest.raises(CharacterError, match="the limit is"):
        cost_of(read_graph(growing(operator)))


def test_two_hundred_products_of_huge_matrices_are_refused_by_their_sizes() -> None:
    with pytest.raises(CharacterError, match="multiply-adds"):
        cost_of(read_graph(products(200, 8192)))


def test_a_size_that_depends_on_a_control_is_refused() -> None:
    with pytest.raises(CharacterError, match="depends on what is fed"):
        cost_of(read_graph(fed_size()))


def test_the_estimate_makes_the_sizes_that_onnx_infers() -> None:
    graphs = [generator().SerializeToString()]
    for shipped in ("aki", "crowd"):
        with Character.open(find_character(shipped)) as character:
            graphs += [character.read(name) for name in character.members if name.endswith(".onnx")]
    for data in [*graphs, *seeds()[:4]]:
        cost = cost_of(read_graph(data), batch=1)
        assert cost.open_nodes == 0
        assert cost.largest_bytes == largest_by_onnx(data)


def largest_by_onnx(data: bytes) -> int:
    model = onnx.load_from_string(read_graph(data).to_bytes())
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if not dimension.dim_value:
                dimension.dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    largest = 0
    for info in (*inferred.value_info, *inferred.output):
        tensor = info.type.tensor_type
        sides = [dimension.dim_value for dimension in tensor.shape.dim]
        item = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).itemsize
        largest = max(largest, int(np.prod(sides)) * item)
    return largest


def test_a_new_character_is_tried_once_and_then_known(tmp_path: Path, nothing_checked: Path) -> None:
    said: list[str] = []
    with Character.open(write_tiny(tmp_path / "tiny.bunraku")) as character:
        for _ in range(3):
            ensure_tried(character, tell=said.append)
        assert [path.name for path in nothing_checked.iterdir()] == [character.digest]
    assert len(said) == 1
    assert "tiny.bunraku is new here" in said[0]
    if sys.platform != "win32":
        assert nothing_checked.stat().st_mode & 0o077 == 0


def test_what_takes_too_much_memory_is_refused(tmp_path: Path, nothing_checked: Path) -> None:
    path = write_greedy(tmp_path / "fat.bunraku", fat_but_allowed(3000))
    words = r"fat\.bunraku is refused, because it takes more than 0\.5 GiB"
    with Character.open(path) as character, pytest.raises(CharacterError, match=words):
        ensure_tried(character, memory_bytes=1 << 29)
    assert list(nothing_checked.iterdir()) == []


def test_what_does_not_end_is_refused(tmp_path: Path) -> None:
    path = write_greedy(tmp_path / "slow.bunraku", products(120, 1024))
    words = "did not load and draw one picture within 1 s"
    with Character.open(path) as character, pytest.raises(CharacterError, match=words):
        ensure_tried(character, wall_s=1.0)


def test_an_engine_does_not_load_what_was_not_tried(tmp_path: Path) -> None:
    path = write_greedy(tmp_path / "broken.bunraku", refused_by_libraries())
    with Character.open(path) as character, pytest.raises(CharacterError, match="cannot be played"):
        open_engine("onnxruntime", character)


def refused_by_libraries() -> bytes:
    """Valid by its sizes, but with an attribute that its operator does not have."""
    model = onnx.load_from_string(products(1, 8))
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("surprise", 1))
    data: bytes = model.SerializeToString()
    return data


def test_shipped_characters_are_known_without_a_trial() -> None:
    digests = set()
    for file in shipped_folder().glob("*.bunraku"):
        with Character.open(file) as character:
            digests.add(character.digest)
    assert digests == checked_files.SHIPPED, "put the new digest into runtime/character/checked_files.py"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows guards folders of users by itself")
def test_a_list_that_others_can_write_to_is_not_believed(tmp_path: Path, nothing_checked: Path) -> None:
    with Character.open(write_tiny(tmp_path / "tiny.bunraku")) as character:
        checked_files.remember(character.digest)
        assert checked_files.is_checked(character.digest)
        nothing_checked.chmod(0o777)
        assert not checked_files.is_checked(character.digest)


def test_the_list_of_checked_files_does_not_grow_for_ever(
    nothing_checked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked_files, "MOST", 3)
    for number in range(6):
        checked_files.remember(f"{number:064x}")
    assert len(list(nothing_checked.iterdir())) == 3
    assert checked_files.is_checked(f"{5:064x}")


def test_the_command_line_says_that_a_file_is_tried_and_why_it_is_refused(
    run_program: RunProgram, tmp_path: Path, repository: Path
) -> None:
    path = write_greedy(tmp_path / "broken.bunraku", refused_by_libraries())
    command = [sys.executable, "-m", "runtime.cli", "live", path, "--no-window", "--seconds", "1"]
    done = run_program(command, cwd=repository)
    assert done.returncode == 1
    assert "broken.bunraku is new here: trying it in a separate process first" in done.stderr
    assert "Error: broken.bunraku is refused, because it cannot be played" in done.stderr
    assert "Traceback" not in done.stderr
