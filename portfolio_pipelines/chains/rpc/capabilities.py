"""What endpoints can do and how much they take, remembered between runs.

Belongs here: the facts about an endpoint and the interface of their store. Not here: finding them out (`probing`).
"""

from collections.abc import Mapping
from typing import Any, Protocol


class CapabilityStore(Protocol):
    """Where the facts about endpoints outlive a run. Values are JSON-able; calls come from the event loop."""

    def load(self, chain_id: int, endpoint: str) -> Mapping[str, Any] | None:
        """The facts saved last about an endpoint, by its name; None when there are none."""
        ...

    def save(self, chain_id: int, endpoint: str, facts: Mapping[str, Any]) -> None:
        """Replace the facts about an endpoint."""
        ...


class MemoryCapabilityStore:
    """Facts that live as long as this object."""

    def __init__(self) -> None:
        self._facts: dict[tuple[int, str], dict[str, Any]] = {}

    def load(self, chain_id: int, endpoint: str) -> Mapping[str, Any] | None:
        """See `CapabilityStore.load`."""
        return self._facts.get((chain_id, endpoint))

    def save(self, chain_id: int, endpoint: str, facts: Mapping[str, Any]) -> None:
        """See `CapabilityStore.save`."""
        self._facts[chain_id, endpoint] = dict(facts)
