"""Target allocations of users, and the plans that were proposed for them"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = '0005'
down_revision: str | None = '0004'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('strategies',
    sa.Column('strategy_key', sa.Integer(), sa.Identity(always=False), nullable=False, comment='Small key used inside the lake'),
    sa.Column('user_key', sa.Integer(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False, comment='The name that people use, unique per user'),
    sa.ForeignKeyConstraint(['user_key'], ['app.users.user_key'], name=op.f('fk_strategies_user_key_users')),
    sa.PrimaryKeyConstraint('strategy_key', name=op.f('pk_strategies')),
    sa.UniqueConstraint('user_key', 'name', name=op.f('uq_strategies_user_key_name')),
    schema='app',
    comment='Named target allocations of users; what they say is in strategy_versions and strategy_targets'
    )
    op.create_table('rebalancing_plans',
    sa.Column('plan_id', sa.Uuid(), nullable=False, comment='Made of strategy, day and steps'),
    sa.Column('strategy_key', sa.Integer(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False, comment='Version of the strategy'),
    sa.Column('as_of', sa.Date(), nullable=False, comment='UTC day whose close it rests on'),
    sa.Column('method', sa.Text(), nullable=False, comment='closed_form, optimum, or request: asked for by a person'),
    sa.Column('status', sa.Text(), nullable=False, comment='proposed, accepted, rejected, expired; not_suggested: see the step'),
    sa.Column('portfolio_usd', sa.Double(), nullable=True, comment='Worth of what the strategy covers, US dollars'),
    sa.Column('benefit_usd', sa.Double(), nullable=False, comment='By how much it comes nearer to the target, US dollars'),
    sa.Column('gas_usd', sa.Double(), nullable=False),
    sa.Column('slippage_usd', sa.Double(), nullable=False),
    sa.Column('is_complete', sa.Boolean(), nullable=False, comment='Every share is inside its band afterwards'),
    sa.Column('steps', postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment='Swaps and purchases in their order'),
    sa.Column('proposed_at', postgresql.TIMESTAMP(timezone=True), nullable=False),
    sa.Column('expires_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Prices have moved on: nobody can accept it from then on'),
    sa.Column('decided_at', postgresql.TIMESTAMP(timezone=True), nullable=True),
    sa.Column('decided_by', sa.Text(), nullable=True),
    sa.Column('decided_why', sa.Text(), nullable=True),
    sa.CheckConstraint("(status in ('accepted', 'rejected')) = (decided_at is not null and decided_by is not null)", name=op.f('ck_rebalancing_plans_decided')),
    sa.CheckConstraint("method in ('closed_form', 'optimum', 'request')", name=op.f('ck_rebalancing_plans_method')),
    sa.CheckConstraint("status in ('proposed', 'accepted', 'rejected', 'expired', 'not_suggested')", name=op.f('ck_rebalancing_plans_status')),
    sa.ForeignKeyConstraint(['strategy_key'], ['app.strategies.strategy_key'], name=op.f('fk_rebalancing_plans_strategy_key_strategies')),
    sa.PrimaryKeyConstraint('plan_id', name=op.f('pk_rebalancing_plans')),
    schema='app',
    comment='Plans back to a target; proposed, then accepted, rejected or expired'
    )
    op.create_index('ix_rebalancing_plans_strategy', 'rebalancing_plans', ['strategy_key', 'as_of'], unique=False, schema='app')
    op.create_table('strategy_versions',
    sa.Column('strategy_key', sa.Integer(), nullable=False),
    sa.Column('version', sa.Integer(), autoincrement=False, nullable=False, comment='1, 2, … per strategy'),
    sa.Column('sells_others', sa.Boolean(), nullable=False, comment='Assets that it does not name have the target 0; else left out'),
    sa.Column('buy_only', sa.Boolean(), nullable=False, comment='Nothing is sold; only new money moves the shares'),
    sa.Column('min_trade_usd', sa.Numeric(), nullable=False, comment='Smallest trade, US dollars'),
    sa.Column('max_cost_pct', sa.Numeric(), nullable=False, comment='Greatest costs of a plan, percent of its benefit'),
    sa.Column('known_at', postgresql.TIMESTAMP(timezone=True), nullable=False, comment='Since when we know this version'),
    sa.Column('superseded_at', postgresql.TIMESTAMP(timezone=True), nullable=True, comment='When a later version or the deletion ended it'),
    sa.Column('set_by', sa.Text(), nullable=False),
    sa.Column('ended_by', sa.Text(), nullable=True, comment='Who changed or deleted it'),
    sa.CheckConstraint('min_trade_usd >= 0 and max_cost_pct >= 0', name=op.f('ck_strategy_versions_positive')),
    sa.ForeignKeyConstraint(['strategy_key'], ['app.strategies.strategy_key'], name=op.f('fk_strategy_versions_strategy_key_strategies')),
    sa.PrimaryKeyConstraint('strategy_key', 'version', name=op.f('pk_strategy_versions')),
    schema='app',
    comment='Rules of strategies, all versions; the current one has no superseded_at, a deleted strategy none'
    )
    op.create_index('uq_strategy_versions_current', 'strategy_versions', ['strategy_key'], unique=True, schema='app', postgresql_where=sa.text('superseded_at is null'))
    op.create_table('strategy_targets',
    sa.Column('strategy_key', sa.Integer(), nullable=False),
    sa.Column('version', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('asset_id', sa.Text(), nullable=False, comment='Asset whose price counts, such as coingecko:bitcoin'),
    sa.Column('weight_pct', sa.Numeric(precision=9, scale=6), nullable=False),
    sa.Column('band_pct', sa.Numeric(precision=9, scale=6), nullable=False, comment='Percentage points to either side'),
    sa.Column('may_sell', sa.Boolean(), nullable=False),
    sa.Column('may_buy', sa.Boolean(), nullable=False),
    sa.CheckConstraint('weight_pct between 0 and 100 and band_pct between 0 and 100', name=op.f('ck_strategy_targets_percent')),
    sa.ForeignKeyConstraint(['strategy_key', 'version'], ['app.strategy_versions.strategy_key', 'app.strategy_versions.version'], name=op.f('fk_strategy_targets_strategy_key_strategy_versions')),
    sa.PrimaryKeyConstraint('strategy_key', 'version', 'asset_id', name=op.f('pk_strategy_targets')),
    schema='app',
    comment='Weights of strategies in percent; those of a version sum to exactly 100'
    )


def downgrade() -> None:
    for table in ('strategy_targets', 'strategy_versions', 'rebalancing_plans', 'strategies'):
        op.drop_table(table, schema='app')
