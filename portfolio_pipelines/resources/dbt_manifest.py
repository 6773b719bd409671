"""What dbt's manifest says about models and their tests, as plain values for Dagster and for Postgres.

Belongs here: reading the manifest. Dagster's own objects are made in `assets.marts`, DDL in `served_tables`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """A column as its contract declares it."""

    name: str
    data_type: str  # of DuckDB
    description: str


@dataclass(frozen=True, slots=True)
class ModelTest:
    """A data test of one model."""

    unique_id: str
    name: str  # unique for its model
    blocking: bool
    description: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model: a table or a view of the warehouse."""

    unique_id: str
    schema: str
    name: str
    description: str
    columns: Sequence[Column]
    upstream: Sequence[tuple[str, ...]]  # asset keys: (schema, name) of models, (name,) of core tables
    tests: Sequence[ModelTest]
    owner: str
    code_version: str
    meta: Mapping[str, Any]
    source: str = ""  # SQL as it is written, with its ref()


def read_models(manifest: Mapping[str, Any]) -> list[Model]:
    """Every model of the project, each after the models it reads."""
    tests: dict[str, list[dict[str, Any]]] = {}
    for node in manifest["nodes"].values():
        if node["resource_type"] == "test":
            tests.setdefault(node.get("attached_node") or node["depends_on"]["nodes"][0], []).append(node)
    models: dict[tuple[str, ...], Model] = {
        (model.schema, model.name): model
        for unique_id, node in sorted(manifest["nodes"].items())
        if node["resource_type"] == "model"
        for model in [_model(node, manifest, tests.get(unique_id, []))]
    }
    order = TopologicalSorter({key: [up for up in model.upstream if up in models] for key, model in models.items()})
    return [models[key] for key in order.static_order()]


def touched_nodes(manifest: Mapping[str, Any], sources: Collection[str]) -> list[str]:
    """Names of the tables to make again and of the tests to repeat when these sources changed; models come first.

    A view that was made before shows its changed parents by itself: it is left alone, and its tests are repeated.

    Args:
        manifest: dbt's manifest.
        sources: Names of source tables.
    """
    reached = {unique_id for unique_id, source in manifest["sources"].items() if source["name"] in sources}
    parents = {unique_id: set(node["depends_on"]["nodes"]) for unique_id, node in manifest["nodes"].items()}
    for unique_id in TopologicalSorter(parents).static_order():
        if parents.get(unique_id, set()) & reached:
            reached.add(unique_id)
    nodes = [node for unique_id, node in manifest["nodes"].items() if unique_id in reached]
    models = [node["name"] for node in nodes if node["resource_type"] == "model"
              and node["config"]["materialized"] != "view"]  # fmt: skip
    return sorted(models) + sorted(node["name"] for node in nodes if node["resource_type"] == "test")


def _model(node: Mapping[str, Any], manifest: Mapping[str, Any], tests: Sequence[Mapping[str, Any]]) -> Model:
    meta = node["config"].get("meta") or {}
    return Model(
        unique_id=node["unique_id"],
        schema=node["schema"],
        name=node["alias"] or node["name"],
        description=node["description"],
        columns=[Column(c["name"], c["data_type"], c["description"]) for c in node["columns"].values()],
        upstream=sorted(key for parent in node["depends_on"]["nodes"] if (key := _key(parent, manifest))),
        tests=_tests(tests, manifest),
        owner=meta["owner"],
        code_version=node["checksum"]["checksum"][:12],
        meta=meta,
        source=node["raw_code"],
    )


def _key(unique_id: str, manifest: Mapping[str, Any]) -> tuple[str, ...] | None:
    if unique_id in manifest["nodes"]:
        node = manifest["nodes"][unique_id]
        return node["schema"], node["alias"] or node["name"]
    meta = manifest["sources"][unique_id]["config"].get("meta") or {}
    return (meta["asset_key"],) if "asset_key" in meta else None


def _tests(nodes: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> list[ModelTest]:
    found = []
    for node in sorted(nodes, key=lambda node: str(node["unique_id"])):
        generic = node.get("test_metadata") or {}
        short = "_".join(filter(None, (generic.get("name"), node.get("column_name")))) or node["name"]
        blocking = str(node["config"]["severity"]).lower() == "error"
        found.append(ModelTest(node["unique_id"], short, blocking, _meaning(node, manifest)))
    names = [test.name for test in found]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        msg = f"two tests of one model are called {doubled}: give one of them a name in its YAML"
        raise ValueError(msg)
    return found


def _meaning(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """What a test holds its model to: its own words, else those of the generic test that it is."""
    generic = node.get("test_metadata") or {}
    if node.get("description") or not generic:
        return node.get("description") or ""
    if generic["name"] == "unique":  # dbt's own, without words
        return f"No two rows have the same {node['column_name']}."
    macros = (manifest["macros"].get(unique_id) for unique_id in node["depends_on"]["macros"])
    words = [macro["description"] for macro in macros if macro and macro["name"] == f"test_{generic['name']}"]
    columns = generic["kwargs"].get("columns")
    of_columns = f" The key is {', '.join(columns)}." if columns else ""
    return "".join(words).strip() + of_columns
