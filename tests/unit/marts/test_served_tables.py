"""DDL of the served marts."""

import pytest

from portfolio_pipelines.resources.dbt_manifest import Column, Model
from portfolio_pipelines.resources.served_tables import ServedTable, Storage


def table(storage: Storage, description: str = "What it is") -> ServedTable:
    columns = [
        Column("date", "date", "day"),
        Column("user_id", "varchar", "it's text"),
        Column("x", "decimal(38,8)", ""),
    ]
    return ServedTable("mart", description, columns, storage, ["date", "user_id"], [["x"]], ["x"], None)


@pytest.mark.parametrize(
    ("storage", "unit", "bounds"),
    [
        (Storage.MONTH, "2024-12", "from ('2024-12-01') to ('2025-01-01')"),
        (Storage.MONTH, "2024-02", "from ('2024-02-01') to ('2024-03-01')"),
        (Storage.SNAPSHOT, "2024-02-29", "from ('2024-03-01') to ('2024-03-02')"),
        (Storage.WHOLE, "all", "with (modulus 1, remainder 0)"),
    ],
)
def test_a_partition_has_the_bounds_of_its_month_day_or_table(storage: Storage, unit: str, bounds: str) -> None:
    assert table(storage).bounds(unit) == bounds


def test_types_are_those_of_postgres_and_names_are_quoted() -> None:
    create, key, index = table(Storage.MONTH).create(180000)
    assert create == (
        'create table marts."mart" ("date" date, "user_id" text, "x" numeric(38,8) not null) partition by range (date)'
    )
    assert key == 'alter table marts."mart" add primary key ("date", "user_id")'
    assert index == 'create index "idx_mart_x" on marts."mart" ("x")'


def test_a_server_that_cannot_skip_through_an_index_gets_one_by_user() -> None:
    assert ["user_id", "date"] in table(Storage.MONTH).all_indexes(170000)
    assert ["user_id", "date"] not in table(Storage.MONTH).all_indexes(180000)


def test_another_description_is_no_reason_to_make_the_table_anew() -> None:
    assert table(Storage.MONTH).definition_hash == table(Storage.MONTH, "Other words").definition_hash
    assert table(Storage.MONTH).definition_hash != table(Storage.WHOLE).definition_hash


def test_descriptions_become_comments_whatever_they_contain() -> None:
    assert "comment on column marts.\"mart\".\"user_id\" is 'it''s text'" in list(table(Storage.MONTH).comments())


def test_a_view_is_the_text_of_its_model_over_the_served_tables() -> None:
    model = _view("select * from {{ ref('prices_daily') }}")
    view = ServedTable.from_model(model)
    assert list(view.create(180000)) == ['create view marts."v" ("x") as select * from marts."prices_daily"']
    assert next(view.comments()).startswith("comment on view")


def test_a_view_with_a_macro_that_postgres_cannot_run_is_refused() -> None:
    with pytest.raises(ValueError, match=r"v is served as a view.*no other macro"):
        ServedTable.from_model(_view("select {{ usd('x') }} from {{ ref('prices_daily') }}"))


def _view(source: str) -> Model:
    column = Column("x", "double", "")
    return Model("m", "marts", "v", "", [column], [], [], "team:x", "1", {"published_by": "view"}, source)
