"""Names that other people chose, made safe to print: tokens, pools, labels and users may call themselves anything.

Belongs here: what a name may look like on paper. Escaping for a format is done by whoever writes the format.
"""

import unicodedata
from typing import Final

LONGEST_NAME: Final = 48
LONGEST_IN_TABLE: Final = 24
"""In the columns of tables, where a long name would make its row tall."""
NO_NAME: Final = "(no name)"
UNPRINTABLE: Final = "\N{REPLACEMENT CHARACTER}"
MOST_MARKS: Final = 2
"""Accents on one letter; towers of them would cover the lines above."""
JOINERS: Final = "\u200c\u200d\ufe0e\ufe0f"
"""What only chooses the shape of an emoji or a ligature; leaving it out changes no meaning."""
READ_AHEAD: Final = 8
"""Characters looked at for each one that is kept: a name of megabytes costs no more than a long one."""


def printable(name: str | None, most: int = LONGEST_NAME) -> str:
    """One line of a name that someone else chose.

    Args:
        name: Whatever was stored.
        most: Characters at most; what is longer ends with an ellipsis.

    Returns:
        The name without line breaks. Controls, among them those that turn the direction of writing, become a
        replacement character, so that a disguise shows. Never empty.
    """
    if not name:
        return NO_NAME
    kept: list[str] = []
    marks = 0
    for character in name[: most * READ_AHEAD]:
        kind = unicodedata.category(character)
        marks = marks + 1 if kind in {"Mn", "Me"} else 0
        if character in JOINERS or marks > MOST_MARKS:
            continue
        if kind in {"Zs", "Zl", "Zp"} or character in "\t\n\r":
            kept.append(" ")
        else:
            kept.append(UNPRINTABLE if kind in {"Cc", "Cf", "Cs", "Co", "Cn"} else character)
    line = " ".join("".join(kept).split())
    if len(line) > most or len(name) > most * READ_AHEAD:
        line = line[: most - 1].rstrip() + "…"
    return line or NO_NAME


def short_asset(asset_id: str) -> str:
    """A name for an asset that has no symbol: the last part of its id, a contract shortened."""
    last = asset_id.rpartition(":")[2]
    return f"{last[:6]}…{last[-4:]}" if last.startswith("0x") and len(last) > 12 else last
