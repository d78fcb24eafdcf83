"""The stage and its parts, with time as an argument."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from engine_bridge.avf.messages import ControlState, IdentityMix
from engine_bridge.errors import CharacterError, ControlError, DriverError, EngineMismatch
from engine_bridge.frame import Frame
from runtime.character.expressions import Expression, ExpressionFade
from runtime.character.idle import HairSway, IdleLife, IdleSettings, lid
from runtime.character.latents import IdentityFade, Latents
from runtime.drivers.filters import OneEuroFilter, OneEuroSettings
from runtime.drivers.recording import Recording, RecordingDriver
from runtime.drivers.table import Drivers, open_drivers
from runtime.engines.base import Engine, EngineDescription, Floats, Pixels, Sizes
from runtime.engines.synthetic import SyntheticEngine, synthetic_role
from runtime.live.pacing import FramePacer
from runtime.live.performer import Performer
from runtime.live.stage import BUFFERS, Stage, pays_together

MS = 1_000_000
ROLE = synthetic_role(width=32, height=32)
ROW = {control.name: index for index, control in enumerate(ROLE.controls)}


class Clock:
    """A clock that advances by a fixed step at every reading."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += MS
        return self.now


class Notes(Engine):
    """Draws nothing and records its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[list[float], list[float]]] = []

    @property
    def description(self) -> EngineDescription:
        return EngineDescription("notes", "python", "1", "fp32", 1, Sizes(3, len(ROLE.controls), 32, 32))

    def _load(self) -> None: ...

    def _unload(self) -> None: ...

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        self.seen.append((w[0].tolist(), controls[0].tolist()))
        out.fill(len(self.seen) % 256)


def performer(*specs: str, drivers: Drivers | None = None, identity: str | int | None = None) -> Performer:
    engine = Notes()
    engine.activate()
    engine.seen.clear()
    return Performer(
        ROLE, engine, drivers or open_drivers(specs, ROLE.idle), identity=identity, session=7, clock=Clock()
    )


def play(actor: Performer, now_ns: int) -> Frame:
    """One frame of this performer alone."""
    return Stage([actor]).tick(now_ns)[0]


def shown(actor: Performer, name: str) -> float:
    return float(actor.pose[ROW[name]])


def test_the_same_times_give_the_same_frames() -> None:
    def film() -> list[bytes]:
        with SyntheticEngine(ROLE.controls, width=32, height=32) as engine:
            stage = Stage([Performer(ROLE, engine, open_drivers([], ROLE.idle), clock=Clock())])
            return [stage.tick(5 + 33 * MS * index)[0].pixels.tobytes() for index in range(120)]

    first = film()
    assert film() == first
    assert len(set(first)) > 20


def test_frames_carry_their_numbers_and_times() -> None:
    actor = performer()
    stage = Stage([actor])
    frames = [stage.tick(index * 16 * MS)[0] for index in range(3)]
    assert [frame.frame_id for frame in frames] == [1, 2, 3]
    assert [frame.capture_ns for frame in frames] == [0, 16 * MS, 32 * MS]
    assert {frame.provider for frame in frames} == {"notes/python fp32"}
    assert {frame.session for frame in frames} == {7}
    assert actor.engine_times.percentile_ms(50) == pytest.approx(1.0)


def test_pixels_stay_valid_for_two_more_ticks_and_no_new_ones_are_made() -> None:
    stage = Stage([performer()])
    frames = [stage.tick(index * MS)[0] for index in range(7)]
    addresses = [frame.pixels.ctypes.data for frame in frames]
    assert len(set(addresses)) == BUFFERS
    assert addresses[:BUFFERS] == addresses[BUFFERS : 2 * BUFFERS]
    assert [int(frame.pixels[0, 0, 0]) for frame in frames[-BUFFERS:]] == [5, 6, 7]


def test_a_state_is_taken_up_by_the_very_next_frame_and_echoed() -> None:
    actor = performer()
    stage = Stage([actor])
    stage.tick(0)
    actor.drivers.wire.offer(
        ControlState(control_id=9, timestamp_ns=123, controls={"jawOpen": 0.7, "mouthFunnel": 0.5})
    )
    frame = stage.tick(16 * MS)[0]
    assert (frame.control_id, frame.control_timestamp_ns) == (9, 123)
    assert shown(actor, "jawOpen") == pytest.approx(0.7)
    assert shown(actor, "oh") == pytest.approx(0.55)
    assert stage.tick(32 * MS)[0].control_id == 9


def test_the_newest_state_wins_and_keeps_a_calibration_that_it_overtook() -> None:
    actor = performer()
    port = actor.drivers.wire
    port.offer(ControlState(control_id=1, calibrate=True))
    port.offer(ControlState(control_id=2, controls={"jawOpen": 0.1}))
    state = port.take(0)
    assert state is not None
    assert (state.control_id, state.calibrate) == (2, True)
    assert port.take(0) is None


def test_the_window_covers_the_wire_and_what_it_leaves_out_stays() -> None:
    actor = performer()
    stage = Stage([actor])
    actor.drivers.wire.offer(ControlState(control_id=1, controls={"jawOpen": 0.2, "mouthPucker": 0.9}))
    actor.drivers.window.offer(ControlState(control_id=1, controls={"jawOpen": 0.8}))
    stage.tick(0)
    assert shown(actor, "jawOpen") == pytest.approx(0.8)
    assert shown(actor, "mouthPucker") == pytest.approx(0.9)


def test_a_released_control_goes_back_within_half_a_second_without_a_jump() -> None:
    actor = performer("idle:off")
    stage = Stage([actor])
    actor.drivers.window.offer(ControlState(control_id=1, controls={"headYaw": 20.0}))
    stage.tick(0)
    assert shown(actor, "headYaw") == pytest.approx(20.0)
    actor.drivers.window.offer(ControlState(control_id=2))
    values = []
    for index in range(1, 61):
        stage.tick(index * 10 * MS)
        values.append(shown(actor, "headYaw"))
    assert all(a >= b for a, b in pairwise(values))
    assert max(a - b for a, b in pairwise([20.0, *values])) < 1.0
    assert values[-10:] == [0.0] * 10


def test_a_lost_tracker_blends_to_idle_in_half_a_second() -> None:
    times = np.array([0.0, 1.0])
    still = Recording(("headYaw", "eyeBlinkLeft"), times, np.array([[25.0, 1.0], [25.0, 1.0]], np.float32))
    base = open_drivers([], ROLE.idle)
    tracker = RecordingDriver(still, loop=False)
    actor = performer(drivers=Drivers((base.layers[0], tracker, *base.layers[1:]), base.wire, base.window))
    alone = performer()
    for index in range(100):
        play(actor, index * 10 * MS)
        play(alone, index * 10 * MS)
    assert shown(actor, "headYaw") == pytest.approx(25.0)
    for index in range(100, 155):
        play(actor, index * 10 * MS)
        play(alone, index * 10 * MS)
    assert shown(actor, "headYaw") == pytest.approx(shown(alone, "headYaw"), abs=1e-4)


def test_a_wire_with_a_timeout_lets_go_and_one_without_holds() -> None:
    for spec, expected in (("wire", 0.5), ("wire:timeout=0.2", 0.0)):
        actor = performer("idle:off", spec)
        actor.drivers.wire.offer(ControlState(control_id=1, controls={"jawOpen": 0.5}))
        for index in range(200):
            play(actor, index * 10 * MS)
        assert shown(actor, "jawOpen") == pytest.approx(expected)


def test_a_bad_state_is_counted_and_the_last_good_one_stays() -> None:
    actor = performer("idle:off")
    actor.drivers.wire.offer(ControlState(control_id=1, controls={"jawOpen": 0.5}))
    play(actor, 0)
    for state in (
        ControlState(control_id=2, controls={"jawOpne": 0.5}),
        ControlState(control_id=3, controls={"jawOpen": math.nan}),
        ControlState(control_id=4, identity="nobody"),
        ControlState(control_id=5, identity=12),
        ControlState(control_id=6, expression="nothing"),
    ):
        actor.drivers.wire.offer(state)
        frame = play(actor, state.control_id * MS)
        assert frame.control_id == 1
        assert shown(actor, "jawOpen") == pytest.approx(0.5)
    assert actor.bad_controls == 5
    assert "nothing" in actor.last_bad_control


def test_calibration_makes_the_present_pose_neutral() -> None:
    actor = performer("idle:off", "wire:timeout=10")
    actor.drivers.wire.offer(ControlState(control_id=1, controls={"headYaw": 6.0, "jawOpen": 0.2}))
    play(actor, 0)
    actor.drivers.window.offer(ControlState(control_id=1, calibrate=True))
    play(actor, MS)
    assert shown(actor, "headYaw") == pytest.approx(0.0, abs=1e-5)
    assert shown(actor, "jawOpen") == pytest.approx(0.0, abs=1e-5)
    actor.drivers.wire.offer(ControlState(control_id=2, controls={"headYaw": 16.0, "jawOpen": 1.0}))
    play(actor, 2 * MS)
    assert shown(actor, "headYaw") == pytest.approx(10.0)
    assert shown(actor, "jawOpen") == pytest.approx(1.0)


def test_expressions_add_fade_and_leave() -> None:
    actor = performer("idle:off")
    actor.drivers.window.offer(ControlState(control_id=1, expression="happy"))
    play(actor, 0)
    assert shown(actor, "happy") == 0.0
    play(actor, 125 * MS)
    assert 0.3 < shown(actor, "happy") < 0.7
    play(actor, 300 * MS)
    assert shown(actor, "happy") == pytest.approx(1.0)
    actor.drivers.window.offer(ControlState(control_id=2, expression=""))
    play(actor, 301 * MS)
    play(actor, 900 * MS)
    assert shown(actor, "happy") == 0.0
    fade = ExpressionFade([Expression("odd", {"eyeLookUpLeft": 0.5, "eyeLookUpRight": 0.5})], ROLE.controls)
    fade.go_to("odd", 0)
    assert fade.value(10**9)[ROW["gazePitch"]] == pytest.approx(17.5)
    with pytest.raises(ControlError, match="Available: odd"):
        fade.go_to("even", 0)


def test_identity_changes_smoothly_and_mixes() -> None:
    actor = performer(identity="teal")
    play(actor, 0)
    actor.drivers.window.offer(ControlState(control_id=1, identity="rose"))
    steps = []
    for index in range(1, 70):
        play(actor, index * 10 * MS)
        steps.append(np.array(actor.engine.seen[-1][0]))  # type: ignore[attr-defined]
    rose, teal = ROLE.latents.identity("rose"), ROLE.latents.identity("teal")
    assert np.allclose(steps[-1], rose)
    assert max(np.abs(b - a).max() for a, b in pairwise(steps)) < 0.1
    actor.drivers.window.offer(ControlState(control_id=2, mix=IdentityMix("teal", 0.25)))
    for index in range(70, 140):
        play(actor, index * 10 * MS)
    assert np.allclose(actor.engine.seen[-1][0], rose + 0.25 * (teal - rose), atol=1e-6)  # type: ignore[attr-defined]


def test_capitals_of_a_name_do_not_matter_unless_two_names_differ_by_them() -> None:
    table = np.eye(4, dtype=np.float32)
    latents = Latents({"Aki": 0, "Ren": 1, "REN": 2, "Jürgen": 3}, table, {})
    for name, row in (("aki", 0), ("AKI", 0), ("Ren", 1), ("REN", 2), ("JÜRGEN", 3)):
        assert np.array_equal(latents.identity(name), table[row])
    with pytest.raises(CharacterError, match="Choose one of: Aki, Ren, REN"):
        latents.identity("ren")


class Doubling:
    """A mapping network that is easy to compute."""

    z_dim = 4

    def __call__(self, z: Floats) -> Floats:
        return np.asarray(2.0 * z[:, :3], np.float32)


def test_seeds_are_the_same_everywhere_and_truncated() -> None:
    latents = Latents({"one": 0}, np.zeros((1, 3), np.float32), {}, mapping=Doubling())
    full = latents.identity(42)
    assert np.array_equal(full, latents.identity("42"))
    assert not np.array_equal(full, latents.identity(43))
    assert np.allclose(latents.identity(42, truncation_psi=0.5), 0.5 * full)  # half the z; Doubling is linear
    assert np.array_equal(full, latents.identity(42))
    # Philox 42, first three normals: a change here changes everybody's saved seeds.
    expected = 2.0 * np.random.Generator(np.random.Philox(42)).standard_normal((1, 4), np.float32)[0, :3]
    assert np.array_equal(full, expected)
    for bad in (-1, 1 << 63):
        with pytest.raises(CharacterError, match="seed"):
            latents.identity(bad)
    with pytest.raises(CharacterError, match="Choose one of: one"):
        latents.identity("nobody")
    with pytest.raises(CharacterError, match="no mapping"):
        ROLE.latents.identity(1)


def test_a_new_choice_starts_from_where_the_face_is() -> None:
    fade = IdentityFade(np.zeros(2, np.float32), duration_s=1.0)
    fade.go_to(np.ones(2, np.float32), 0)
    middle = fade.value(500 * MS).copy()
    fade.go_to(np.zeros(2, np.float32), 500 * MS)
    assert np.allclose(fade.value(500 * MS), middle)
    assert np.array_equal(fade.value(2_000 * MS), np.zeros(2))


# Idle life


def test_idle_life_depends_on_seed_and_time_only() -> None:
    one, same, other = IdleLife(seed=1), IdleLife(seed=1), IdleLife(seed=2)
    times = [0.0, 0.01, 3.7, 59.999, 60.001, 3600.5]
    forwards = [one.sample(t) for t in times]
    assert [same.sample(t) for t in reversed(times)] == forwards[::-1]
    assert other.sample(3.7) != forwards[2]


def test_idle_life_is_smooth_and_blinks_like_people() -> None:
    life = IdleLife(seed=5)
    samples = [life.sample(index / 120) for index in range(120 * 120)]
    for name in ("headYaw", "headPitch", "headRoll", "bodyYaw"):
        values = np.array([sample[name] for sample in samples])
        assert np.abs(np.diff(values)).max() < 0.3
        assert 0.2 < values.std() < 5.0
    lids = np.array([sample["eyeBlinkLeft"] for sample in samples])
    blinks = int(((lids[1:] > 0.5) & (lids[:-1] <= 0.5)).sum())
    assert 16 <= blinks <= 60
    assert lids.max() == pytest.approx(1.0, abs=0.02)
    breath = np.array([sample["breath"] for sample in samples])
    assert breath.min() == 0.0
    assert breath.max() == pytest.approx(1.0, abs=1e-3)


def test_a_lid_falls_faster_than_it_rises() -> None:
    curve = np.array([lid(t / 1000, 0.08, 0.18) for t in range(-10, 300)])
    assert curve[10] == 0.0
    assert curve[90] == pytest.approx(1.0)
    assert curve[-1] == 0.0
    assert np.diff(curve).max() > -np.diff(curve).min()


@pytest.mark.parametrize("part", ["blink_amount", "breath_amount", "head_deg"])
def test_an_amount_of_zero_switches_a_part_off(part: str) -> None:
    nothing = {name: 0.0 for name in IdleSettings.__struct_fields__ if not name.endswith(("_s", "_chance"))}
    life = IdleLife(IdleSettings(**{**nothing, part: 0.0}))
    samples = [life.sample(t / 10) for t in range(600)]
    assert all(value == pytest.approx(0.0, abs=0.41) for sample in samples for value in sample.values())
    assert all(sample["eyeBlinkLeft"] == 0.0 for sample in samples)


def test_hair_follows_the_head_and_comes_to_rest() -> None:
    hair = HairSway()
    swing = [hair.step(index * 16 * MS, head_yaw=min(20.0, index), head_roll=0.0) for index in range(60)]
    assert min(swing) < -0.1
    rest = [hair.step((60 + index) * 16 * MS, head_yaw=20.0, head_roll=0.0) for index in range(200)]
    assert abs(rest[-1]) < 0.01
    assert all(-1.0 <= value <= 1.0 for value in swing + rest)


def test_the_one_euro_filter_calms_noise_and_follows_motion() -> None:
    random = np.random.Generator(np.random.Philox(3))
    one = OneEuroFilter(1, OneEuroSettings())
    noise = 0.05 * random.standard_normal(200).astype(np.float32)
    calm = [float(one.step(noise[index : index + 1], index * 16 * MS)[0]) for index in range(200)]
    assert np.std(calm[20:]) < 0.6 * np.std(noise)
    for index in range(200, 230):
        value = float(one.step(np.ones(1, np.float32), index * 16 * MS)[0])
    assert value > 0.95


# Pacing


class FakeTime:
    """A clock advanced only by sleeping and reading."""

    def __init__(self, look_ns: int = 1_000) -> None:
        self.now = 1_000_000_000
        self.look_ns = look_ns

    def clock(self) -> int:
        self.now += self.look_ns
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1e9) + 60_000


def test_deadlines_are_absolute() -> None:
    time = FakeTime()
    pacer = FramePacer(100.0, clock=time.clock, sleep=time.sleep)
    due = []
    for _ in range(50):
        due.append(pacer.wait())
        assert 0 <= time.now - due[-1] < 3_000
        time.now += 4 * MS
    assert {b - a for a, b in pairwise(due)} == {10 * MS}
    assert pacer.dropped == 0


def test_late_frames_are_dropped_and_never_caught_up() -> None:
    time = FakeTime()
    pacer = FramePacer(100.0, clock=time.clock, sleep=time.sleep)
    first = pacer.wait()
    time.now += 34 * MS  # the frames due at 10, 20 and 30 ms have passed
    second = pacer.wait()
    assert pacer.dropped == 2
    assert second - first == 30 * MS
    assert pacer.wait() - second == 10 * MS
    assert pacer.dropped == 2


def test_changed_rate_holds_from_the_last_deadline_on() -> None:
    time = FakeTime()
    pacer = FramePacer(100.0, clock=time.clock, sleep=time.sleep)
    due = [pacer.wait(), pacer.wait()]
    pacer.aim(25.0)
    due += [pacer.wait(), pacer.wait()]
    pacer.aim(100.0)
    due.append(pacer.wait())
    assert [b - a for a, b in pairwise(due)] == [10 * MS, 40 * MS, 40 * MS, 10 * MS]
    assert pacer.dropped == 0
    with pytest.raises(ValueError, match="target_fps"):
        pacer.aim(0.0)


def test_a_pause_starts_a_new_grid_and_drops_nothing() -> None:
    time = FakeTime()
    pacer = FramePacer(100.0, clock=time.clock, sleep=time.sleep)
    pacer.wait()
    time.now += 5_000 * MS
    pacer.restart()
    assert pacer.wait() >= 5_000 * MS
    assert pacer.dropped == 0
    with pytest.raises(ValueError, match="target_fps"):
        FramePacer(0.0)


# Drivers by name


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("idlle", 'Did you mean "idle"'),
        ("vmc", "Available: idle, recording, wire"),
        ("idle:seed=x", "seed"),
        ("idle:speed=2", "no option"),
        ("recording:", "names no file"),
        ("recording:x.csv,speed=fast", "No such|no recording|speed"),
        ("recording:x.csv,invert=headYwa", 'Did you mean "headYaw"'),
        ("wire:timeout=0", "timeout"),
        ("wire:smooth=maybe", "on or off"),
        ("", "no driver"),
    ],
)
def test_a_wrong_driver_is_explained(spec: str, words: str) -> None:
    from engine_bridge.errors import RecordingError

    with pytest.raises((DriverError, RecordingError), match=words):
        open_drivers([spec], ROLE.idle)


def test_window_drivers_need_a_window() -> None:
    assert open_drivers(["mouse"], ROLE.idle).label == "idle"
    with pytest.raises(DriverError, match="needs the window"):
        open_drivers(["mouse"], ROLE.idle, window=False)


class Costly(Engine):
    """Draws a grey that encodes w and the pose; its clock advances by the cost of a call."""

    def __init__(self, *, call_ms: int, picture_ms: int, crowd_ms: int = 0, width: int = 32) -> None:
        super().__init__()
        self.now = 0
        self.calls: list[int] = []
        self._call, self._picture, self._crowd, self._width = call_ms * MS, picture_ms * MS, crowd_ms * MS, width

    @property
    def description(self) -> EngineDescription:
        return EngineDescription("costly", "python", "1", "fp32", 1, Sizes(3, len(ROLE.controls), self._width, 32))

    def _load(self) -> None: ...

    def _unload(self) -> None: ...

    def _run(self, w: Floats, controls: Floats, out: Pixels) -> None:
        self.now += self._call + len(w) * self._picture + (self._crowd if len(w) > 1 else 0)
        self.calls.append(len(w))
        for index, picture in enumerate(out):
            picture[:] = int(w[index].sum() * 20 + controls[index].sum()) % 256


@pytest.mark.parametrize(("call_ms", "crowd_ms", "together"), [(9, 0, True), (1, 5, False)])
def test_one_call_for_all_is_chosen_where_it_measures_faster(call_ms: int, crowd_ms: int, together: bool) -> None:
    with Costly(call_ms=call_ms, picture_ms=1, crowd_ms=crowd_ms) as engine:
        assert pays_together(engine, 4, clock=lambda: engine.now) is together


def test_performers_with_one_engine_are_drawn_alike_together_and_in_turn() -> None:
    def film(together: bool) -> tuple[list[list[bytes]], list[int]]:
        with Costly(call_ms=1, picture_ms=1) as engine:
            names = ("teal", "rose", "amber")
            actors = [Performer(ROLE, engine, open_drivers([], ROLE.idle), identity=name) for name in names]
            stage = Stage(actors, together=together)
            engine.calls.clear()
            return [[f.pixels.tobytes() for f in stage.tick(index * 40 * MS)] for index in range(30)], engine.calls

    (one_call, calls), (in_turn, turns) = film(True), film(False)
    assert one_call == in_turn
    assert len(set(one_call[0])) == 3
    assert set(calls) == {3}
    assert set(turns) == {1}
    assert len(turns) == 3 * len(calls)


@pytest.mark.parametrize("together", [True, False])
def test_only_who_is_watched_is_drawn_and_the_others_move_on(together: bool) -> None:
    with Costly(call_ms=1, picture_ms=1) as engine:
        names = ("teal", "rose", "amber")
        actors = [Performer(ROLE, engine, open_drivers([], ROLE.idle), identity=n, stream=n) for n in names]
        stage = Stage(actors, together=together)
        engine.calls.clear()
        both = stage.tick(40 * MS, [actors[2], actors[0]])
        alone = stage.tick(80 * MS, [actors[2]])
        everybody = stage.tick(120 * MS)
        assert stage.tick(160 * MS, []) == []
    assert engine.calls == ([3, 1, 3] if together else [1, 1, 1, 1, 1, 1])
    assert [(frame.stream, frame.frame_id) for frame in both + alone + everybody] == [
        ("teal", 1), ("amber", 1), ("amber", 2), ("teal", 2), ("rose", 1), ("amber", 3)
    ]  # fmt: skip
    assert all(actor.pose.any() for actor in actors)


def test_people_on_one_stage_have_idle_lives_of_their_own() -> None:
    with Costly(call_ms=1, picture_ms=1) as engine:
        actors = [Performer(ROLE, engine, open_drivers([], ROLE.idle, person=index)) for index in (0, 1)]
        stage = Stage(actors)
        poses = []
        for index in range(200):
            stage.tick(index * 33 * MS)
            poses.append([actor.pose.copy() for actor in actors])
    blinks = np.array(poses)[:, :, ROW["eyeBlinkLeft"]]
    assert blinks.max(axis=0).min() > 0.5
    assert not np.array_equal(blinks[:, 0], blinks[:, 1])


def test_another_engine_takes_over_between_two_frames_and_the_numbers_go_on() -> None:
    actor = performer()
    stage = Stage([actor])
    first = actor.engine
    frames = [stage.tick(index * MS)[0] for index in range(3)]
    with Costly(call_ms=1, picture_ms=1) as other:
        stage.use_engine(first, other)
        frames += [stage.tick(index * MS)[0] for index in range(3, 6)]
    assert [frame.frame_id for frame in frames] == [1, 2, 3, 4, 5, 6]
    assert [frame.provider.split("/")[0] for frame in frames] == ["notes"] * 3 + ["costly"] * 3
    assert len(first.seen) == 3  # type: ignore[attr-defined]


def test_an_engine_of_another_character_is_refused_and_the_old_one_plays_on() -> None:
    actor = performer()
    stage = Stage([actor])
    with Costly(call_ms=1, picture_ms=1, width=64) as other:
        with pytest.raises(EngineMismatch, match="another character"):
            stage.use_engine(actor.engine, other)
        assert stage.tick(MS)[0].provider == "notes/python fp32"
