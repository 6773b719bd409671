"""What a build makes and tests again when some sources changed."""

from typing import Any

import pytest

from portfolio_pipelines.resources.dbt_manifest import touched_nodes


def node(kind: str, name: str, parents: list[str], materialized: str = "table") -> dict[str, Any]:
    return {
        "resource_type": kind, "name": name, "depends_on": {"nodes": parents}, "config": {"materialized": materialized},
    }  # fmt: skip


MANIFEST = {
    "sources": {"s.prices": {"name": "prices"}, "s.wallets": {"name": "wallets"}, "s.users": {"name": "users"}},
    "nodes": {
        "m.values": node("model", "values", ["s.prices", "m.people"], "incremental"),
        "m.people": node("model", "people", ["s.users"]),
        "m.shown": node("model", "shown", ["m.values"], "view"),
        "m.totals": node("model", "totals", ["m.shown"]),
        "m.addresses": node("model", "addresses", ["s.wallets"]),
        "t.shown": node("test", "shown_adds_up", ["m.shown", "m.people"]),
        "t.addresses": node("test", "addresses_are_unique", ["m.addresses"]),
    },
}


@pytest.mark.parametrize(
    ("changed", "touched"),
    [
        ({"prices"}, ["totals", "values", "shown_adds_up"]),  # through a view, which is left as it is
        ({"wallets"}, ["addresses", "addresses_are_unique"]),
        ({"users"}, ["people", "totals", "values", "shown_adds_up"]),
        ({"prices", "wallets"}, ["addresses", "totals", "values", "addresses_are_unique", "shown_adds_up"]),
        ({"unread"}, []),
        (set(), []),
    ],
)
def test_what_reads_a_changed_source_is_made_and_tested_again(changed: set[str], touched: list[str]) -> None:
    assert touched_nodes(MANIFEST, changed) == touched
