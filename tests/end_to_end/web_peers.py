"""Shared by the tests of the relay and the page: a producer in a thread, and the browser's end of the WebSocket."""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect

from engine_bridge import ControlServer, ControlSpec, ControlState, ExpressionSpec, Frame, Pixels, Publisher, StreamInfo
from engine_bridge.avf.control_wire import ServerMessage, decode_server_message
from engine_bridge.avf.wire import FrameMessage, Message, decode

PATIENCE_S = 60.0
CONTROLS = [
    ControlSpec("jawOpen", 0.0, 1.0, 0.0, "mouth"),
    ControlSpec("headYaw", -30.0, 30.0, 0.0, "head"),
    ControlSpec("gazeYaw", -30.0, 30.0, 0.0, "head"),
    *(ControlSpec(viseme, 0.0, 1.0, 0.0, "visemes") for viseme in ("aa", "ih", "ou", "ee", "oh")),
]


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def card(side: int = 256) -> Pixels:
    """Every alpha next to every strength of some colours; no row is predictable from the next."""
    y, x = np.mgrid[0:side, 0:side]
    return np.stack([x * 7 + y * 3, y * 5, (x ^ y) * 3, (x + y * 11)], axis=-1).astype(np.uint8)


class Producer:
    """A live loop without a character, in a thread: a publisher and a control server on free ports, 60 rounds a second.

    Attributes:
        pixels: shown in every frame; may be replaced.
        states: received control states, in order.
        publisher: of the frames.
        control: of the control channel.
        watched: whether there are subscribers.
    """

    def __init__(
        self,
        pixels: Pixels,
        *,
        stream: str = "aki",
        frames: str = "tcp://127.0.0.1:0",
        control: str = "tcp://127.0.0.1:0",
    ) -> None:
        self.pixels = pixels
        self.states: list[ControlState] = []
        self.watched = False
        self.publisher = Publisher(frames, stream=stream)
        height, width = pixels.shape[:2]
        info = StreamInfo(
            session=self.publisher.session,
            stream=stream,
            character="Aki",
            width=width,
            height=height,
            fps=60.0,
            controls=CONTROLS,
            identities=["aki", "yuki"],
            expressions=[ExpressionSpec("happy", "1"), ExpressionSpec("relaxed"), ExpressionSpec("surprised")],
            has_mapping=True,
        )
        self.control = ControlServer(control, info)
        self.publisher.control_endpoint = self.control.endpoint
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="producer", daemon=True)
        self._thread.start()

    def __enter__(self) -> Producer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say bye and free the ports."""
        self._stop.set()
        self._thread.join(PATIENCE_S)
        self.publisher.close()
        self.control.close()

    def _play(self) -> None:
        number = 0
        while not self._stop.wait(1 / 60):
            state = self.control.poll()
            if state is not None:
                self.states.append(state)
            self.watched = self.publisher.has_subscribers
            if not self.watched:
                continue
            number += 1
            last = self.states[-1] if self.states else ControlState()
            frame = Frame(self.pixels, number, 0, "", 0, 0, 0, last.control_id, last.timestamp_ns, "test")
            self.publisher.publish(frame)


class Browser:
    """The browser's end of a WebSocket to the relay, without a browser."""

    def __init__(self, address: str, query: str = "stream=aki", **options: Any) -> None:
        self._open = contextlib.ExitStack()
        url = f"ws://{address}/avf1?{query}"
        self.socket: ClientConnection = self._open.enter_context(
            connect(url, max_size=None, compression=None, open_timeout=PATIENCE_S, **options)
        )

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()

    def ask(self) -> None:
        self.socket.send("more")

    def say(self, part: bytes) -> None:
        """Send a control message."""
        self.socket.send(b"\x01" + struct.pack("<I", len(part)) + part)

    def parts(self) -> list[bytes]:
        """The parts of the next message of any kind."""
        message = self.socket.recv(timeout=PATIENCE_S)
        assert isinstance(message, bytes)
        lengths = struct.unpack_from(f"<{message[0]}I", message, 1)
        at, parts = 1 + 4 * message[0], []
        for length in lengths:
            parts.append(message[at : at + length])
            at += length
        assert at == len(message)
        return parts

    def message(self) -> Message:
        """The next message of the frame channel."""
        while len(parts := self.parts()) == 1:
            pass
        return decode(parts)

    def frame(self) -> Frame:
        """The next frame, without asking for it."""
        while not isinstance(message := self.message(), FrameMessage):
            pass
        return message.frame

    def answer(self) -> ServerMessage:
        """The next message of the control channel."""
        while len(parts := self.parts()) != 1:
            pass
        return decode_server_message(parts[0])
