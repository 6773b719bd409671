"""JSON tables: an array of objects, or one object a line. Numbers keep the digits that were written.

Belongs here: turning objects into text cells. Which columns are wanted is `table_files`.
"""

import json
from collections.abc import Collection
from typing import Any, Final

import polars as pl

from portfolio_pipelines.market.file_faults import Faults

SHAPE: Final = "JSON must be an array of objects, or one object a line"


LIST_MARK: Final = ";"
"""Stands between the texts of a list."""


def json_rows(text: str, faults: Faults, lists: Collection[str] = ()) -> tuple[list[str], pl.DataFrame]:
    """Cells of a JSON table.

    Args:
        text: The file's text.
        faults: Collects objects that repeat a name or hold lists and objects.
        lists: Names, in lower case, under which a list of texts is welcome; it becomes one text, parted by LIST_MARK.

    Returns:
        The names in order of appearance, and a frame of `row` (from 1: place in the array, or line) and
        `column_0`, `column_1`, … as text; null where an object lacks the name.

    Raises:
        FileRefusedError: If it is not JSON of this shape.
    """
    numbered = _parse_array(text, faults) if text.lstrip()[:1] == "[" else _parse_lines(text, faults)
    names: dict[str, None] = {}
    for row, pairs in numbered:
        own = [name for name, _ in pairs]
        names.update(dict.fromkeys(own))
        for name in sorted({name for name in own if own.count(name) > 1}):
            faults.add(f"repeats {name!r}", row)
    columns: list[list[str | None]] = [[] for _ in names]
    for row, pairs in numbered:
        cells = dict(pairs)
        for column, name in zip(columns, names, strict=True):
            value = cells.get(name)
            if isinstance(value, list) and not isinstance(value, _Pairs) and name.strip().lower() in lists:
                value = LIST_MARK.join(map(str, value)) if all(isinstance(item, str) for item in value) else value
            column.append(_as_text(name, value, row, faults))
    frame = pl.DataFrame(
        {f"column_{place}": pl.Series(column, dtype=pl.String) for place, column in enumerate(columns)}
    )
    rows = pl.Series("row", [row for row, _ in numbered], dtype=pl.UInt32)
    return list(names), frame.select(rows, pl.all()) if names else rows.to_frame()


class _Pairs(list[tuple[str, Any]]):
    """The names and values of one object, repeated names included."""


def _parse(text: str) -> Any:
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_Pairs)


def _parse_array(text: str, faults: Faults) -> list[tuple[int, _Pairs]]:
    try:
        items = _parse(text)
    except (json.JSONDecodeError, RecursionError) as error:
        faults.add(f"is not valid JSON: {error}")
        raise faults.refusal() from error
    if any(not isinstance(item, _Pairs) for item in items):
        faults.add(SHAPE)
        raise faults.refusal()
    return list(enumerate(items, 1))


def _parse_lines(text: str, faults: Faults) -> list[tuple[int, _Pairs]]:
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = _parse(line)
        except (json.JSONDecodeError, RecursionError) as error:
            faults.add(f"is not valid JSON ({error}); {SHAPE}", number)
            raise faults.refusal() from error
        if not isinstance(item, _Pairs):
            faults.add(SHAPE, number)
            raise faults.refusal()
        found.append((number, item))
    return found


def _as_text(name: str, value: object, row: int, faults: Faults) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        faults.add(f"{name} holds a list or an object", row)
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        faults.add(f"{name} holds half of a character (a lone surrogate)", row)
        return None
    return value
