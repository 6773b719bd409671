"""Alice and Bob with channels, a desk that makes their exports, and what became of them."""

from datetime import UTC, datetime, time
from typing import Any

import sqlalchemy as sa

from portfolio_pipelines.database.export_runs import runs_frame
from portfolio_pipelines.database.schedules import schedules_frame
from portfolio_pipelines.delivery.exports.datasets import Form, What
from portfolio_pipelines.delivery.exports.due_times import Period, Timetable
from portfolio_pipelines.delivery.exports.scheduled import ExportDesk
from portfolio_pipelines.delivery.exports.schedules import Wish

Rows = list[dict[str, Any]]
EARLY = datetime(2025, 1, 31, 12, tzinfo=UTC)
MORNING = datetime(2025, 2, 2, 8, tzinfo=UTC)  # the newest closed day of the marts is 2025-02-01
DAILY = Timetable(Period.DAILY, time(8), "UTC")
WISH = Wish(What.SNAPSHOTS, Form.CSV, DAILY)


def messages(desk: ExportDesk) -> Rows:
    query = """
        select m.key, m.kind, m.title, m.text, m.data, m.attachments, user_id,
               array(select channel_id from app.outbox_deliveries d where d.message_id = m.message_id) as channels
        from app.outbox_messages m left join app.users using (user_key) order by message_id
    """
    with desk.engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(query)).mappings()]


def runs(desk: ExportDesk) -> Rows:
    return runs_frame(desk.engine).sort("scheduled_for").to_dicts()


def next_due(desk: ExportDesk, name: str = "mine") -> datetime | None:
    rows = [row for row in schedules_frame(desk.engine).to_dicts() if row["name"] == name]
    return rows[0]["next_due_at"] if rows else None
