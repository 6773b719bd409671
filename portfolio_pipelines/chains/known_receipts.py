"""Receipt tokens that do not name what they stand for, or not in a way that anybody could not copy.

Belongs here: contracts that everybody knows. A rate by itself says nothing of its coin (`getExchangeRate` has no
underlying, Compound's market of the coin has none either), so these are never recognised by their functions alone.
"""

from collections.abc import Mapping
from typing import Final

from portfolio_pipelines.chains.receipt_tokens import Kind

NATIVE: Final = "native"

KNOWN_RECEIPTS: Final[Mapping[tuple[int, str], tuple[Kind, str]]] = {
    (1, "0x7f39c581f595b53c5cb19bd0b3f8da6c935e2ca0"): ("wsteth", "0xae7ab96520de3a18e5e111b5eaab095312d7fe84"),
    (1, "0xae78736cd615f374d3085123a210448e74fc6393"): ("reth", NATIVE),
    (1, "0x4ddc2d193948926d02f9b1fe9e1daa0718270ed5"): ("ctoken", NATIVE),  # cETH
    (56, "0xa07c5b74c9b40447a954e1466938b865b6bbea36"): ("ctoken", NATIVE),  # vBNB of Venus
}
"""Kind and underlying by chain and contract."""
