"""Files of scheduled exports that are old enough to go. What became of each run stays in the database."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from portfolio_pipelines.database.export_runs import forget_folders, hold_old_folders


def remove_old_files(engine: sa.Engine, folder: Path, now: datetime, keep_days: int) -> int:
    """Remove files of runs that ended more than some days ago; those that wait to be delivered stay.

    Args:
        engine: Engine of the operational database.
        folder: Where exports are kept.
        now: The time.
        keep_days: How long files are kept.

    Returns:
        Of how many runs.
    """
    with engine.begin() as connection:
        old = hold_old_folders(connection, now - timedelta(days=keep_days))
        for place in old.values():
            shutil.rmtree(folder / place, ignore_errors=True)  # before the rows: a killed sweep is done again
        forget_folders(connection, list(old))
    return len(old)
