"""Errors that Bunraku raises on purpose; those of the trainer are in `training.errors`.

BunrakuError
├── CharacterError         a character file is broken, hostile, too new, or lacks what was requested
├── ControlError           a control has an unknown name or a value that is not a number
├── RecordingError         a recording of controls cannot be read
├── DriverError            a requested driver does not exist or cannot start
├── SinkError              pictures cannot be written to their destination
├── PrivateFileError       a file or folder for this user alone cannot be used: keys, stream files
├── EngineError            an engine cannot load or run a generator
│   ├── EngineUnavailable  the backend is not installed or this machine cannot run it
│   ├── EngineMismatch     an engine was built for something else
│   └── EngineBuildError   building an engine failed
└── WireError              a message or socket of the bridge cannot be used
    ├── FrameOvertaken     a frame in shared memory was overwritten before it was read
    └── MessageRejected    one message breaks the protocol; it is dropped and counted
        └── ProtocolMismatch   the other side speaks another version

A message says what happened, where, and what to do now.
"""

from __future__ import annotations


class BunrakuError(Exception):
    """Base of all errors that a user can fix; the command line prints its text and exits with 1."""


class CharacterError(BunrakuError):
    """A character file is broken, hostile, too new, or lacks what was requested."""


class ControlError(BunrakuError):
    """A control has an unknown name or a value that is not a number."""


class RecordingError(BunrakuError):
    """A recording of controls cannot be read."""


class DriverError(BunrakuError):
    """A requested driver does not exist or cannot start."""


class SinkError(BunrakuError):
    """Pictures cannot be written to their destination."""


class PrivateFileError(BunrakuError):
    """A file or folder for this user alone cannot be used: a key file, or the folder of stream files."""


class EngineError(BunrakuError):
    """An engine cannot load or run a generator."""


class EngineUnavailable(EngineError):
    """The backend is not installed or this machine cannot run it."""


class EngineMismatch(EngineError):
    """An engine was built for something else, such as another GPU or network."""


class EngineBuildError(EngineError):
    """Building an engine failed."""


class WireError(BunrakuError):
    """A message or socket of the bridge cannot be used."""


class FrameOvertaken(WireError):
    """A frame in shared memory was overwritten before it was read: the reader fell behind by the whole ring.

    Attributes:
        session: of the frame, 0 if unknown.
        frame_id: its number, 0 if unknown.
    """

    def __init__(self, text: str, *, session: int = 0, frame_id: int = 0) -> None:
        super().__init__(text)
        self.session = session
        self.frame_id = frame_id


class MessageRejected(WireError):
    """One message breaks the protocol; it is dropped and counted.

    Attributes:
        code: short, stable reason, for counting and for the conformance vectors.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class ProtocolMismatch(MessageRejected):
    """The other side speaks another version; its messages are dropped and counted, and the link says so."""

    def __init__(self, text: str) -> None:
        super().__init__("version", text)
