"""How frames and controls travel: the wire `avf/1`, its publisher and subscriber, and the window.

Names are loaded when they are first asked for, so that importing a part costs no more than that part.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .control_client import ControlClient as ControlClient
    from .control_server import ControlServer as ControlServer
    from .discovery import StreamPlace as StreamPlace
    from .discovery import find_endpoint as find_endpoint
    from .discovery import find_streams as find_streams
    from .endpoints import DEFAULT_CONTROL_ENDPOINT as DEFAULT_CONTROL_ENDPOINT
    from .endpoints import DEFAULT_FRAMES_ENDPOINT as DEFAULT_FRAMES_ENDPOINT
    from .errors import BunrakuError as BunrakuError
    from .errors import MessageRejected as MessageRejected
    from .errors import PrivateFileError as PrivateFileError
    from .errors import ProtocolMismatch as ProtocolMismatch
    from .errors import WireError as WireError
    from .frame import Frame as Frame
    from .frame import Pixels as Pixels
    from .frame_socket import FrameSocket as FrameSocket
    from .keys import ClientKeys as ClientKeys
    from .keys import ServerKeys as ServerKeys
    from .keys import read_client_keys as read_client_keys
    from .keys import read_server_keys as read_server_keys
    from .messages import ClientStats as ClientStats
    from .messages import ControlSpec as ControlSpec
    from .messages import ControlState as ControlState
    from .messages import ExpressionSpec as ExpressionSpec
    from .messages import IdentityMix as IdentityMix
    from .messages import LinkState as LinkState
    from .messages import LiveStats as LiveStats
    from .messages import Provenance as Provenance
    from .messages import StreamInfo as StreamInfo
    from .publisher import Publisher as Publisher
    from .subscriber import Subscriber as Subscriber
    from .subscriber import SubscriberStatistics as SubscriberStatistics
    from .wire import PROTOCOL as PROTOCOL

_HOME: Final = {
    "BunrakuError": "errors",
    "ClientKeys": "keys",
    "ClientStats": "messages",
    "ControlClient": "control_client",
    "ControlServer": "control_server",
    "ControlSpec": "messages",
    "ControlState": "messages",
    "DEFAULT_CONTROL_ENDPOINT": "endpoints",
    "DEFAULT_FRAMES_ENDPOINT": "endpoints",
    "ExpressionSpec": "messages",
    "Frame": "frame",
    "FrameSocket": "frame_socket",
    "IdentityMix": "messages",
    "LinkState": "messages",
    "LiveStats": "messages",
    "MessageRejected": "errors",
    "PROTOCOL": "wire",
    "Pixels": "frame",
    "PrivateFileError": "errors",
    "ProtocolMismatch": "errors",
    "Provenance": "messages",
    "Publisher": "publisher",
    "ServerKeys": "keys",
    "StreamInfo": "messages",
    "StreamPlace": "discovery",
    "Subscriber": "subscriber",
    "SubscriberStatistics": "subscriber",
    "WireError": "errors",
    "find_endpoint": "discovery",
    "find_streams": "discovery",
    "read_client_keys": "keys",
    "read_server_keys": "keys",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
