from __future__ import annotations

from dataclasses import replace

import pytest

from app.db import Dataset, Run
from app.domain.guide import Goal
from app.services.datasets import Ready
from app.services.overview import RunLine, Totals
from app.web import home_view, runs_view
from app.web.home_view import DISK_LOW_BYTES, Project
from app.web.runs_view import Line

NOTHING = Totals(datasets=0, runs=0, live_runs=0, running=0, models=0, workers=0)
EMPTY = Project(NOTHING, Ready(0, None), [], [], None, bases=1)


def dataset(status: str, name: str = "mails") -> Dataset:
    return Dataset(id=name, name=name, status=status, reason="It is empty.")


def line(status: str, name: str = "one", dataset_id: str = "mails", **columns: str) -> Line:
    run = Run(**{"id": name, "name": name, "status": status, "reason": "", "step": 40} | columns)
    [made] = runs_view.lines([RunLine(run, dataset_id, "mails", "owner")], {})
    return made


def actions(project: Project) -> list[str]:
    return [step.action or step.missing for step in home_view.steps(project)]


def test_a_new_project_begins_with_its_goal_and_says_what_the_rest_wants() -> None:
    wanted = ["Say what it is for", "Upload a dataset", "Choose a base", "Needs a dataset whose rows are ready."]
    assert actions(EMPTY) == [*wanted, "Needs a run that has ended well."]
    assert EMPTY.is_new
    assert home_view.headline(EMPTY) == "Begin with what the model is for"
    step = home_view.next_step(home_view.steps(EMPTY))
    assert step
    assert step.href == "/goal"


def test_a_goal_leads_to_data() -> None:
    project = replace(EMPTY, goal=Goal.MASK)
    assert home_view.headline(project) == "Bring a file of examples"
    assert home_view.steps(project)[0].number == "Mask personal data"
    step = home_view.next_step(home_view.steps(project))
    assert step
    assert step.href == "/datasets#upload"


def test_who_has_brought_data_is_not_sent_back_to_the_goal() -> None:
    way = home_view.steps(replace(EMPTY, totals=replace(NOTHING, datasets=1)))
    step = home_view.next_step(way)
    assert step
    assert step.href == "/datasets#upload"
    assert not way[0].is_done


@pytest.mark.parametrize(("status", "action"), [("needs_mapping", "Map the columns of mails"), ("importing", "Watch Hone read mails")])
def test_data_that_is_not_ready_names_what_it_waits_for(status: str, action: str) -> None:
    project = replace(EMPTY, totals=replace(NOTHING, datasets=1), datasets=[dataset(status)])
    step = home_view.next_step(home_view.steps(project))
    assert step
    assert (step.action, step.href) == (action, "/datasets/mails")


def test_ready_rows_lead_to_a_run_on_them() -> None:
    project = replace(EMPTY, totals=replace(NOTHING, datasets=1), ready=Ready(683, dataset("ready")))
    step = home_view.next_step(home_view.steps(project))
    assert step
    assert (step.action, step.href) == ("Train on mails", "/runs/new?dataset_id=mails")
    assert home_view.steps(project)[1].number == "683 rows"


def test_a_run_at_work_is_there_to_watch_and_a_model_to_ask() -> None:
    tuned = Run(name="best one", model="ft:hone-starter:default:best one:1")
    totals = replace(NOTHING, datasets=1, runs=2, running=1, models=1)
    project = Project(totals, Ready(683, dataset("ready")), [], [line("running")], tuned)
    assert actions(project) == ["Say what it is for", "Look at mails", "Choose a base", "Watch one", "Ask best one"]
    assert home_view.steps(project)[4].href == "/chat?tuned=ft%3Ahone-starter%3Adefault%3Abest%20one%3A1"


def test_a_failure_that_was_made_good_needs_nobody() -> None:
    failed = replace(EMPTY, lines=[line("failed", "old")])
    assert [need.text for need in home_view.needs(failed)] == ["old failed: see its log"]
    assert home_view.needs(replace(EMPTY, lines=[line("succeeded", "new"), line("failed", "old")])) == []
    assert home_view.needs(replace(EMPTY, lines=[line("succeeded", "new", "other"), line("failed", "old")])) != []


def test_a_run_that_waits_for_its_disk_needs_somebody_whatever_succeeded_since() -> None:
    paused = line("paused", "old", error_code="disk_full", reason="The disk at /runs is full, all of it. Free some space.")
    [need] = home_view.needs(replace(EMPTY, lines=[line("succeeded", "new"), paused]))
    assert need.text == "old paused: A disk is full. Paused at step 40: it goes on when somebody resumes it."
    assert home_view.needs(replace(EMPTY, lines=[line("paused", "by a person")])) == []


def test_a_failure_is_told_as_in_all_other_lists() -> None:
    failed = line("failed", error_code="diverged", reason="The loss is no number since step 7.")
    assert [need.text for need in home_view.needs(replace(EMPTY, lines=[failed]))] == ["one failed: The training lost its way."]


def test_what_waits_for_a_person_is_listed() -> None:
    project = replace(
        EMPTY, datasets=[dataset("needs_mapping", "table"), dataset("failed", "cut")], missing_queues=["gpu"], free_bytes=DISK_LOW_BYTES - 1
    )
    assert [(need.text.split(":")[0], need.href) for need in home_view.needs(project)] == [
        ("table", "/datasets/table"),
        ("cut", "/datasets/cut"),
        ("Work waits, but no worker is alive that could train.", "/workers"),
        ("Only 2.0 GB are left on the disk of the store", "/runs?sizes=1"),
    ]
    assert home_view.needs(replace(EMPTY, free_bytes=DISK_LOW_BYTES)) == []
