from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.domain.goals import Answers, Output
from app.domain.guide import Goal


def test_a_form_leaves_empty_what_nobody_said() -> None:
    found = Answers.model_validate({"what": "format", "task": " Mail into JSON ", "examples": "", "output": "", "news": "on"})
    assert (found.what, found.task, found.examples, found.output, found.news) == (Goal.FORMAT, "Mail into JSON", None, None, True)
    assert Answers.model_validate({"what": "", "fast": "no"}).is_blank


def test_answers_come_back_as_they_were_kept() -> None:
    given = Answers(what=Goal.MASK, output=Output.SAME_TEXT, examples=120, private=True, right_percent=40.5)
    assert Answers.model_validate(given.model_dump(mode="json")) == given


@pytest.mark.parametrize(
    ("field", "value"), [("what", "world peace"), ("examples", -1), ("right_percent", 101), ("right_percent", float("nan")), ("hope", True)]
)
def test_what_makes_no_sense_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        Answers.model_validate({field: value})
    assert refused.value.errors()[0]["loc"][0] == field
