"""The drivers of one running remediator, each made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from remediator.drivers.base import Driver


class OpenedDrivers(Mapping[str, Driver]):
    """Drivers by name. What is never asked for is never made, and never imported."""

    def __init__(self, kinds: Collection[str], make: Callable[[str], Driver]) -> None:
        self._kinds = kinds
        self._make = make
        self._opened: dict[str, Driver] = {}

    def __getitem__(self, kind: str) -> Driver:
        if kind not in self._kinds:
            raise KeyError(kind)
        if kind not in self._opened:
            self._opened[kind] = self._make(kind)
        return self._opened[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    async def close(self) -> None:
        """Free the connections of those that were made."""
        for driver in self._opened.values():
            await driver.close()
