"""Subscriptions on a producer's socket, by connection.

Counted by connection, because a plain count trusts everyone: a client that subscribes twice would count for ever
after it is gone, and one that cancels what it never subscribed to would take it from another client.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_PREFIX_BYTES: Final = 80  # the longest topic
MAX_PER_CONNECTION: Final = 32
NEWS_AT_ONCE: Final = 128  # of one connection
NEWS_PER_S: Final = 16.0  # of one connection, after these

_SWEEP_S: Final = 1.0  # how long to look for one that is gone, and how often without a hint


@dataclass(slots=True)
class _Subscriber:
    identity: int
    prefixes: set[bytes] = field(default_factory=set)
    news_left: float = NEWS_AT_ONCE
    as_of: float = 0.0

    def may_tell(self, now: float) -> bool:
        self.news_left = min(NEWS_AT_ONCE, self.news_left + (now - self.as_of) * NEWS_PER_S) - 1.0
        self.as_of = now
        return self.news_left >= 0.0


class Subscriptions:
    """The subscriptions of one socket.

    Attributes:
        version: changes whenever they do.
    """

    def __init__(self, identity_of: Callable[[int], int | None]) -> None:
        """Start without subscriptions.

        Args:
            identity_of: tells a connection from a later one with the same descriptor; None if it is gone, 0 if
                unavailable.
        """
        self.version = 0
        self._identity_of = identity_of
        self._subscribers: dict[int, _Subscriber] = {}
        self._counts: Counter[bytes] = Counter()
        self._sweep_until = 0.0
        self._sweep_due = 0.0

    @property
    def counts(self) -> Mapping[bytes, int]:
        """Number of subscribed connections per topic prefix."""
        return self._counts

    def add(self, descriptor: int, prefix: bytes) -> bool:
        """Note a subscription.

        Returns:
            False if the connection has asked for too much and should be closed.
        """
        subscriber = self._subscriber(descriptor)
        if subscriber is None:
            return True
        if not subscriber.may_tell(time.monotonic()) or len(prefix) > MAX_PREFIX_BYTES:
            return False
        if prefix in subscriber.prefixes:
            return True
        if len(subscriber.prefixes) >= MAX_PER_CONNECTION:
            return False
        subscriber.prefixes.add(prefix)
        self._count(prefix, 1)
        return True

    def remove(self, descriptor: int, prefix: bytes) -> bool:
        """Note that a connection cancels a subscription; False as for `add`."""
        subscriber = self._subscriber(descriptor)
        if subscriber is None:
            return True
        if prefix in subscriber.prefixes:
            subscriber.prefixes.remove(prefix)
            self._count(prefix, -1)
        return subscriber.may_tell(time.monotonic())

    def somebody_left(self, prefix: bytes) -> None:
        """Note that a subscriber to this has gone; `sweep` finds out which one."""
        self._sweep_until = time.monotonic() + _SWEEP_S
        for subscriber in self._subscribers.values():
            if not subscriber.identity and prefix in subscriber.prefixes:  # it cannot be determined: any of them
                subscriber.prefixes.remove(prefix)
                self._count(prefix, -1)
                return

    def sweep(self) -> None:
        """Forget connections that are gone. Call it often; it rarely checks unless one has left."""
        now = time.monotonic()
        if now < self._sweep_until or now >= self._sweep_due:
            self._sweep_due = now + _SWEEP_S
            for descriptor, subscriber in list(self._subscribers.items()):
                if subscriber.identity and self._identity_of(descriptor) != subscriber.identity:
                    self._forget(descriptor)

    def _subscriber(self, descriptor: int) -> _Subscriber | None:
        """Return the connection; None if it has gone."""
        identity = self._identity_of(descriptor)
        subscriber = self._subscribers.get(descriptor)
        if identity is None:
            return None
        if subscriber is None or subscriber.identity != identity:
            if subscriber is not None:
                self._forget(descriptor)
            subscriber = self._subscribers[descriptor] = _Subscriber(identity, as_of=time.monotonic())
        return subscriber

    def _forget(self, descriptor: int) -> None:
        for prefix in self._subscribers.pop(descriptor).prefixes:
            self._count(prefix, -1)

    def _count(self, prefix: bytes, change: int) -> None:
        self.version += 1
        self._counts[prefix] += change
        if self._counts[prefix] <= 0:
            del self._counts[prefix]
