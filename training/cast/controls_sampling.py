"""Poses of a training set: a broad, mostly natural mixture that covers every control."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.character.controls import PORTRAIT_CONTROLS

Values = dict[str, float]
_LOW: Final = np.array([c.minimum for c in PORTRAIT_CONTROLS], np.float32)
_HIGH: Final = np.array([c.maximum for c in PORTRAIT_CONTROLS], np.float32)
_REST: Final = np.array([c.rest for c in PORTRAIT_CONTROLS], np.float32)
_INDEX: Final = {c.name: i for i, c in enumerate(PORTRAIT_CONTROLS)}
_VISEMES: Final = ("aa", "ih", "ou", "ee", "oh")
_MOODS: Final = ("happy", "angry", "sad", "relaxed", "surprised")


def sample_controls(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """One pose, float32 [c] in the order of `PORTRAIT_CONTROLS`, every value within its range.

    A tenth of the poses is uniform over all ranges, another tenth isolates one or two controls on a resting face (so
    that a network can tell their effects apart), the rest is typical behaviour in front of a camera.
    """
    kind = rng.random()
    if kind < 0.1:
        return _uniform(rng)
    if kind < 0.2:
        return _isolated(rng)
    small = kind < 0.38
    values: Values = {}
    _head(rng, values, 0.25 if small else 1.0)
    _eyes(rng, values)
    _brows(rng, values)
    _mouth(rng, values)
    _moods(rng, values)
    _body(rng, values, 0.3 if small else 1.0)
    out = _REST.copy()
    for name, value in values.items():
        out[_INDEX[name]] = value
    if not small and rng.random() < 0.18:  # ends of the ranges of the pose
        for name in rng.choice(
            ("headYaw", "headPitch", "headRoll", "gazeYaw", "gazePitch", "bodyYaw", "bodyRoll"), 3, replace=False
        ):
            i = _INDEX[str(name)]
            out[i] = _LOW[i] if rng.random() < 0.5 else _HIGH[i]
    return np.asarray(np.clip(out, _LOW, _HIGH), dtype=np.float32)


def _uniform(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    out = np.asarray(rng.uniform(_LOW, _HIGH), dtype=np.float32)
    # Half of the expression stays at rest: thirty controls at full strength look like nothing anyone would request.
    keep = rng.random(len(out)) < 0.5
    keep[: _INDEX["eyeBlinkLeft"]] = True
    return np.asarray(np.where(keep, out, _REST), dtype=np.float32)


def _isolated(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    out: npt.NDArray[np.float32] = _REST.copy()
    for i in rng.choice(len(out), int(rng.integers(1, 3)), replace=False):
        out[i] = (_LOW[i], _HIGH[i], rng.uniform(_LOW[i], _HIGH[i]))[int(rng.integers(3))]
    return out


def _strength(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.35 else float(rng.uniform(0.08, 1.0))


def _head(rng: np.random.Generator, v: Values, scale: float) -> None:
    yaw, pitch, roll = rng.normal(0, 14 * scale), rng.normal(0, 8.5 * scale), rng.normal(0, 7.5 * scale)
    v.update(headYaw=float(yaw), headPitch=float(pitch), headRoll=float(roll))
    # Eyes lead the head, or hold the viewer while the head turns away.
    follow = rng.choice((0.7, -0.7, 0.0))
    v["gazeYaw"] = float(follow * yaw + rng.normal(0, 9))
    v["gazePitch"] = float(follow * pitch + rng.normal(0, 6))


def _eyes(rng: np.random.Generator, v: Values) -> None:
    kind = rng.random()
    left = right = 0.0
    if kind < 0.25:
        left = right = 1.0
    elif kind < 0.5:
        # Lids that are nearly shut last only a frame or two of a blink, but errors in them are obvious.
        left = right = float(rng.uniform(0.7, 0.99) if rng.random() < 0.4 else rng.uniform(0.05, 0.95))
    elif kind < 0.6:
        left, right = (1.0, 0.0) if rng.random() < 0.5 else (0.0, 1.0)
    elif kind < 0.66:
        left, right = float(rng.random()), float(rng.random())
    v.update(eyeBlinkLeft=left, eyeBlinkRight=right)
    for name, chance in (("eyeWide", 0.14), ("eyeSquint", 0.18)):
        if rng.random() < chance:
            _pair(rng, v, name)


def _pair(rng: np.random.Generator, v: Values, name: str) -> None:
    """Both sides alike, sometimes only one."""
    strength, kind = _strength(rng), rng.random()
    if kind < 0.85:
        v[name + "Left"] = strength
    if kind < 0.7 or kind >= 0.85:
        v[name + "Right"] = strength


def _brows(rng: np.random.Generator, v: Values) -> None:
    if rng.random() < 0.4:
        _pair(rng, v, str(rng.choice(("browOuterUp", "browDown", "browSad"))))


def _mouth(rng: np.random.Generator, v: Values) -> None:
    kind = rng.random()
    if kind < 0.32:
        pass
    elif kind < 0.68:
        v[str(rng.choice(_VISEMES))] = _strength(rng)
        if rng.random() < 0.15:
            v[str(rng.choice(_VISEMES))] = float(rng.uniform(0, 0.6))
    else:
        v["jawOpen"] = _strength(rng)
    if rng.random() < 0.42:
        _pair(rng, v, str(rng.choice(("mouthSmile", "mouthSmile", "mouthFrown"))))
    if rng.random() < 0.1:
        v["mouthPucker"] = _strength(rng)


def _moods(rng: np.random.Generator, v: Values) -> None:
    if rng.random() < 0.35:
        v[str(rng.choice(_MOODS))] = _strength(rng)


def _body(rng: np.random.Generator, v: Values, scale: float) -> None:
    v["breath"] = float(rng.random())
    yaw, pitch, roll, sway = rng.normal(0, 1, 4) * np.array([6, 4, 4, 0.45]) * scale
    v.update(
        bodyYaw=float(yaw + 0.2 * v["headYaw"]),
        bodyPitch=float(pitch),
        bodyRoll=float(roll + 0.15 * v["headRoll"]),
        hairSway=float(sway),
    )
