"""What endpoints can do and how much they take, remembered between runs.

Belongs here: the facts about an endpoint and the interface of their store. Not here: finding them out (`probing`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, Self


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


@dataclass(slots=True)
class Facts:
    """What is known about one endpoint; None where it is not known yet.

    Args:
        override: Whether a call may replace code at an address.
        deployless: Whether creation code may run and give its answer by returning it.
        deployless_revert: Whether it may give its answer by reverting with it.
        gas_cap: Gas that a call gets when it does not name any.
        batch: Elements of a batch that it takes; 1 means no batches.
        log_range: Blocks that one search for logs may span.
        learnt_at: Seconds since the epoch when the first of these was learnt.
    """

    override: bool | None = None
    deployless: bool | None = None
    deployless_revert: bool | None = None
    gas_cap: int | None = None
    batch: int | None = None
    log_range: int | None = None
    learnt_at: float | None = None

    @classmethod
    def load(cls, stored: Mapping[str, Any] | None, now: float, kept_seconds: float) -> Self:
        """Facts from a store; what is too old, unknown or of another type there is left out.

        Args:
            stored: As it was saved.
            now: Seconds since the epoch.
            kept_seconds: Age from which facts are learnt anew.
        """
        stored = stored or {}
        learnt_at = stored.get("learnt_at")
        if not isinstance(learnt_at, int | float) or not 0 <= now - learnt_at < kept_seconds:
            return cls()
        facts = cls(learnt_at=float(learnt_at))
        for name in ("override", "deployless", "deployless_revert"):
            if isinstance(stored.get(name), bool):
                setattr(facts, name, stored[name])
        for name in ("gas_cap", "batch", "log_range"):
            if type(stored.get(name)) is int and stored[name] >= 1:
                setattr(facts, name, stored[name])
        return facts

    def to_json(self) -> dict[str, Any]:
        """What a store keeps."""
        return {name: value for name, value in asdict(self).items() if value is not None}
