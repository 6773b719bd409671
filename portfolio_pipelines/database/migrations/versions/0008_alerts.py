"""Alert rules, where they stand and what they found; runs that failed"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0008'
down_revision: str | None = '0007'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('alert_evaluations',
    sa.Column('metric', sa.Text(), nullable=False),
    sa.Column('data_version', sa.Text(), nullable=False, comment='Fingerprint of the published data'),
    sa.Column('rules_seen', sa.BigInteger(), nullable=False, comment='Highest change_number that was evaluated'),
    sa.Column('evaluated_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('n_events', sa.Integer(), nullable=False, comment='Changes that the last evaluation found'),
    sa.PrimaryKeyConstraint('metric', name=op.f('pk_alert_evaluations')),
    schema='app',
    comment='Up to which data and which rules each metric was evaluated'
    )
    op.create_table('failed_runs',
    sa.Column('run_id', sa.Text(), nullable=False, comment='Id of the Dagster run'),
    sa.Column('job', sa.Text(), nullable=False),
    sa.Column('failed_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('why', sa.Text(), nullable=False, comment='Steps and checks that failed, with their messages'),
    sa.PrimaryKeyConstraint('run_id', name=op.f('pk_failed_runs')),
    schema='app',
    comment='Runs that failed, told to the operators once each; the metric failed_runs counts them'
    )
    op.create_index('ix_failed_runs_failed_at', 'failed_runs', ['failed_at'], unique=False, schema='app')
    op.create_table('alert_rules',
    sa.Column('rule_id', sa.Integer(), sa.Identity(always=False), nullable=False),
    sa.Column('user_key', sa.Integer(), nullable=True, comment='Whose it is; null for the operators of the installation'),
    sa.Column('created_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_key'], ['app.users.user_key'], name=op.f('fk_alert_rules_user_key_users')),
    sa.PrimaryKeyConstraint('rule_id', name=op.f('pk_alert_rules')),
    schema='app',
    comment='Alert rules; what they say is in alert_rule_versions, where they stand in alert_states'
    )
    op.create_index('ix_alert_rules_user_key', 'alert_rules', ['user_key'], unique=False, schema='app')
    op.create_table('alert_rule_versions',
    sa.Column('rule_id', sa.Integer(), nullable=False),
    sa.Column('version', sa.Integer(), autoincrement=False, nullable=False, comment='1, 2, … per rule'),
    sa.Column('change_number', sa.BigInteger(), sa.Identity(always=False), nullable=False, comment='Ascends over all rules: an evaluation remembers up to where it has seen them'),
    sa.Column('user_key', sa.Integer(), nullable=True, comment='As in alert_rules: an evaluation reads this table alone'),
    sa.Column('metric', sa.Text(), nullable=False, comment='One of those that `portfolio alerts metrics` lists'),
    sa.Column('subject', sa.Text(), nullable=False, comment='What it watches, such as coingecko:bitcoin; * for all there is'),
    sa.Column('span_days', sa.Integer(), nullable=True, comment='Days of a change or of a window; null for the level itself'),
    sa.Column('comparison', sa.Text(), nullable=False, comment='above, below, or beyond: to either side of 0'),
    sa.Column('info_at', sa.Float(), nullable=True, comment='Threshold of level 1, unit of the metric; null for none'),
    sa.Column('warning_at', sa.Float(), nullable=True, comment='Threshold of level 2; null for none'),
    sa.Column('critical_at', sa.Float(), nullable=True, comment='Threshold of level 3; null for none'),
    sa.Column('hysteresis', sa.Float(), nullable=False, comment='How far back beyond a threshold the figure has to come, unit of the metric'),
    sa.Column('cooldown_minutes', sa.Integer(), nullable=True, comment='Within it a crossing is counted and not told; null for the usual one of the level'),
    sa.Column('min_coverage', sa.Float(), nullable=False, comment='Least share of fresh data, 0..1: below it nothing is said'),
    sa.Column('paused', sa.Boolean(), nullable=False),
    sa.Column('note', sa.Text(), nullable=True, comment='Words of the owner that come with every message'),
    sa.Column('known_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Since when we know this version'),
    sa.Column('superseded_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When a later version or the deletion ended it'),
    sa.Column('set_by', sa.Text(), nullable=False),
    sa.Column('ended_by', sa.Text(), nullable=True, comment='Who changed or deleted it'),
    sa.CheckConstraint("comparison in ('above', 'below', 'beyond')", name=op.f('ck_alert_rule_versions_comparison')),
    sa.CheckConstraint('coalesce(info_at, warning_at, critical_at) is not null', name=op.f('ck_alert_rule_versions_threshold')),
    sa.CheckConstraint('hysteresis >= 0 and coalesce(cooldown_minutes, 0) >= 0', name=op.f('ck_alert_rule_versions_positive')),
    sa.CheckConstraint('min_coverage between 0 and 1', name=op.f('ck_alert_rule_versions_share')),
    sa.ForeignKeyConstraint(['rule_id'], ['app.alert_rules.rule_id'], name=op.f('fk_alert_rule_versions_rule_id_alert_rules')),
    sa.ForeignKeyConstraint(['user_key'], ['app.users.user_key'], name=op.f('fk_alert_rule_versions_user_key_users')),
    sa.PrimaryKeyConstraint('rule_id', 'version', name=op.f('pk_alert_rule_versions')),
    schema='app',
    comment='Alert rules, all versions; the current one has no superseded_at, a deleted rule none'
    )
    op.create_index('ix_alert_rule_versions_metric', 'alert_rule_versions', ['metric', 'change_number'], unique=False, schema='app', postgresql_where=sa.text('superseded_at is null'))
    op.create_index('uq_alert_rule_versions_current', 'alert_rule_versions', ['rule_id'], unique=True, schema='app', postgresql_where=sa.text('superseded_at is null'))
    op.create_table('alert_states',
    sa.Column('rule_id', sa.Integer(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('level', sa.SmallInteger(), nullable=False, comment='0 armed; firing as 1 info, 2 warning, 3 critical'),
    sa.Column('shown_level', sa.SmallInteger(), nullable=False, comment='What the owner was told; less while held back'),
    sa.Column('since', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='When the level became this'),
    sa.Column('value', sa.Double(), nullable=True, comment='At the last change of this row, unit of the metric'),
    sa.Column('coverage', sa.Double(), nullable=True, comment='At the last change of this row, 0..1'),
    sa.Column('told_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When an alert was told last; the cooldown begins here'),
    sa.Column('told_level', sa.SmallInteger(), nullable=True, comment='Level of that alert'),
    sa.Column('suppressed', sa.Integer(), nullable=False, comment='Crossings since then that were not told'),
    sa.Column('blind_since', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Since when the data cannot tell; null while it can'),
    sa.Column('blind_told_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When that was told last'),
    sa.Column('data_version', sa.Text(), nullable=False, comment='Fingerprint of the data that this rests on'),
    sa.Column('evaluated_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='When this row changed'),
    sa.CheckConstraint('level between 0 and 3 and shown_level between 0 and level', name=op.f('ck_alert_states_level')),
    sa.ForeignKeyConstraint(['rule_id'], ['app.alert_rules.rule_id'], name=op.f('fk_alert_states_rule_id_alert_rules'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('rule_id', 'subject', name=op.f('pk_alert_states')),
    schema='app',
    comment='Where each rule stands with each subject; armed where there is no row, or the level is 0'
    )
    op.create_table('alert_events',
    sa.Column('event_id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('rule_id', sa.Integer(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False, comment='Version of the rule that found it'),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='When it was found'),
    sa.Column('kind', sa.Text(), nullable=False, comment='fired, raised, held_back, resolved or cannot_tell'),
    sa.Column('level', sa.SmallInteger(), nullable=False, comment='Level after it'),
    sa.Column('value', sa.Double(), nullable=True, comment='Unit of the metric; null when unknown'),
    sa.Column('threshold', sa.Float(), nullable=True, comment='The one that was crossed; of a resolved one the lowest'),
    sa.Column('coverage', sa.Double(), nullable=True),
    sa.Column('as_of', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='Time of the data'),
    sa.Column('was_told', sa.Boolean(), nullable=False, comment='Whether a message, key alert:<event_id>, went to the outbox'),
    sa.CheckConstraint("kind in ('fired', 'raised', 'held_back', 'resolved', 'cannot_tell')", name=op.f('ck_alert_events_kind')),
    sa.ForeignKeyConstraint(['rule_id', 'version'], ['app.alert_rule_versions.rule_id', 'app.alert_rule_versions.version'], name=op.f('fk_alert_events_rule_id_alert_rule_versions')),
    sa.PrimaryKeyConstraint('event_id', name=op.f('pk_alert_events')),
    schema='app',
    comment='What alert rules found, append-only; an event that was told has a message in the outbox'
    )
    op.create_index('ix_alert_events_rule_id', 'alert_events', ['rule_id', 'event_id'], unique=False, schema='app')

def downgrade() -> None:
    for table in ('alert_events', 'alert_states', 'alert_evaluations', 'alert_rule_versions', 'alert_rules', 'failed_runs'):
        op.drop_table(table, schema='app')
