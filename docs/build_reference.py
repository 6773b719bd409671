"""Writes the reference pages from what they describe, so that they cannot drift: settings, core tables, marts.

`.venv/bin/python docs/build_reference.py` rewrites the pages; a test fails while one of them is out of date.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from portfolio_pipelines.settings import Settings

ROOT = Path(__file__).parent.parent
OTHER_VARIABLES = (
    "Three more variables are no settings of the platform itself: `PORTFOLIO_SHARED_DATA` is the folder where "
    "`make run` and the tests look for price files (default `../shared/data`); `PORTFOLIO_DAGSTER_URL` is where "
    "Dagster's own storage is, `postgresql+psycopg2://…`, set by the `portfolio` commands and needed only by Dagster "
    "processes that are started without them; `DAGSTER_EVENT_BATCH_SIZE` is Dagster's own (the commands set 1000)."
)
GENERATED = "Made by `docs/build_reference.py`; do not edit."


def pages() -> dict[Path, str]:
    """Every generated file with what it must hold."""
    return {
        ROOT / "docs/reference/settings.md": settings_page(),
        ROOT / "docs/reference/core-tables.md": core_tables_page(),
        ROOT / "docs/reference/marts.md": marts_page(),
        ROOT / ".env.example": environment_example(),
    }


def settings_page() -> str:
    """All settings with their environment variables."""
    rows = [
        [f"`{variable}`", f"`{default}`" if default else "", kind, description]
        for variable, default, kind, description in _settings()
    ]
    return _document(
        "Settings",
        "Environment variables, or lines of a file `.env` in the folder where you start the platform. Every default "
        "works on a laptop without any account. `portfolio doctor` shows what is in force.",
        _table(["variable", "default", "kind", "meaning"], rows) + "\n\n" + OTHER_VARIABLES,
    )


def environment_example() -> str:
    """A .env with every setting commented out."""
    lines = ["# Copy to .env and uncomment what you change. " + GENERATED, ""]
    for variable, default, _, description in _settings():
        lines += [f"# {description}", f"# {variable}={default}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _settings() -> Iterator[tuple[str, str, str, str]]:
    for name, field in Settings.model_fields.items():
        if not field.description:
            msg = f"the setting {name} has no description: add it in settings.py"
            raise ValueError(msg)
        kind = "secret" if "SecretStr" in str(field.annotation) else _kind(field.annotation)
        yield f"PORTFOLIO_{name.upper()}", _default(field.default), kind, field.description


def _default(value: object) -> str:
    if value is None or value is PydanticUndefined or isinstance(value, SecretStr):
        return ""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _kind(annotation: object) -> str:
    names = {
        "int": "whole number",
        "float": "number",
        "str": "text",
        "date": "date",
        "Path": "folder",
        "pathlib.Path | None": "file",
        "bool": "yes/no",
    }
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, "list" if "tuple" in str(annotation) else name)


def core_tables_page() -> str:
    """The tables of the lake, from the schemas and comments of the modules of tables and of `market/quotes.py`."""
    parts = []
    tables = _core_tables(ROOT / "portfolio_pipelines/tables.py")
    quotes = _core_tables(ROOT / "portfolio_pipelines/market/quotes.py")
    tables |= _core_tables(ROOT / "portfolio_pipelines/metric_tables.py")
    tables |= _core_tables(ROOT / "portfolio_pipelines/leaderboard_tables.py")
    on_chain = _core_tables(ROOT / "portfolio_pipelines/chain_tables.py")
    on_chain |= _core_tables(ROOT / "portfolio_pipelines/liquidity_tables.py")
    on_chain |= _core_tables(ROOT / "portfolio_pipelines/allocation_tables.py")
    for name, (note, columns) in [("raw/quotes", quotes["QUOTES"]), *tables.items(), *on_chain.items()]:
        parts += [f"## `{name}`", "", *([note, ""] if note else []), _table(["column", "type", "meaning"], columns), ""]
    return _document(
        "Core tables",
        "Parquet files of the lake, `<home>/lake/<table>/date=YYYY-MM-DD/data.parquet` (the day is the folder) or "
        "`<home>/lake/<table>/data.parquet`; what is read of chains has a file for each chain on each day, "
        "`date=YYYY-MM-DD/chain=<slug>/data.parquet`. People query the marts instead; these are for those who build on "
        "the platform. Null means unknown, never zero.",
        "\n".join(parts).rstrip(),
    )


def _core_tables(path: Path) -> dict[str, tuple[str, list[list[str]]]]:
    """Schemas of a module by table name: the text below each, and its columns with their comments."""
    source = path.read_text()
    lines, body = source.splitlines(), ast.parse(source).body
    paths: dict[str, str] = {}
    found: dict[str, tuple[str, list[list[str]]]] = {}
    for at, node in enumerate(body):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        name = node.target.id
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            paths[name] = node.value.value
        elif isinstance(node.value, ast.Call) and node.value.args and isinstance(node.value.args[0], ast.Dict):
            after = body[at + 1] if at + 1 < len(body) else None
            note = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            table = paths.get(name.removesuffix("_SCHEMA"), name)
            found[table] = (" ".join(str(note).split()), _columns(node.value.args[0], lines))
    return found


def _columns(schema: ast.Dict, lines: list[str]) -> list[list[str]]:
    rows = []
    for key, kind in zip(schema.keys, schema.values, strict=True):
        if not isinstance(key, ast.Constant):
            msg = f"line {schema.lineno}: a column whose name is not written out cannot be documented"
            raise TypeError(msg)
        _, _, comment = lines[key.lineno - 1].partition("#")
        text = ast.unparse(kind).removeprefix("pl.")
        rows.append([f"`{key.value}`", "Datetime (UTC)" if text == "UTC_TIME" else text, comment.strip()])
    return rows


def marts_page() -> str:
    """The marts, from dbt's own descriptions."""
    project = ROOT / "dbt_project"
    models: list[dict[str, Any]] = []
    exposures: list[dict[str, Any]] = []
    for path in sorted((project / "models").rglob("*.yml")):
        content = yaml.safe_load(path.read_text()) or {}
        models += content.get("models", [])
        exposures += content.get("exposures", [])
    public = {path.stem for path in (project / "models/marts").glob("*.sql")}
    described = {model["name"] for model in models}
    if missing := sorted(public - described):
        msg = f"marts without a description in dbt_project: {', '.join(missing)}"
        raise ValueError(msg)
    parts = []
    for model in models:
        if model["name"] in public:
            parts += [f"## `marts.{model['name']}`", "", " ".join(model["description"].split()), ""]
            if key := (model.get("config", {}).get("meta", {}).get("published_key") or []):
                parts += [f"Key: {', '.join(f'`{name}`' for name in key)}", ""]
            rows = [
                [f"`{column['name']}`", column["data_type"], " ".join(column.get("description", "").split())]
                for column in model["columns"]
            ]
            parts += [_table(["column", "type", "meaning"], rows), ""]
    parts += ["## Who uses what", "", _table(["use", "marts"], [_exposure(exposure) for exposure in exposures])]
    return _document(
        "Marts",
        "What people query: schema `marts` of the DuckDB file (`portfolio query`) and of Postgres (`portfolio bi`). "
        "Column types are those of DuckDB, and dbt enforces them as contracts.",
        "\n".join(parts).rstrip(),
    )


def _exposure(exposure: dict[str, Any]) -> list[str]:
    uses = [name.removeprefix("ref('").removesuffix("')") for name in exposure["depends_on"]]
    return [f"{exposure['label']}: {' '.join(exposure['description'].split())}", ", ".join(f"`{n}`" for n in uses)]


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["--"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _document(title: str, introduction: str, body: str) -> str:
    return f"# {title}\n\n<!-- {GENERATED} -->\n\n{introduction}\n\n{body}\n"


if __name__ == "__main__":
    for target, content in pages().items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
