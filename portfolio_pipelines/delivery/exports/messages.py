"""What users and operators are told of scheduled exports. Plain text; how it looks in a channel is in `templates`."""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from portfolio_pipelines.database.schedules import ScheduleRow
from portfolio_pipelines.delivery.exports.due_times import FIRST_DAY, Due
from portfolio_pipelines.delivery.exports.manifest import Manifest
from portfolio_pipelines.delivery.exports.packing import Package
from portfolio_pipelines.delivery.outbox import Attachment, Message, Severity

LARGEST_SENT: Final = 8_000_000
"""Bytes: what a webhook takes; mail servers take little more."""
LONGEST_REASON: Final = 500


def key_of(schedule_id: int, scheduled_for: datetime) -> str:
    """The deduplication key of a due time: one message for it, for ever."""
    return f"export:{schedule_id}:{scheduled_for.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def message_of(
    row: ScheduleRow,
    due: Due,
    days: tuple[date, date],
    manifest: Manifest | None,
    package: Package | None,
    *,
    is_late: bool,
    nothing: str | None = None,
) -> Message:
    """The message that brings an export, or says that there is nothing to export.

    Args:
        row: The schedule.
        due: What was due.
        days: First and last UTC day, inclusive.
        manifest: What was written; None when there is nothing.
        package: The file that goes with it.
        is_late: Whether it comes late, or stands for several.
        nothing: Why there is nothing.
    """
    first, last = days
    start = "everything" if first == FIRST_DAY else f"{first}"
    late = " (late)" if is_late else ""
    lines = [f"{row.name}: {row.what}, {start} to {last} (UTC days, both included)."]
    data: dict[str, JsonValue] = {
        "schedule_id": row.schedule_id, "name": row.name, "what": row.what, "format": row.form, "from": f"{first}",
        "to": f"{last}", "scheduled_for": f"{due.scheduled_for:%Y-%m-%dT%H:%M:%SZ}", "is_late": is_late,
        "stands_for": due.times,
    }  # fmt: skip
    attachments: tuple[Attachment, ...] = ()
    if is_late:
        lines.append(_lateness(row, due))
    if manifest is None or package is None:
        lines.append(f"There is nothing to export: {nothing}")
        return _message(row, due, f"Export {row.name}: nothing, {start} to {last}{late}", lines, data)
    is_sent = package.size <= LARGEST_SENT
    if is_sent:
        attachments = (Attachment(package.name, package.media_type, package.path),)
        lines.append(f"{package.name}: {package.size:,} bytes, SHA-256 {package.sha256}.")
    else:
        lines.append(
            f"{package.name} has {package.size / 1e6:,.0f} MB, too much to be sent: ask the operator for it, or choose "
            "parquet, fewer days or fewer tables."
        )
    if manifest.tables:
        lines.append(f"{manifest.rows:,} rows in {len(manifest.tables)} tables.")
    lines += _completeness(manifest, last)
    data |= {
        "rows": manifest.rows, "file": package.name, "bytes": package.size, "sha256": package.sha256,
        "is_attached": is_sent, "build": dict(manifest.build), "completeness": list(_completeness(manifest, last)),
    }  # fmt: skip
    return _message(row, due, f"Export {row.name}: {start} to {last}{late}", lines, data, attachments)


def failure_messages(row: ScheduleRow, due: Due, said: str) -> list[Message]:
    """What is said when an export is given up: to the user that it will not come, to the operators why."""
    key = key_of(row.schedule_id, due.scheduled_for)
    shared: dict[str, JsonValue] = {"schedule_id": row.schedule_id, "name": row.name}
    when = f"{due.scheduled_for:%Y-%m-%d %H:%M} UTC"
    return [
        Message(
            f"{key}:failed", row.user_id, f"export:{row.schedule_id}", "export.failed", Severity.WARNING,
            f"Export {row.name} could not be made",
            f"The export {row.name} that was due at {when} could not be made. The operator knows. The next one comes "
            "at its time.",
            shared, channel_ids=_channels(row),
        ),
        Message(
            f"{key}:operators", None, "exports", "operations", Severity.WARNING,
            f"Export {row.name} of {row.user_id} failed",
            f"Scheduled export {row.schedule_id} ({row.name}) of {row.user_id}, due at {when}, was given up: "
            f"{said[:LONGEST_REASON]}\n"
            "`portfolio schedules history` shows it; `portfolio schedules run-now` tries again.",
            shared | {"error": said[:LONGEST_REASON]},
        ),
    ]  # fmt: skip


def unsent_message(row: ScheduleRow, due: Due) -> Message:
    """What the operators are told when an export was made and there is no channel to send it through."""
    where = "no verified channel" if row.channel_id is None else f"channel {row.channel_id}, which takes nothing"
    return Message(
        f"{key_of(row.schedule_id, due.scheduled_for)}:unsent", None, "exports", "operations", Severity.INFO,
        f"Export {row.name} of {row.user_id} has nobody to go to",
        f"Scheduled export {row.schedule_id} ({row.name}) of {row.user_id} was made and kept, but not sent: its user "
        f"has {where}. `portfolio channels add` and `portfolio schedules edit --channel` mend that.",
        {"schedule_id": row.schedule_id, "name": row.name},
    )  # fmt: skip


def _message(
    row: ScheduleRow,
    due: Due,
    title: str,
    lines: list[str],
    data: dict[str, JsonValue],
    attachments: tuple[Attachment, ...] = (),
) -> Message:
    return Message(
        key_of(row.schedule_id, due.scheduled_for), row.user_id, f"export:{row.schedule_id}", "export", Severity.INFO,
        title, "\n".join(lines), data, attachments, _channels(row),
    )  # fmt: skip


def _channels(row: ScheduleRow) -> tuple[int, ...] | None:
    return None if row.channel_id is None else (row.channel_id,)


def _lateness(row: ScheduleRow, due: Due) -> str:
    zone = ZoneInfo(row.time_zone)
    newest, oldest = (at.astimezone(zone).strftime("%Y-%m-%d %H:%M") for at in (due.scheduled_for, due.since))
    if due.times > 1:
        return f"It comes late and stands for {due.times} exports that were due from {oldest} to {newest} ({zone})."
    return f"It comes late: it was due at {newest} ({zone})."


def _completeness(manifest: Manifest, last: date) -> list[str]:
    """What is missing, in sentences; nothing when nothing is."""
    said = []
    newest = manifest.build.get("newest_day", "")
    if newest and date.fromisoformat(newest) < last:
        first_missing = date.fromisoformat(newest) + timedelta(days=1)
        said.append(f"The days from {first_missing} to {last} are not valued yet and missing.")
    for table in manifest.tables:
        if holes := table.coverage.get("missing_days"):
            said.append(f"{table.name}: {holes} days between the first and the last are missing.")
        lowest = table.coverage.get("lowest_coverage")
        if lowest is not None and table.coverage.get("rows_below_full_coverage"):
            said.append(f"{table.name}: not everything has a fresh price; the lowest coverage is {100 * lowest:.1f} %.")
        if table.coverage.get("rows_of_unknown_coverage"):
            rows = table.coverage["rows_of_unknown_coverage"]
            said.append(f"{table.name}: the coverage of {rows} rows is unknown.")
    return said
