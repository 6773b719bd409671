from datetime import date

import pytest

from portfolio_pipelines.assets.chain_days import CHAIN_DAYS, box, chain_days_of, partition_key, partitioned_chains
from portfolio_pipelines.chains.registry import load_registry

DAY, NEXT = date(2026, 1, 1), date(2026, 1, 2)


class Keys:
    def __init__(self, *keys: str) -> None:
        self.partition_keys = keys


def test_a_key_names_the_chain_first_as_dagster_sorts_its_dimensions() -> None:
    assert partition_key(DAY, "base") == "base|2026-01-01"
    assert chain_days_of(Keys("base|2026-01-01", "ethereum|2026-01-02")) == [(DAY, "base"), (NEXT, "ethereum")]


def test_a_box_goes_from_the_first_day_of_the_first_chain_to_the_last_of_the_last_in_the_order_of_the_registry() -> (
    None
):
    assert box([NEXT, DAY], ["bitcoin", "ethereum", "base"]) == ("ethereum|2026-01-01", "bitcoin|2026-01-02")
    assert box([DAY], ["base"]) == ("base|2026-01-01", "base|2026-01-01")


def test_dagster_takes_a_box_for_all_days_of_all_chains_between() -> None:
    import dagster as dg

    first, last = box([DAY, NEXT], ["ethereum", "optimism"])
    keys = CHAIN_DAYS.get_partition_keys_in_range(dg.PartitionKeyRange(first, last))
    assert chain_days_of(Keys(*keys)) == [(day, chain) for chain in ("ethereum", "optimism") for day in (DAY, NEXT)]


def test_a_chain_that_is_not_enabled_has_no_partitions_but_a_local_one_has() -> None:
    slugs = partitioned_chains(load_registry())
    assert "anvil" in slugs
    assert "sepolia" not in slugs
    with pytest.raises(KeyError):
        box([DAY], ["sepolia"])
