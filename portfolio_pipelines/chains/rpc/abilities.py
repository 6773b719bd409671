"""What one endpoint can do: found out when first needed, remembered in a store, forgotten when disproved.

Belongs here: whether a question suits an endpoint, and learning from refusals. Not here: the programs that prove an
ability (`probing`), or the form of what is stored (`capabilities`).
"""

import logging
from typing import Final

from portfolio_pipelines.chains.rpc.capabilities import CapabilityStore, Facts
from portfolio_pipelines.chains.rpc.classification import Where
from portfolio_pipelines.chains.rpc.errors import RpcError, TooMuch, Unsupported
from portfolio_pipelines.chains.rpc.policy import Clock, Policy
from portfolio_pipelines.chains.rpc.probing import Ask, probe_deployless, probe_override
from portfolio_pipelines.chains.rpc.questions import Question

_LOGGER: Final = logging.getLogger(__name__)


class Abilities:
    """The facts about one endpoint, and what follows from them."""

    def __init__(self, chain_id: int, where: Where, store: CapabilityStore, policy: Policy, clock: Clock) -> None:
        """Start from what the store remembers; a store that fails remembers nothing."""
        self._chain_id, self._where, self._store, self._clock = chain_id, where, store, clock
        try:
            stored = store.load(chain_id, where.endpoint)
        except Exception:  # whatever a store is made of, a lost note costs a probe and not the chain
            self._warn("what was learnt before could not be loaded")
            stored = None
        self.facts = Facts.load(stored, clock.wall(), policy.facts_seconds)

    def are_unknown_for(self, question: Question) -> bool:
        """Whether the endpoint must be probed before it is asked this."""
        return (question.overrides_code and self.facts.override is None) or (
            question.is_deployless and self.facts.deployless is None
        )

    def refusal_of(self, question: Question) -> RpcError | None:
        """Why the endpoint need not be asked this; None when nothing that is known speaks against it."""
        chain, endpoint = self._where.chain, self._where.endpoint
        if question.overrides_code and self.facts.override is False:
            return Unsupported(chain, endpoint, "does not honour replaced code in a call")
        if question.is_deployless and (self.facts.deployless, self.facts.deployless_revert) == (False, False):
            return Unsupported(chain, endpoint, "does not run creation code in a call")
        span, most = question.log_range, self.facts.log_range
        if span is not None and most is not None and span[1] - span[0] >= most:
            return TooMuch(chain, endpoint, f"searches {most} blocks at once", (span[0], span[0] + most - 1), most)
        return None

    async def find_out(self, question: Question, ask: Ask) -> None:
        """Probe what a question needs and nobody knows yet.

        Raises:
            RpcError: If the endpoint could not be asked; nothing was learnt.
        """
        before = self.facts.to_json()
        if question.overrides_code and self.facts.override is None:
            await probe_override(ask, self.facts)
        if question.is_deployless and self.facts.deployless is None:
            await probe_deployless(ask, self.facts)
        if self.facts.to_json() != before:
            self._save()

    def doubt_override(self) -> None:
        """It was proved once, but whoever answers there now does not honour it: probe again."""
        self.facts.override = None

    def learn_batch(self, refused: int) -> None:
        """A batch of that size was refused: half of it is tried next."""
        self.facts.batch = max(1, refused // 2)
        self._save()

    def learn_log_range(self, most: int) -> None:
        """The endpoint named the most blocks that a search may span."""
        self.facts.log_range = min(most, self.facts.log_range or most)
        self._save()

    def _save(self) -> None:
        if self.facts.learnt_at is None:
            self.facts.learnt_at = self._clock.wall()
        try:
            self._store.save(self._chain_id, self._where.endpoint, self.facts.to_json())
        except Exception:  # see above
            self._warn("what was learnt could not be saved")

    def _warn(self, what: str) -> None:
        _LOGGER.warning("%s at %s: %s", self._where.chain, self._where.endpoint, what, exc_info=True)
