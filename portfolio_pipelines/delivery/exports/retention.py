"""Files of scheduled exports that are old enough to go. What became of each run stays in the database."""

import logging
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from portfolio_pipelines.database.schedules import forget_folders, kept_folders

logger = logging.getLogger(__name__)

STAMP = "%Y%m%dT%H%M%SZ"


def remove_old_files(engine: sa.Engine, folder: Path, now: datetime, keep_days: int) -> int:
    """Remove files of runs that ended more than some days ago; those that wait to be delivered stay.

    Also what a killed attempt left behind and no run speaks of.

    Args:
        engine: Engine of the operational database.
        folder: Where exports are kept.
        now: The time.
        keep_days: How long files are kept.

    Returns:
        How many folders were removed.
    """
    before = now - timedelta(days=keep_days)
    with engine.begin() as connection:
        forget_folders(connection, before)
        kept = kept_folders(connection)
    removed = 0
    for run in sorted((folder / "scheduled").glob("*/*")):
        try:
            made_for = datetime.strptime(run.name, STAMP).replace(tzinfo=UTC)
        except ValueError:
            continue  # nothing of ours
        if made_for < before and str(run.relative_to(folder)) not in kept:
            shutil.rmtree(run, ignore_errors=True)
            removed += 1
    if removed:
        logger.info("removed the files of %d old exports", removed)
    return removed
