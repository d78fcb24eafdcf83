"""Pacing of a run with a time limit: how much of its schedule a picture stands for.

Learning rates follow the pictures shown in a stage. With a time limit, a picture counts for as many as
needed for the schedule to end on time. The number follows the speed, which is measured continuously.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from training.settings import Stage
from training.task import Position

USUAL_LOOK_S: Final = 10.0


class Pace:
    """How many pictures of the schedule a picture counts for.

    Attributes:
        factor: that number; 1 before the first measurement, or without a limit.
        look_s: seconds until the next measurement.
    """

    def __init__(self, stages: Sequence[Stage], minutes: float | None) -> None:
        """Plan the time.

        Args:
            stages: of the recipe; time is divided by their pictures times their pixels.
            minutes: total training time; None for as long as the recipe says.
        """
        self._stages = stages
        self._seconds = None if minutes is None else minutes * 60
        self.factor = 1.0
        self._owed = 0.0
        self._images_per_s = 0.0
        self.look_s = USUAL_LOOK_S if self._seconds is None else min(USUAL_LOOK_S, self._seconds / 50)

    def counted(self, shown: int) -> int:
        """Pictures of the schedule, for so many shown."""
        if self._seconds is None:
            return shown
        self._owed += shown * self.factor
        whole = int(self._owed)
        self._owed -= whole
        return whole

    def begin(self, position: Position) -> None:
        """Enter a stage, assuming the previous speed until it is measured. An optimistic guess is soon corrected."""
        if self._images_per_s:
            self.measure(position, self._images_per_s)

    def measure(self, position: Position, images_per_s: float) -> None:
        """Update the speed.

        Args:
            position: of the run, with the seconds spent so far.
            images_per_s: current speed.
        """
        if self._seconds is None:
            return
        stage = self._stages[position.stage]
        self._images_per_s = images_per_s
        pictures = max(stage.kimg * 1000 - position.stage_images, 0)
        now = pictures * stage.size_px**2
        later = sum(1000 * other.kimg * other.size_px**2 for other in self._stages[position.stage + 1 :])
        left = (self._seconds - position.seconds) * now / max(now + later, 1)
        # With no time left, one more step ends the stage.
        self.factor = pictures / max(images_per_s * left, 1) if left > 0 else max(pictures, 1)
