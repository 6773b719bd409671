"""Lists of chains as people write them in files: by slug, name or id, with a mark between them.

Belongs here: taking such a list apart. Finding one chain, and what is known about it, is `chains.registry`.
"""

import re
from typing import Final

from portfolio_pipelines.chains.registry import Chain, Registry, UnknownChainError

MARKS: Final = re.compile(r"[;,|]")
"""Between chains of a list. Not blanks: names have them."""


def find_chains(registry: Registry, texts: str) -> tuple[list[Chain], list[str]]:
    """The chains of a list such as `ethereum; arbitrum`, each once, by slug; and what is wrong with the others."""
    found: dict[str, Chain] = {}
    problems = []
    for text in filter(None, (part.strip() for part in MARKS.split(texts))):
        try:
            chain = registry.find(text)
        except UnknownChainError as error:
            problems.append(str(error))
        else:
            found[chain.slug] = chain
    return [found[slug] for slug in sorted(found)], problems
