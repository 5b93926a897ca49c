"""However a file's rows are laid out, the same rows come of them: lines that are read many at once, and elements read one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.workers.curation.conftest import Importer

USER, ANSWER = {"role": "user", "content": "Hi %d?"}, {"role": "assistant", "content": "Hello %d."}
HUMAN_AND_GPT = [{"from": "human", "value": "h%d"}, {"from": "gpt", "value": "g%d"}]
ROWS: list[dict[str, Any] | str] = [
    {"messages": [USER, ANSWER]},
    {"system": "S", "messages": [USER, ANSWER]},
    {"messages": [USER, ANSWER], "system": "S"},
    {"messages": [USER, ANSWER], "split": "test"},
    {"messages": [USER, ANSWER], "label": False},
    {"label": True, "prompt": "q%d", "completion": "a%d"},
    {"messages": [USER, ANSWER], "kto_tag": False},
    {"messages": [USER, ANSWER], "tools": [{"name": "f"}]},
    {"messages": [USER, ANSWER | {"weight": 0}]},
    {"messages": [USER | {"name": "Ann"}, ANSWER]},
    {"messages": [{"role": "developer", "content": "D"}, USER, ANSWER]},
    {"messages": [{"role": "system", "content": " "}, USER, ANSWER]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "x%d"}]}, ANSWER]},
    {"messages": [USER]},
    {"messages": [USER], "chosen": ANSWER, "rejected": {"role": "assistant", "content": "w"}},
    {"text": "once %d"},
    {"text": "once %d", "label": "x"},
    {"instruction": "i%d", "input": "", "output": "o%d"},
    {"instruction": "i%d", "input": "x", "output": "o%d", "system": "S"},
    {"instruction": "i%d", "input": "x", "output": "o%d", "history": [["a", "b"]]},
    {"instruction": "i%d", "input": "", "output": "o%d", "chosen": "c%d", "rejected": "r%d"},
    {"prompt": "p%d", "chosen": "c%d", "rejected": "r%d"},
    {"prompt": "p%d", "completion": "c", "label": "spam"},
    {"prompt": "p%d", "completion": "c", "system": "S"},
    {"prompt": "p%d", "completion": "c", "label": 0},
    {"prompt": "p%d", "response": "c", "subset": "dev"},
    {"completion": "c%d", "prompt": "p"},
    {"conversations": HUMAN_AND_GPT},
    {"conversations": HUMAN_AND_GPT, "system": "S"},
    {"conversations": HUMAN_AND_GPT, "tools": "[]"},
    {"conversations": HUMAN_AND_GPT, "kto_tag": True},
    {"instruction": "i%d", "input": "x", "output": "o%d", "kto_tag": False},
    {"conversations": ["a%d", "b"]},
    '{"messages": [{"role": "user", "content": "a%d"}, {"role": "assistant", "content": "b"}], "id": 1, "id": 2}',
    '"only text %d"',
]


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_lines_and_elements_give_the_same_rows(imported: Importer, row: dict[str, Any] | str) -> None:
    rows = [(row if isinstance(row, str) else json.dumps(row)).replace("%d", str(number)) for number in range(300)]
    lines, elements = imported("\n".join(rows), "a.jsonl"), imported("[\n" + ",\n".join(rows) + "\n]", "a.json")
    for found in (lines, elements):
        for each in found.rows:
            each.pop("line")
    assert lines.rows == elements.rows
    assert (lines.report.status, lines.report.format) == (elements.report.status, elements.report.format)
    assert (lines.report.aside, lines.report.train_rows) == (elements.report.aside, elements.report.train_rows)
