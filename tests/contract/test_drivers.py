"""Contract of every kind of driver, including future ones."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from engine_bridge.avf.messages import ControlState
from engine_bridge.errors import DriverError
from runtime.character.controls import VOCABULARY
from runtime.character.idle import IdleSettings
from runtime.drivers.base import Kind
from runtime.drivers.options import parse_options
from runtime.drivers.port import ControlPort
from runtime.drivers.table import KINDS, NAMES, Sources

MS = 1_000_000
TAKE = '{"t_s": 0.0, "controls": {"jawOpen": 0.0}}\n{"t_s": 1.0, "controls": {"jawOpen": 1.0}}\n'
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.names[0])


@pytest.fixture
def take(tmp_path: Path) -> Path:
    file = tmp_path / "take, one: speed=2.jsonl"
    file.write_text(TAKE)
    return file


def opened(kind: Kind, take: Path) -> Sources:
    return Sources([f"{kind.names[0]}:{take}" if "file" in kind.options.__struct_fields__ else kind.names[0]])


@kinds
def test_it_describes_itself_and_gives_finite_values_of_the_vocabulary(kind: Kind, take: Path) -> None:
    with opened(kind, take) as sources:
        for driver in sources.drivers_of(IdleSettings()).layers:
            assert driver.name
            assert driver.attack_s >= 0
            assert {type(driver.tracks), type(driver.smooth)} == {bool}
            for now in (0, 16 * MS, 5_000 * MS):
                said = driver.sample(now) or {}
                assert set(said) <= set(VOCABULARY)
                assert all(math.isfinite(value) for value in said.values())


@kinds
def test_everybody_on_a_stage_has_a_driver_of_their_own(kind: Kind, take: Path) -> None:
    with opened(kind, take) as sources:
        one, other = (sources.drivers_of(IdleSettings(), person=person) for person in (0, 1))
        assert [driver.name for driver in one.layers] == [driver.name for driver in other.layers]
        assert not {id(driver) for driver in one.layers} & {id(driver) for driver in other.layers}
        one.wire.offer(ControlState(control_id=1, controls={"jawOpen": 1.0}))
        assert other.wire.take(0) is None


@kinds
def test_it_may_be_closed_repeatedly(kind: Kind, take: Path) -> None:
    options = parse_options(f"{kind.names[0]}:{take}" if "file" in kind.options.__struct_fields__ else "", kind.options)
    source = kind.open(options)
    assert isinstance(source.warnings, tuple)
    driver = source.driver(IdleSettings(), 0)
    source.close()
    source.close()
    if isinstance(driver, ControlPort):  # nothing is offered any more
        assert driver.sample(0) is None


@kinds
def test_an_unknown_option_is_named_with_the_available_ones(kind: Kind) -> None:
    if "file" in kind.options.__struct_fields__:
        pytest.skip("all that looks like no option is the file's name")
    with pytest.raises(DriverError, match=r"no option \"nonsense\".*Available: "):
        parse_options(f"{kind.names[0]}:nonsense=1", kind.options)


def test_names_are_unique_and_layers_keep_their_order(take: Path) -> None:
    assert len(set(NAMES)) == len(NAMES)
    with Sources([f"recording:{take}", "sliders", "idle:seed=3", f"recording:{take},loop=off"]) as sources:
        layers = sources.drivers_of(IdleSettings()).layers
    assert [driver.name for driver in layers] == ["idle", "recording", "recording", "wire", "window"]


def test_a_path_may_look_like_anything(take: Path) -> None:
    with Sources([f"recording:{take},speed=0.5"]) as sources:
        (_, played, *_) = sources.drivers_of(IdleSettings()).layers
    assert played.sample(0) == {"jawOpen": 0.0}
    assert played.sample(1_000 * MS) == {"jawOpen": pytest.approx(0.5)}


def test_what_was_opened_is_closed_when_the_next_one_cannot_be() -> None:
    closed: list[str] = []

    class Held:
        warnings = ()

        def driver(self, idle: IdleSettings, person: int) -> None:
            """Nobody's."""

        def close(self) -> None:
            closed.append("held")

    class No(msgspec.Struct):
        pass

    def broken(_: object) -> Held:
        raise DriverError("the port is taken")

    good = Kind(names=("good",), options=No, open=lambda _: Held(), always=True)
    bad = Kind(names=("bad",), options=No, open=broken, always=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.drivers.table.KINDS", (good, bad))
        with pytest.raises(DriverError, match="taken"):
            Sources([])
    assert closed == ["held"]
