"""The `avf/1` wire protocol, its publisher and subscriber, and the viewer window.

Names are imported on first use, so that importing one part costs no more than that part.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .access.discovery import StreamPlace as StreamPlace
    from .access.discovery import find_endpoint as find_endpoint
    from .access.discovery import find_streams as find_streams
    from .access.endpoints import DEFAULT_CONTROL_ENDPOINT as DEFAULT_CONTROL_ENDPOINT
    from .access.endpoints import DEFAULT_FRAMES_ENDPOINT as DEFAULT_FRAMES_ENDPOINT
    from .access.keys import ClientKeys as ClientKeys
    from .access.keys import ServerKeys as ServerKeys
    from .access.keys import read_client_keys as read_client_keys
    from .access.keys import read_server_keys as read_server_keys
    from .avf.messages import ClientStats as ClientStats
    from .avf.messages import ControlSpec as ControlSpec
    from .avf.messages import ControlState as ControlState
    from .avf.messages import ExpressionSpec as ExpressionSpec
    from .avf.messages import IdentityMix as IdentityMix
    from .avf.messages import LinkState as LinkState
    from .avf.messages import LiveStats as LiveStats
    from .avf.messages import Provenance as Provenance
    from .avf.messages import StreamInfo as StreamInfo
    from .avf.wire import PROTOCOL as PROTOCOL
    from .client.control_client import ControlClient as ControlClient
    from .client.subscriber import Subscriber as Subscriber
    from .client.subscriber import SubscriberStatistics as SubscriberStatistics
    from .client.wanted import Wanted as Wanted
    from .errors import BunrakuError as BunrakuError
    from .errors import MessageRejected as MessageRejected
    from .errors import PrivateFileError as PrivateFileError
    from .errors import ProtocolMismatch as ProtocolMismatch
    from .errors import WireError as WireError
    from .frame import Frame as Frame
    from .frame import Pixels as Pixels
    from .producer.control_server import ControlServer as ControlServer
    from .producer.publisher import Publisher as Publisher
    from .sockets.frame_socket import FrameSocket as FrameSocket

_HOME: Final = {
    "BunrakuError": "errors",
    "ClientKeys": "access.keys",
    "ClientStats": "avf.messages",
    "ControlClient": "client.control_client",
    "ControlServer": "producer.control_server",
    "ControlSpec": "avf.messages",
    "ControlState": "avf.messages",
    "DEFAULT_CONTROL_ENDPOINT": "access.endpoints",
    "DEFAULT_FRAMES_ENDPOINT": "access.endpoints",
    "ExpressionSpec": "avf.messages",
    "Frame": "frame",
    "FrameSocket": "sockets.frame_socket",
    "IdentityMix": "avf.messages",
    "LinkState": "avf.messages",
    "LiveStats": "avf.messages",
    "MessageRejected": "errors",
    "PROTOCOL": "avf.wire",
    "Pixels": "frame",
    "PrivateFileError": "errors",
    "ProtocolMismatch": "errors",
    "Provenance": "avf.messages",
    "Publisher": "producer.publisher",
    "ServerKeys": "access.keys",
    "StreamInfo": "avf.messages",
    "StreamPlace": "access.discovery",
    "Subscriber": "client.subscriber",
    "SubscriberStatistics": "client.subscriber",
    "Wanted": "client.wanted",
    "WireError": "errors",
    "find_endpoint": "access.discovery",
    "find_streams": "access.discovery",
    "read_client_keys": "access.keys",
    "read_server_keys": "access.keys",
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
