from __future__ import annotations

from typing import TYPE_CHECKING

from app.db import Run
from app.db.session import unit_of_work
from app.domain.baselines import verdict_on
from app.services.accounts import Accounts
from app.services.baselines import plan_of, results_of
from app.services.predictions import outcome_of, record_of
from tools.sample_measured import fill_measured
from tools.sample_team import Team, fill_team

if TYPE_CHECKING:
    from app.services.studio import Studio


def test_a_team_has_predictions_that_came_out_differently_and_one_that_cannot_be_compared(studio: Studio) -> None:
    fill_team(studio, Team(running=3, waiting=0, done=0, lost_worker=False))
    made = fill_measured(studio)
    with unit_of_work(studio.engine) as session:
        by = Accounts(session).ensure_owner()
        record = record_of(session, by)
        compared = [each.memory for each in record.outcomes if each.memory]
        assert {each.is_within for each in compared} == {True, False}
        run = session.get(Run, made.elsewhere)
        assert run is not None
        elsewhere = outcome_of(session, run)
        assert elsewhere is not None
        assert elsewhere.is_elsewhere


def test_what_was_measured_of_prompts_has_a_verdict_and_rows(studio: Studio) -> None:
    fill_team(studio, Team(running=3, waiting=0, done=0, lost_worker=False))
    made = fill_measured(studio)
    with unit_of_work(studio.engine) as session:
        by = Accounts(session).ensure_owner()
        baselines = studio.baselines(session)
        row = baselines.get(by, made.baseline)
        results = results_of(row)
        assert results is not None
        assert "Tuning has to beat" in verdict_on(results, plan_of(row)).sentence
        assert len(baselines.rows(by, made.baseline, limit=50)[0]) == results.rows
        assert baselines.get(by, made.failed).reason
