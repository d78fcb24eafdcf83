"""The last frame of a producer, in every requested variant."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np
import zmq

from engine_bridge.avf.messages import Provenance
from engine_bridge.avf.planes import (
    DEFAULT_JPEG_QUALITY,
    RAW,
    VARIANTS,
    EncodedPicture,
    Part,
    encode_jpeg,
    encode_lz4,
    encode_raw,
    encode_shared,
)
from engine_bridge.avf.ring import RingWriter
from engine_bridge.avf.shared_memory import remove_orphans
from engine_bridge.avf.wire import check_pixels, encode_frame
from engine_bridge.clock import now_ns
from engine_bridge.frame import Frame, Pixels

logger = logging.getLogger(__name__)

Message: TypeAlias = "list[Part | zmq.Frame]"
_SHARED: Final = "shm"
RING_RETRY_NS: Final = 30_000_000_000


class LastFrame:
    """Encodes a frame once per variant, even after its pixels are overwritten.

    Attributes:
        jpeg_quality: 1 to 100; may be changed at any time.
    """

    def __init__(self, *, stream: str, session: int, shared_memory: bool, clock: Callable[[], int] = now_ns) -> None:
        self._shared_memory = shared_memory
        self._clock = clock
        self._ring_due_ns: int | None = None  # when to retry after running out of room
        self.jpeg_quality = DEFAULT_JPEG_QUALITY
        self._stream = stream
        self._session = session
        self._frame: Frame | None = None
        self._provenance: Provenance | None = None
        self._messages: dict[str, Message] = {}
        self._ring: RingWriter | None = None
        self._lies_in_ring = False

    @property
    def variants(self) -> tuple[str, ...]:
        """Available variants; without shared memory while there is no room for it."""
        shared = self._shared_memory and self._ring_due_ns is None
        return tuple(variant for variant in VARIANTS if shared or variant != _SHARED)

    @property
    def frame_id(self) -> int:
        """Number of the frame, 0 before the first."""
        return self._frame.frame_id if self._frame is not None else 0

    @property
    def exists(self) -> bool:
        """Whether there has been a frame."""
        return self._frame is not None

    @property
    def can_be_sent(self) -> bool:
        """Whether there is a frame whose pixels are still readable."""
        return self._frame is not None and not (self._lies_in_ring and not (self._ring and self._ring.is_whole))

    @property
    def ring_name(self) -> str:
        """Name of the shared-memory ring, empty while there is none."""
        return self._ring.name if self._ring is not None else ""

    def take(self, frame: Frame, provenance: Provenance | None) -> None:
        """Advance to the next frame. Its pixels must stay unchanged until `keep` is called.

        Args:
            frame: with its publishing time.
            provenance: sent with it.

        Raises:
            WireError: the wire cannot carry these pixels.
        """
        check_pixels(frame)
        self._frame = frame
        self._provenance = provenance
        self._lies_in_ring = False
        self._messages.clear()
        if self._shared_memory and (self._ring is None or self._ring.capacity < frame.pixels.nbytes):
            self._make_ring(frame.pixels.nbytes)

    def message(self, variant: str) -> Message:
        """Return the frame's parts; raw and shared-memory pixels are copied."""
        if variant not in self._messages:
            assert self._frame is not None
            picture = self._picture(variant, self._frame.pixels)
            message: Message = [
                *encode_frame(
                    self._frame,
                    stream=self._stream,
                    session=self._session,
                    publish_ns=self._frame.publish_ns,
                    provenance=self._provenance,
                    variant=variant,
                    picture=picture,
                )
            ]
            if picture.planes[0]["e"] == RAW:
                message[-1] = zmq.Frame(message[-1], copy=True)
            self._messages[variant] = message
        return self._messages[variant]

    def keep(self) -> None:
        """Release the caller's pixels, in favour of a copy that was already made, if any."""
        assert self._frame is not None
        pixels = self._frame.pixels
        if RAW in self._messages:
            copied = self._messages[RAW][-1]
            assert isinstance(copied, zmq.Frame)
            kept = np.frombuffer(copied.buffer, np.uint8).reshape(pixels.shape)
        elif _SHARED in self._messages and self._ring is not None:
            kept = self._ring.last(pixels.nbytes).reshape(pixels.shape)
            self._lies_in_ring = True
        else:
            kept = pixels.copy()
        self._frame = replace(self._frame, pixels=kept)

    def close(self) -> None:
        """Remove the shared-memory ring."""
        self._frame = None
        self._messages.clear()
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _picture(self, variant: str, pixels: Pixels) -> EncodedPicture:
        if variant == "lz4":
            return encode_lz4(pixels)
        if variant == "jpeg":
            return encode_jpeg(pixels, self.jpeg_quality)
        if variant == _SHARED and self._ring is not None:
            try:
                return encode_shared(pixels, self._ring)
            except OSError as error:
                self._go_without_ring(error)
        return encode_raw(pixels)

    def _make_ring(self, capacity: int) -> None:
        """Create a ring for pictures of this many bytes, replacing one that is too small."""
        if self._ring_due_ns is not None and self._clock() < self._ring_due_ns:
            return
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        try:
            remove_orphans()
            self._ring = RingWriter(capacity, session=self._session)
        except OSError as error:
            self._go_without_ring(error)
            return
        if self._ring_due_ns is not None:
            self._ring_due_ns = None
            logger.warning("%s: there is room for shared memory again", self._stream)

    def _go_without_ring(self, error: OSError) -> None:
        """Send pixels over the socket, in every variant, until the next attempt. Logged once, not at every attempt."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        if self._ring_due_ns is None:
            logger.warning(
                "%s: shared memory is unavailable, pixels travel over the socket: %s",
                self._stream,
                error.strerror or error,
            )
        self._ring_due_ns = self._clock() + RING_RETRY_NS
