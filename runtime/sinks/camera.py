"""The virtual camera: the character as a webcam for other programs.

pyvirtualcam is licensed under GPL 2.0, so Bunraku neither contains nor requires it;
users install it beside Bunraku.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from engine_bridge.errors import SinkError
from engine_bridge.frame import Pixels
from runtime.advice import install_extra

from .base import Show
from .films import RgbLayout, parse_colour
from .worker import NewestWorker

ANY_DEVICE: Final = "auto"


class CameraSink:
    """An open virtual camera."""

    def __init__(self, device: str, show: Show) -> None:
        """Open the camera.

        Args:
            device: `auto` for the first virtual camera found, or its name: `/dev/video<n>` on Linux,
                `OBS Virtual Camera` or `Unity Video Capture` on Windows.
            show: the pictures to come.

        Raises:
            SinkError: there is no such camera, it is in use, pyvirtualcam is not installed, or the colour is not valid.
        """
        self._rgb = RgbLayout(show.width, show.height, show.layout, parse_colour(show.background))
        try:
            import pyvirtualcam
        except ImportError as error:
            raise SinkError(
                f"The virtual camera needs pyvirtualcam (GPL 2.0). Python says: {error}. "
                f"Install it with: {install_extra('camera')}"
            ) from error
        try:
            self._camera: Any = pyvirtualcam.Camera(
                width=self._rgb.width,
                height=self._rgb.height,
                fps=show.fps,
                device=None if device == ANY_DEVICE else device,
            )
        except RuntimeError as error:
            wanted = "virtual camera" if device == ANY_DEVICE else f'virtual camera "{device[:80]}"'
            said = "; ".join(str(error).splitlines()).rstrip(". ")
            raise SinkError(f"No {wanted} accepts {self._rgb.width}x{self._rgb.height}: {said}. {_advice()}") from error

    @property
    def label(self) -> str:
        """The camera's name."""
        return f"camera {self._camera.device}"

    def send(self, pixels: Pixels) -> None:
        """Show a picture, uint8 [H, W, 4], straight alpha."""
        self._camera.send(self._rgb(pixels))

    def close(self) -> None:
        """Release the camera."""
        self._camera.close()


def open_camera(device: str, show: Show) -> NewestWorker:
    """Open a virtual camera with its own thread.

    Args:
        device: as for `CameraSink`; empty for `auto`.
        show: the pictures to come.

    Raises:
        SinkError: as `CameraSink`.
    """

    def open_sink() -> CameraSink:
        return CameraSink(device or ANY_DEVICE, show)

    return NewestWorker("bunraku-camera", open_sink, width=show.width, height=show.height)


def _advice() -> str:
    if sys.platform.startswith("linux"):
        return (
            "Install v4l2loopback (Debian and Ubuntu: sudo apt install v4l2loopback-dkms) and load it: "
            "sudo modprobe v4l2loopback exclusive_caps=1 card_label=Bunraku"
        )
    return "Install OBS, start its virtual camera once and stop it again; no other program may be sending to it."
