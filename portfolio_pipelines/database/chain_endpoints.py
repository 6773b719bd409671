"""What the database remembers of endpoints: what they can do, and how they answered lately.

Belongs here: the two tables of endpoints. Asking endpoints is in `chains.rpc`.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import sqlalchemy as sa


class Health(Protocol):
    """How an endpoint is doing; `chains.rpc.circuit.EndpointHealth` is one. Times in seconds since 1970."""

    @property
    def chain_id(self) -> int: ...  # noqa: D102

    @property
    def endpoint(self) -> str: ...  # noqa: D102

    @property
    def failures(self) -> int: ...  # noqa: D102

    @property
    def last_error(self) -> str | None: ...  # noqa: D102

    @property
    def last_error_at(self) -> float | None: ...  # noqa: D102

    @property
    def last_success_at(self) -> float | None: ...  # noqa: D102


def load_capabilities(engine: sa.Engine, chain_id: int, endpoint: str) -> Mapping[str, Any] | None:
    """What an endpoint was found able to do; None when it was never probed."""
    query = sa.text("select capabilities from app.endpoint_capabilities where chain_id = :chain and endpoint = :name")
    with engine.connect() as connection:
        facts: dict[str, Any] | None = connection.scalar(query, {"chain": chain_id, "name": endpoint})
    return facts


def save_capabilities(engine: sa.Engine, chain_id: int, endpoint: str, facts: Mapping[str, Any]) -> None:
    """Replace what is known of an endpoint."""
    statement = sa.text(
        "insert into app.endpoint_capabilities (chain_id, endpoint, capabilities, probed_at) "
        "values (:chain, :name, cast(:facts as jsonb), :now) on conflict (chain_id, endpoint) "
        "do update set capabilities = excluded.capabilities, probed_at = excluded.probed_at"
    )
    row = {"chain": chain_id, "name": endpoint, "facts": json.dumps(dict(facts)), "now": datetime.now(UTC)}
    with engine.begin() as connection:
        connection.execute(statement, row)


def record_health(engine: sa.Engine, endpoints: Sequence[Health]) -> None:
    """Remember how endpoints answered; one that was not asked keeps what is known of it."""
    statement = sa.text(
        "insert into app.endpoint_health (chain_id, endpoint, last_ok_at, last_error_at, last_error, failures) "
        "values (:chain, :name, :ok, :failed, :error, :failures) on conflict (chain_id, endpoint) do update set "
        "last_ok_at = coalesce(excluded.last_ok_at, endpoint_health.last_ok_at), "
        "last_error_at = coalesce(excluded.last_error_at, endpoint_health.last_error_at), "
        "last_error = coalesce(excluded.last_error, endpoint_health.last_error), failures = excluded.failures"
    )
    rows = [
        {
            "chain": endpoint.chain_id,
            "name": endpoint.endpoint,
            "ok": _time(endpoint.last_success_at),
            "failed": _time(endpoint.last_error_at),
            "error": endpoint.last_error,
            "failures": endpoint.failures,
        }
        for endpoint in endpoints
        if endpoint.last_success_at is not None or endpoint.last_error_at is not None
    ]
    if rows:
        with engine.begin() as connection:
            connection.execute(statement, rows)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
