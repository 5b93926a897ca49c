"""Work counts the reports that were entered of it, so that none is entered twice when the answer to a commit is lost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LEASED = ("runs", "imports")


def upgrade() -> None:
    for table in LEASED:
        op.add_column(table, sa.Column("reports", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    for table in LEASED:
        op.drop_column(table, "reports")
