"""libzmq's events: refusals are distinguished from mishaps, and every refusal says what to do."""

from __future__ import annotations

import errno

import pytest
import zmq

from engine_bridge.access.keys import ClientKeys
from engine_bridge.sockets.handshake import HandshakeJudge

KEYS = ClientKeys("s" * 40, "p" * 40, "secret" * 6 + "four")
MISMATCH = zmq.Event.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
SUCCEEDED, AUTH = zmq.Event.HANDSHAKE_SUCCEEDED, zmq.Event.HANDSHAKE_FAILED_AUTH
PROTOCOL, NO_DETAIL = zmq.Event.HANDSHAKE_FAILED_PROTOCOL, zmq.Event.HANDSHAKE_FAILED_NO_DETAIL


def judge(keys: ClientKeys | None = KEYS) -> HandshakeJudge:
    return HandshakeJudge("tcp://aki:5760", keys)


@pytest.mark.parametrize(
    ("keys", "event", "value", "advice"),
    [
        (KEYS, AUTH, 400, f"bunraku keys add NAME --public '{KEYS.public}'"),
        (KEYS, AUTH, 500, "its log says why"),
        (None, PROTOCOL, MISMATCH, "--key NAME.client.toml"),
        (KEYS, PROTOCOL, MISMATCH, "with --keys, or leave the key out"),
        (None, PROTOCOL, 0x10000001, "0x10000001"),
    ],
)
def test_refusal_says_what_to_do(keys: ClientKeys | None, event: int, value: int, advice: str) -> None:
    refusal = judge(keys).refusal_in(event, value)
    assert refusal is not None
    assert "tcp://aki:5760" in refusal
    assert advice in refusal
    assert KEYS.secret not in refusal


def test_producer_that_always_disconnects_has_another_key() -> None:
    judging = judge()
    assert judging.refusal_in(NO_DETAIL, errno.EPIPE) is None
    assert judging.refusal_in(NO_DETAIL, errno.ECONNRESET) is None
    for _ in range(2):
        refusal = judging.refusal_in(NO_DETAIL, errno.EPIPE)
        assert refusal is not None
        assert KEYS.server in refusal


def test_producer_that_sometimes_dies_during_a_handshake_is_not_a_refusal() -> None:
    judging = judge()
    for _ in range(10):
        assert judging.refusal_in(NO_DETAIL, errno.EPIPE) is None
        assert judging.refusal_in(NO_DETAIL, errno.EPIPE) is None
        assert judging.refusal_in(SUCCEEDED, 0) is None


def test_stopped_producer_and_a_tunnel_without_a_peer_are_not_refusals() -> None:
    judging, without_keys = judge(), judge(None)
    for _ in range(100):
        assert judging.refusal_in(NO_DETAIL, errno.EAGAIN) is None
        assert without_keys.refusal_in(NO_DETAIL, errno.EPIPE) is None
