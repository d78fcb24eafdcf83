"""The named numbers that move a character.

Names, ranges, rest values, and how one vocabulary is derived from another.

Left and right are the character's own. Positive yaw turns to the character's left, positive pitch looks up,
positive roll tilts to the character's left shoulder. Trackers and files with other conventions convert at the edge.
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from engine_bridge.errors import ControlError

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Control:
    """One control of the vocabulary.

    Attributes:
        name: lowerCamelCase, the same in Python, C, C#, GDScript and on the wire.
        minimum: lowest meaningful value (degrees for poses and gaze, otherwise 0..1 or -1..1).
        maximum: highest meaningful value.
        rest: value when no driver moves the character.
        group: heading in user interfaces.
    """

    name: str
    minimum: float
    maximum: float
    rest: float
    group: str


def _weights(group: str, *names: str) -> tuple[Control, ...]:
    return tuple(Control(name, 0.0, 1.0, 0.0, group) for name in names)


# What a portrait can show, in the input order of the shipped generator. browSadLeft, browSadRight and
# hairSway are our own: ARKit has one browInnerUp for both sides and nothing for hair.
PORTRAIT_CONTROLS: Final[tuple[Control, ...]] = (
    Control("headYaw", -30.0, 30.0, 0.0, "head"),
    Control("headPitch", -20.0, 20.0, 0.0, "head"),
    Control("headRoll", -20.0, 20.0, 0.0, "head"),
    Control("gazeYaw", -30.0, 30.0, 0.0, "eyes"),
    Control("gazePitch", -20.0, 20.0, 0.0, "eyes"),
    *_weights(
        "eyes", "eyeBlinkLeft", "eyeBlinkRight", "eyeWideLeft", "eyeWideRight", "eyeSquintLeft", "eyeSquintRight"
    ),
    *_weights(
        "brows", "browOuterUpLeft", "browOuterUpRight", "browDownLeft", "browDownRight", "browSadLeft", "browSadRight"
    ),
    *_weights(
        "mouth", "jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthPucker"
    ),
    *_weights("visemes", "aa", "ih", "ou", "ee", "oh"),
    *_weights("moods", "happy", "angry", "sad", "relaxed", "surprised"),
    Control("breath", 0.0, 1.0, 0.0, "body"),
    Control("bodyYaw", -15.0, 15.0, 0.0, "body"),
    Control("bodyPitch", -10.0, 10.0, 0.0, "body"),
    Control("bodyRoll", -10.0, 10.0, 0.0, "body"),
    Control("hairSway", -1.0, 1.0, 0.0, "body"),
)

# The 52 face shapes of ARKit, in Apple's order.
ARKIT_BLENDSHAPES: Final[tuple[str, ...]] = (
    *(f"eye{shape}Left" for shape in ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")),
    *(f"eye{shape}Right" for shape in ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")),
    *("jawForward", "jawLeft", "jawRight", "jawOpen"),
    *("mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight"),
    *(f"mouth{shape}{side}" for shape in ("Smile", "Frown", "Dimple", "Stretch") for side in ("Left", "Right")),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *(f"mouth{shape}{side}" for shape in ("Press", "LowerDown", "UpperUp") for side in ("Left", "Right")),
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    *("cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut"),
)

_GROUP_OF_PREFIX: Final = {"eye": "eyes", "brow": "brows", "jaw": "mouth", "mouth": "mouth", "tongue": "mouth"}


def _vocabulary() -> dict[str, Control]:
    known = {control.name: control for control in PORTRAIT_CONTROLS}
    for name in ARKIT_BLENDSHAPES:
        group = next((g for prefix, g in _GROUP_OF_PREFIX.items() if name.startswith(prefix)), "cheeks and nose")
        known.setdefault(name, Control(name, 0.0, 1.0, 0.0, group))
    return known


# All controls. A character takes some of them and may narrow their ranges; no others exist.
VOCABULARY: Final[Mapping[str, Control]] = _vocabulary()

# Degrees of one full ARKit eyeLook shape: regression of the eye rotations over the eyeLook shapes of a
# real Live Link Face recording gave 33 to 36 degrees for each.
EYE_LOOK_DEG: Final = 35.0


@dataclass(frozen=True, slots=True)
class Rule:
    """How one control follows from others: target = clamp(sum of weight x source).

    Attributes:
        target: the derived control.
        terms: (source, weight) pairs.
        why: a phrase for the documentation.
    """

    target: str
    terms: tuple[tuple[str, float], ...]
    why: str


def _both(target: str, terms: tuple[tuple[str, float], ...], why: str) -> tuple[Rule, Rule]:
    """The same rule for the left and the right side; a name ending in `*` gets the side."""
    left, right = (
        Rule(target + side, tuple((name.replace("*", side), weight) for name, weight in terms), why)
        for side in ("Left", "Right")
    )
    return left, right


_GAZE_SHARE: Final = EYE_LOOK_DEG / 2.0
_PER_DEGREE: Final = 1.0 / EYE_LOOK_DEG

# The only table. `docs/controls.md` is generated from it.
RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "gazeYaw",
        (
            ("eyeLookOutLeft", _GAZE_SHARE),
            ("eyeLookInRight", _GAZE_SHARE),
            ("eyeLookInLeft", -_GAZE_SHARE),
            ("eyeLookOutRight", -_GAZE_SHARE),
        ),
        "mean of both eyes, 35 degrees for a full shape",
    ),
    Rule(
        "gazePitch",
        (
            ("eyeLookUpLeft", _GAZE_SHARE),
            ("eyeLookUpRight", _GAZE_SHARE),
            ("eyeLookDownLeft", -_GAZE_SHARE),
            ("eyeLookDownRight", -_GAZE_SHARE),
        ),
        "mean of both eyes, 35 degrees for a full shape",
    ),
    Rule("eyeLookOutLeft", (("gazeYaw", _PER_DEGREE),), "the left eye looks out when the gaze goes left"),
    Rule("eyeLookInRight", (("gazeYaw", _PER_DEGREE),), "the right eye looks in when the gaze goes left"),
    Rule("eyeLookInLeft", (("gazeYaw", -_PER_DEGREE),), "the left eye looks in when the gaze goes right"),
    Rule("eyeLookOutRight", (("gazeYaw", -_PER_DEGREE),), "the right eye looks out when the gaze goes right"),
    *_both("eyeLookUp", (("gazePitch", _PER_DEGREE),), "both eyes look up with the gaze"),
    *_both("eyeLookDown", (("gazePitch", -_PER_DEGREE),), "both eyes look down with the gaze"),
    *_both("eyeSquint", (("cheekSquint*", 0.7),), "a raised cheek narrows the eye"),
    *_both("cheekSquint", (("eyeSquint*", 0.7),), "a narrowed eye raises the cheek"),
    *_both(
        "browSad",
        (("browInnerUp", 1.0), ("browOuterUp*", -0.6)),
        "inner brow up alone is worry; with the outer brow it is surprise",
    ),
    Rule("browInnerUp", (("browSadLeft", 0.5), ("browSadRight", 0.5)), "ARKit has one shape for both sides"),
    Rule(
        "jawOpen",
        (("aa", 0.7), ("oh", 0.45), ("ee", 0.2), ("ih", 0.2), ("ou", 0.15)),
        "how far each vowel opens the jaw",
    ),
    Rule("mouthPucker", (("ou", 0.8), ("oh", 0.3)), "rounded vowels"),
    Rule("mouthFunnel", (("oh", 0.7), ("ou", 0.3)), "rounded vowels"),
    *_both("mouthStretch", (("ee", 0.6), ("ih", 0.3)), "wide vowels"),
    *_both("mouthLowerDown", (("ee", 0.3), ("ih", 0.3)), "wide vowels show the lower teeth"),
    *_both("mouthUpperUp", (("ee", 0.2), ("ih", 0.2)), "wide vowels show the upper teeth"),
    *_both("mouthDimple", (("ee", 0.2),), "wide vowels"),
    Rule("aa", (("jawOpen", 1.2), ("mouthFunnel", -0.6), ("mouthPucker", -0.6)), "an open mouth that is not round"),
    Rule("oh", (("mouthFunnel", 1.1), ("mouthPucker", -0.3)), "round and open"),
    Rule("ou", (("mouthPucker", 1.1), ("mouthFunnel", -0.2)), "round and narrow"),
    Rule(
        "ee", (("mouthStretchLeft", 0.6), ("mouthStretchRight", 0.6), ("jawOpen", -0.3)), "wide lips, jaw nearly shut"
    ),
    Rule(
        "ih",
        (
            ("mouthLowerDownLeft", 0.4),
            ("mouthLowerDownRight", 0.4),
            ("mouthUpperUpLeft", 0.2),
            ("mouthUpperUpRight", 0.2),
            ("jawOpen", -0.3),
        ),
        "teeth show, jaw nearly shut",
    ),
)

_RULE_OF: Final = {rule.target: rule for rule in RULES}


def check_name(name: str, known: Iterable[str] = VOCABULARY) -> None:
    """Reject a name that is not a control.

    Raises:
        ControlError: the name is unknown; the message suggests the nearest known one.
    """
    known = tuple(known)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f'Did you mean "{near[0]}"?' if near else "docs/controls.md lists all of them."
    raise ControlError(f'There is no control "{name[:80]}". {hint}')


def check_names(names: Iterable[str]) -> None:
    """Reject names that are not controls.

    Raises:
        ControlError: names the first unknown one.
    """
    for name in names:
        if name not in VOCABULARY:
            check_name(name)


def check_controls(controls: Mapping[str, float]) -> None:
    """Reject unknown names and values that are not finite numbers.

    Raises:
        ControlError: names the control.
    """
    check_names(controls)
    for name, value in controls.items():
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ControlError(
                f'Control "{name}" has the value {value!r}, which is not a number. Send a finite number.'
            )


class Derivation:
    """Compiled conversion from given controls to the controls a character takes.

    Given controls that the character takes pass through, clamped to its ranges. The others are derived by `RULES`.
    No movement is shown twice: a source that the character takes itself never adds to a derived control, it can only
    subtract from it (jawOpen does not also open `aa` for a character that takes both).

    Attributes:
        held: bool [c], which of the character's controls the given ones move.
    """

    def __init__(self, given: Sequence[str], targets: Sequence[Control]) -> None:
        check_names(given)
        column = {name: index for index, name in enumerate(given)}
        taken = {control.name for control in targets}
        self._matrix = np.zeros((len(targets), len(given)), np.float32)
        self.held: npt.NDArray[np.bool_] = np.zeros(len(targets), np.bool_)
        for row, control in enumerate(targets):
            if control.name in column:
                self._matrix[row, column[control.name]] = 1.0
                self.held[row] = True
                continue
            rule = _RULE_OF.get(control.name)
            if rule is None:
                continue
            signed = control.minimum < 0
            terms = [
                (name, weight)
                for name, weight in rule.terms
                if name in column and not (name in taken and (signed or weight > 0))
            ]
            if not any(
                name not in taken and (signed or weight > 0 or VOCABULARY[name].minimum < 0) for name, weight in terms
            ):
                continue  # nothing given can raise this control; leave it to others
            self.held[row] = True
            for name, weight in terms:
                self._matrix[row, column[name]] = weight
        self._low = np.array([control.minimum for control in targets], np.float32)
        self._high = np.array([control.maximum for control in targets], np.float32)
        rest = np.array([control.rest for control in targets], np.float32)
        self._rest = np.where(self.held, np.float32(0.0), rest)

    def apply(self, values: Sequence[float]) -> Values:
        """Convert values in the order of `given` to float32 [c]; controls that are not held stay at rest."""
        out: Values = self._matrix @ np.asarray(values, np.float32)
        out += self._rest
        return np.clip(out, self._low, self._high, out=out)


@lru_cache(maxsize=256)
def derivation(given: tuple[str, ...], targets: tuple[Control, ...]) -> Derivation:
    """Return the conversion for these names, cached: drivers send the same names frame after frame."""
    return Derivation(given, targets)


def derive(given: Mapping[str, float], targets: Sequence[Control]) -> dict[str, float]:
    """Derive the controls in `targets` from the given ones by `RULES`.

    Args:
        given: any controls of the vocabulary, in natural units.
        targets: the controls that a character takes.

    Returns:
        Only those targets that the given controls move.

    Raises:
        ControlError: an unknown name or a value that is not a finite number.
    """
    check_controls(given)
    way = derivation(tuple(given), tuple(targets))
    values = way.apply(list(given.values()))
    return {control.name: float(values[row]) for row, control in enumerate(targets) if way.held[row]}
