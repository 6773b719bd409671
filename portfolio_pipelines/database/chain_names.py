"""Which chain a person means: its slug, its id, or its name, in any case.

Belongs here: finding a chain by what somebody wrote, and explaining why it cannot be found, pure. What is known about
chains is in `chains.registry`.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, Protocol

MARKS: Final = re.compile(r"[;,|]")
"""Between chains of a list. Not blanks: names have them."""


class NamedChain(Protocol):
    """The part of a chain of the registry that matters here."""

    @property
    def chain_id(self) -> int:
        """Its number."""
        ...

    @property
    def slug(self) -> str:
        """Its short name, lower case."""
        ...

    @property
    def name(self) -> str:
        """Its name for people."""
        ...

    @property
    def family(self) -> str:
        """Either evm, solana or bitcoin."""
        ...

    @property
    def enabled(self) -> bool:
        """Whether it is read at all."""
        ...


class ChainNames:
    """Chains by everything that people call them."""

    def __init__(self, chains: Iterable[NamedChain]) -> None:
        self._by_text: dict[str, list[NamedChain]] = {}
        for chain in chains:
            for text in {chain.slug.lower(), chain.name.lower(), str(chain.chain_id)}:
                self._by_text.setdefault(text, []).append(chain)

    def find(self, text: str) -> NamedChain | None:
        """The chain that the text means; None when it means none or several. A slug wins over a name."""
        wanted = _key(text)
        found = self._by_text.get(wanted, [])
        exact = [chain for chain in found if chain.slug.lower() == wanted] or found
        return exact[0] if len(exact) == 1 else None

    def explain(self, text: str) -> str:
        """Why `find` found nothing, and what to write instead."""
        several = self._by_text.get(_key(text), [])
        if several:
            return f"chain {text!r} is ambiguous: write one of {', '.join(chain.slug for chain in several)}"
        close = get_close_matches(_key(text), self._by_text, n=3, cutoff=0.6)
        slugs = dict.fromkeys(chain.slug for match in close for chain in self._by_text[match])
        hint = f"; did you mean {' or '.join(slugs)}?" if slugs else "; `portfolio chains` lists those that are known"
        return f"unknown chain {text!r}{hint}"

    def find_all(self, texts: str) -> tuple[list[NamedChain], list[str]]:
        """The chains of a list such as `ethereum; arbitrum`, each once, by slug; and what is wrong with the others."""
        found: dict[str, NamedChain] = {}
        problems = []
        for text in filter(None, (part.strip() for part in MARKS.split(texts))):
            chain = self.find(text)
            if chain is None:
                problems.append(self.explain(text))
            else:
                found[chain.slug] = chain
        return [found[slug] for slug in sorted(found)], problems


def _key(text: str) -> str:
    return " ".join(text.split()).lower()
