"""Scheduled exports of users, and what became of each time they were due"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0009'
down_revision: str | None = '0008'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('scheduled_exports',
    sa.Column('schedule_id', sa.Integer(), sa.Identity(always=False), nullable=False),
    sa.Column('user_key', sa.Integer(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False, comment='The name that people use, unique per user'),
    sa.Column('what', sa.Text(), nullable=False, comment='snapshots, assets, performance, pnl, il or all'),
    sa.Column('form', sa.Text(), nullable=False, comment='csv, json, ndjson, parquet, xlsx or pdf'),
    sa.Column('paper', sa.Text(), nullable=False, comment='Pages of a PDF: a4 or us-letter'),
    sa.Column('range_rule', sa.Text(), nullable=False, comment='Which closed UTC days it holds; period: those since the last one'),
    sa.Column('period', sa.Text(), nullable=False, comment='daily, weekly or monthly'),
    sa.Column('on_day', sa.SmallInteger(), nullable=True, comment='Weekly 1 (Monday) to 7, monthly 1 to 31 (or the last day of the month); null daily'),
    sa.Column('at_local', sa.Time(), nullable=False, comment='Time of the day in the time zone'),
    sa.Column('time_zone', sa.Text(), nullable=False, comment='Such as Europe/Berlin'),
    sa.Column('channel_id', sa.Integer(), nullable=True, comment='Where it goes; null for every channel of the user'),
    sa.Column('next_due_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Oldest due time not served; null while paused'),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('changed_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('changed_by', sa.Text(), nullable=False),
    sa.Column('paused_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Its owner wants nothing for now'),
    sa.Column('deleted_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.CheckConstraint("(period = 'daily' and on_day is null) or (period = 'weekly' and on_day between 1 and 7) or (period = 'monthly' and on_day between 1 and 31)", name=op.f('ck_scheduled_exports_period')),
    sa.CheckConstraint("form <> 'pdf' or what in ('performance', 'il')", name=op.f('ck_scheduled_exports_report')),
    sa.CheckConstraint("form in ('csv', 'json', 'ndjson', 'parquet', 'xlsx', 'pdf')", name=op.f('ck_scheduled_exports_form')),
    sa.CheckConstraint("paper in ('a4', 'us-letter')", name=op.f('ck_scheduled_exports_paper')),
    sa.CheckConstraint("range_rule in ('period', 'last_7_days', 'last_30_days', 'last_90_days', 'last_365_days', 'last_month', 'year_to_date', 'everything')", name=op.f('ck_scheduled_exports_range_rule')),
    sa.CheckConstraint("what in ('snapshots', 'assets', 'performance', 'pnl', 'il', 'all')", name=op.f('ck_scheduled_exports_what')),
    sa.CheckConstraint('(next_due_at is null) = (paused_at is not null or deleted_at is not null)', name=op.f('ck_scheduled_exports_due')),
    sa.ForeignKeyConstraint(['channel_id'], ['app.notification_channels.channel_id'], name=op.f('fk_scheduled_exports_channel_id_notification_channels')),
    sa.ForeignKeyConstraint(['user_key'], ['app.users.user_key'], name=op.f('fk_scheduled_exports_user_key_users')),
    sa.PrimaryKeyConstraint('schedule_id', name=op.f('pk_scheduled_exports')),
    schema='app',
    comment='Exports that users want again and again; deleted ones stay, with what they sent'
    )
    op.create_index('ix_scheduled_exports_due', 'scheduled_exports', ['next_due_at'], unique=False, schema='app', postgresql_where=sa.text('next_due_at is not null'))
    op.create_index('uq_scheduled_exports_name', 'scheduled_exports', ['user_key', 'name'], unique=True, schema='app', postgresql_where=sa.text('deleted_at is null'))
    op.create_table('export_runs',
    sa.Column('run_id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('schedule_id', sa.Integer(), nullable=False),
    sa.Column('scheduled_for', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='When it was due; of several missed ones the newest'),
    sa.Column('since', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='The oldest due time that it stands for'),
    sa.Column('times', sa.Integer(), nullable=False, comment='How many due times it stands for'),
    sa.Column('is_late', sa.Boolean(), nullable=False, comment='Due times were missed, or it was more than an hour late'),
    sa.Column('status', sa.Text(), nullable=False, comment='running, retrying, done, empty: nothing to export, failed: given up and told'),
    sa.Column('attempts', sa.Integer(), nullable=False, comment='Times it was begun'),
    sa.Column('first_day', sa.Date(), nullable=False, comment='First UTC day'),
    sa.Column('last_day', sa.Date(), nullable=False, comment='Last UTC day, inclusive'),
    sa.Column('rows', sa.BigInteger(), nullable=True, comment='Rows of all tables'),
    sa.Column('size', sa.BigInteger(), nullable=True, comment='Bytes of what was sent'),
    sa.Column('sha256', sa.Text(), nullable=True, comment='Of what was sent'),
    sa.Column('folder', sa.Text(), nullable=True, comment='Below exports in the home folder; null once removed'),
    sa.Column('error', sa.Text(), nullable=True, comment='Why the last attempt failed, or why there is nothing'),
    sa.Column('started_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Begin of the last attempt'),
    sa.Column('finished_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.CheckConstraint("(status in ('running', 'retrying')) = (finished_at is null)", name=op.f('ck_export_runs_finished')),
    sa.CheckConstraint("status in ('running', 'retrying', 'done', 'empty', 'failed')", name=op.f('ck_export_runs_status')),
    sa.ForeignKeyConstraint(['schedule_id'], ['app.scheduled_exports.schedule_id'], name=op.f('fk_export_runs_schedule_id_scheduled_exports')),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_export_runs')),
    sa.UniqueConstraint('schedule_id', 'scheduled_for', name=op.f('uq_export_runs_schedule_id_scheduled_for')),
    schema='app',
    comment='What became of each due time of a scheduled export; one row for several that were missed'
    )
    op.create_index('ix_export_runs_files', 'export_runs', ['finished_at'], unique=False, schema='app', postgresql_where=sa.text('folder is not null'))


def downgrade() -> None:
    for table in ('export_runs', 'scheduled_exports'):
        op.drop_table(table, schema='app')
