"""The pace of requests to each provider, kept in Postgres so that all processes share it.

Belongs here: taking a slot. How fast a provider may be asked is the limiter's business (`market.limiter`, whose
protocol `Reservations` this follows).
"""

import sqlalchemy as sa


class DatabaseReservations:
    """Slots of each provider, one row each; times are seconds since the epoch.

    One atomic statement a slot, committed at once: a process that dies later wastes its slot and blocks nobody.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    def reserve(self, name: str, interval_seconds: float, now: float) -> float:
        """Take the next free slot of `name` and move the following one `interval_seconds` behind it.

        Args:
            name: The provider.
            interval_seconds: Distance between two requests.
            now: The caller's clock, seconds since the epoch.

        Returns:
            Seconds from `now` until the slot, 0 when it is free at once. No two callers get the same slot.
        """
        statement = """
            insert into app.rate_reservations as r (provider, next_free_at)
            values (:name, to_timestamp(:now) + make_interval(secs => :interval))
            on conflict (provider) do update set next_free_at =
                greatest(to_timestamp(:now), r.next_free_at, r.blocked_until) + make_interval(secs => :interval)
            returning extract(epoch from next_free_at - make_interval(secs => :interval))::double precision
        """
        with self._engine.connect() as connection:
            slot = connection.scalar(sa.text(statement), {"name": name, "now": now, "interval": interval_seconds})
        return max(float(slot or now) - now, 0.0)

    def block_until(self, name: str, until: float) -> None:
        """Give out no slot of `name` before `until`. An earlier `until` than the one in force changes nothing."""
        statement = """
            insert into app.rate_reservations as r (provider, next_free_at, blocked_until)
            values (:name, to_timestamp(:until), to_timestamp(:until))
            on conflict (provider) do update set blocked_until = greatest(r.blocked_until, excluded.blocked_until)
        """
        with self._engine.connect() as connection:
            connection.execute(sa.text(statement), {"name": name, "until": until})
