"""How counts are written in messages. What is counted, and the sentences around it, belong to whoever speaks."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: 1 row, 2 rows, 1,000 rows. `many` where the plural is not `one` with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
