"""A road whose work can be ended between any two calls to the other systems, as a dying worker's is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.road import Road


class _Watched:
    """A client that calls `at_moment` with "before <method>" and "after <method>" around each call."""

    def __init__(self, client: Any, at_moment: Callable[[str], object]) -> None:
        self._client = client
        self._at_moment = at_moment

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            self._at_moment(f"before {name}")
            result = method(*arguments, **options)
            self._at_moment(f"after {name}")
            return result

        return call

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


@dataclass
class FragileRoad(Road):
    """`at_moment` is called before and after each call of a client's method; whatever it raises ends the step."""

    at_moment: Callable[[str], object] = field(repr=False, default=lambda moment: None)

    def amazon(self, account_name: str) -> Any:
        return _Watched(super().amazon(account_name), self.at_moment)

    def cancellations(self, client: Any, account_name: str) -> Any:
        return _Watched(super().cancellations(client, account_name), self.at_moment)

    def commerce(self, connection: str) -> Any:
        return _Watched(super().commerce(connection), self.at_moment)
