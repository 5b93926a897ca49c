"""The data desk in the browser: problems as chips, fixes with their preview, twins side by side, undo."""

from __future__ import annotations

import json
import re

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import Dataset, DatasetVersion, EventRow, Import
from app.db.session import reading, unit_of_work
from app.services.datasets import EVENTS_SHOWN
from app.services.studio import Studio
from tests.web.walk import part
from tools.sample_project import Sample


@pytest.fixture
def desk(sample: Sample) -> str:
    """The address of a dataset with every problem planted."""
    return f"/datasets/{sample.datasets['desk']}"


def text_of(page: str) -> str:
    """Return what a page says, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def task_of(studio: Studio, dataset_id: str) -> dict[str, object]:
    with reading(studio.engine) as session:
        newest = session.scalars(select(Import).where(Import.dataset_id == dataset_id).order_by(Import.id.desc())).first()
        return dict(newest.task) if newest else {}


def test_chips_say_how_many_rows_each_problem_is_in_and_those_without_come_last(browser: TestClient, desk: str) -> None:
    chips = re.findall(r'<a class="chip ([a-z]*)[^>]*>(.*?)</a>', browser.get(desk).text, re.DOTALL)
    told = [(tone, text_of(words).strip()) for tone, words in chips]
    assert told[0] == ("", "All 16")
    assert ("bad", "Unfilled placeholders 1") in told
    assert ("wait", "Near duplicates 1") in told
    assert ("bad", "Same question, other answer 2") in told
    tones = [tone for tone, _ in told[1:]]
    assert tones == sorted(tones, key=lambda tone: tone == "none")


def test_checks_that_found_nothing_are_folded_unless_one_looks_at_them(browser: TestClient, desk: str) -> None:
    folded = re.compile(r'<details><summary class="chip none">(\d+) other checks? found nothing</summary>')
    page = browser.get(desk).text
    found = folded.search(page)
    assert found
    assert int(found[1]) == page.split(found[0], 1)[1].split("</details>", 1)[0].count('class="chip none"') > 1
    looked = folded.search(browser.get(f"{desk}?problem=rare_label").text)
    assert looked
    assert int(looked[1]) == int(found[1]) - 1


def test_a_chip_narrows_the_rows_and_says_why_it_matters(browser: TestClient, desk: str) -> None:
    rows = browser.get(f"{desk}?problem=near_duplicate", headers=part("dataset_rows")).text
    assert "third time I write!" in rows
    assert "THE EXPORT IS BROKEN" not in rows
    assert "<b>Near duplicates: 1 row in 1 group.</b> Rows that differ in a word or two" in rows
    assert "near duplicate of row 1" in rows
    assert "Keep the best of each group" in rows


def test_too_long_goes_by_the_context_that_is_chosen(browser: TestClient, desk: str) -> None:
    assert "1,204 tokens, of which 1,024 fit" in browser.get(f"{desk}?problem=too_long").text
    assert "No row of this dataset is like that." in browser.get(f"{desk}?problem=too_long&max_tokens=2048").text


def test_text_and_side_narrow_what_a_chip_has_left(browser: TestClient, desk: str) -> None:
    assert "Where is my parcel?" in browser.get(f"{desk}?q=PARCEL").text
    assert "charged me twice" not in browser.get(f"{desk}?q=PARCEL").text
    both = browser.get(f"{desk}?problem=exact_duplicate&q=parcel", headers=part("dataset_rows")).text
    assert both.count("<tr id=") == 1
    sides = [browser.get(f"{desk}?split={side}", headers=part("dataset_rows")).text.count("<tr id=") for side in ("train", "test")]
    assert sum(sides) == 16
    assert min(sides) > 0


def test_what_was_found_is_marked_in_the_text_with_a_title(browser: TestClient, desk: str) -> None:
    page = browser.get(desk).text
    assert '<mark class="found wait" title="a person&#39;s name">Marco Rossi</mark>' in page
    assert '<mark class="found bad" title="a placeholder that nobody filled in">{customer_name}</mark>' in page
    assert "1 name, 1 e-mail" in page


def test_a_problem_that_there_is_not_is_refused(browser: TestClient, desk: str) -> None:
    assert browser.get(f"{desk}?problem=ugly").status_code == 422


def test_a_preview_says_what_would_change_and_changes_nothing(browser: TestClient, studio: Studio, sample: Sample, desk: str) -> None:
    page = browser.get(f"{desk}/fix?op=keep_best&problem=near_duplicate").text
    assert "1 row would be left out. 15 rows would be left." in page
    assert "left out</span>" in page
    assert task_of(studio, sample.datasets["desk"]) == {}


def test_masks_are_shown_side_by_side_and_kinds_can_be_left_alone(browser: TestClient, desk: str) -> None:
    page = browser.get(f"{desk}/fix?op=mask&problem=pii").text
    assert "<del>Marco Rossi</del>" in re.sub(r"</del><del>", "", page)
    assert "NAME" in text_of(page)
    some = browser.get(f"{desk}/fix?op=mask&problem=pii&choose=1&kind-EMAIL=1").text
    assert "EMAIL" in re.sub(r"</ins><ins>", "", some)
    assert "<del>Marco" not in some


def test_filling_asks_for_texts_and_shows_what_comes_of_them(browser: TestClient, desk: str) -> None:
    empty = browser.get(f"{desk}/fix?op=fill").text
    assert "<code>{customer_name}</code>" in empty
    assert 'id="apply"' not in empty
    filled = browser.get(f"{desk}/fix", params={"op": "fill", "blank-0": "{customer_name}", "fill-0": "Lena"}).text
    assert "1 row would change" in filled
    assert "<ins>Lena</ins>" in filled


def test_a_fix_is_asked_of_a_worker_and_leads_back_to_the_rows(browser: TestClient, studio: Studio, sample: Sample, desk: str) -> None:
    answer = browser.post(f"{desk}/fix", data={"op": "mask", "problem": "pii", "choose": "1", "kind-NAME": "1", "keep_map": "1"})
    assert (answer.status_code, answer.headers["Location"]) == (303, desk)
    task = task_of(studio, sample.datasets["desk"])
    assert task["fix"] == {"op": "mask", "problem": "pii", "kinds": ["NAME"], "keep_map": True, "rows": None}
    page = browser.get(desk).text
    assert "Waiting for a worker to change the rows" in page
    assert 'id="cancel-work"' in page


def test_a_fix_that_makes_no_sense_is_refused_in_words(browser: TestClient, desk: str) -> None:
    for asked in ("op=explode", "op=keep_best&problem=pii", "op=balance&most=0", "op=drop&problem=pii&rows=1,x"):
        answer = browser.get(f"{desk}/fix?{asked}")
        assert answer.status_code == 422, asked
        assert "This fix cannot be read" in answer.text, asked


def test_the_last_change_is_told_and_undone(browser: TestClient, studio: Studio, sample: Sample, desk: str) -> None:
    assert "1 row left out (exact duplicates)" in browser.get(desk).text
    assert browser.post(f"{desk}/undo").headers["Location"] == desk
    page = browser.get(desk).text
    assert "17 rows from emails-march.csv and corrections.jsonl." in page
    assert 'id="undo"' not in page
    with reading(studio.engine) as session:
        assert session.get_one(Dataset, sample.datasets["desk"]).report["rows"] == 17


def hidden(page: str, name: str) -> str:
    found = re.search(f'<input type="hidden" name="{name}" value="([^"]+)">', page)
    assert found
    return found[1]


def test_pressing_undo_twice_goes_back_once(browser: TestClient, studio: Studio, sample: Sample, desk: str) -> None:
    with unit_of_work(studio.engine) as session:
        # One more state behind, which the second press would bring back.
        first = session.get_one(DatasetVersion, session.get_one(Dataset, sample.datasets["desk"]).version.parent_id)  # type: ignore[union-attr]
        first.parent_id = session.get_one(Dataset, sample.datasets["ready"]).version_id
    seen = {"version": hidden(browser.get(desk).text, "version")}
    assert browser.post(f"{desk}/undo", data=seen).status_code == 303
    again = browser.post(f"{desk}/undo", data=seen)
    assert (again.status_code, "The rows have changed meanwhile: look at them again." in again.text) == (409, True)
    assert "17 rows from emails-march.csv" in browser.get(desk).text


def test_what_is_applied_is_what_was_previewed(browser: TestClient, studio: Studio, sample: Sample, desk: str) -> None:
    preview = browser.get(f"{desk}/fix?op=keep_best&problem=near_duplicate").text
    twins = browser.get(f"{desk}/groups?problem=near_duplicate").text
    one = re.search(r'href="([^"]*op=keep_best[^"]*rows=[^"]*)"', twins)
    assert one
    browser.post(f"{desk}/undo")
    asked = {"op": "keep_best", "problem": "near_duplicate", "version": hidden(preview, "version")}
    for answer in (browser.post(f"{desk}/fix", data=asked), browser.get(one[1].replace("&amp;", "&"))):
        assert (answer.status_code, "The rows have changed meanwhile: look at them again." in answer.text) == (409, True)
        assert f'href="{desk}"' in answer.text
    assert task_of(studio, sample.datasets["desk"]) == {}


def test_rows_nobody_has_looked_at_offer_a_look(browser: TestClient, studio: Studio, sample: Sample) -> None:
    address = f"/datasets/{sample.datasets['talks']}"
    assert 'id="look"' in browser.get(address).text
    assert browser.post(f"{address}/check").status_code == 303
    page = browser.get(address).text
    assert "looking for problems…" in page
    assert task_of(studio, sample.datasets["talks"])["kind"] == "check"
    assert browser.post(f"{address}/cancel").status_code == 303
    with unit_of_work(studio.engine) as session:
        work = session.scalars(select(Import).where(Import.dataset_id == sample.datasets["talks"])).one()
        assert work.status == "cancelled"


def test_twins_stand_side_by_side_with_their_differences_marked(browser: TestClient, desk: str) -> None:
    page = browser.get(f"{desk}/groups?problem=near_duplicate").text
    assert page.count('<article class="member') == 2
    assert page.count('class="member kept"') == 1
    assert "<del>!</del>" in page
    one = re.search(r'href="([^"]*op=keep_best[^"]*rows=[^"]*)">Keep only the best of this group', page)
    assert one
    assert "1 row would be left out." in browser.get(one[1].replace("&amp;", "&")).text
    leak = browser.get(f"{desk}/groups?problem=leak").text
    assert ("in training" in leak, "held out" in leak) == (True, True)
    assert browser.get(f"{desk}/groups?problem=pii").status_code == 422


def test_rows_that_were_set_aside_can_be_mended(browser: TestClient, studio: Studio, sample: Sample, desk: str) -> None:
    page = browser.get(f"{desk}?problem=broken").text
    assert "corrections.jsonl, line 19" in page
    assert "expected &#39;,&#39; at column 30." in page
    assert "empty_answer" not in browser.get(f"{desk}?problem=broken", headers=part("dataset_rows")).text.split("aside-")[1]
    mended = '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}'
    assert '<input type="hidden" name="number" value="3">' in page
    was = re.search(r'name="number" value="3"><input type="hidden" name="was" value="(\w{16})">', page)
    assert was
    answer = browser.post(f"{desk}/fix", data={"op": "mend", "number": "3", "was": was[1], "text": mended})
    assert answer.status_code == 303
    assert task_of(studio, sample.datasets["desk"])["fix"] == {"op": "mend", "number": 3, "was": was[1], "text": mended}


def test_of_a_long_row_that_was_set_aside_the_whole_is_asked_for(browser: TestClient, studio: Studio, sample: Sample, desk: str) -> None:
    with reading(studio.engine) as session:
        version = session.get_one(Dataset, sample.datasets["desk"]).version
        assert version is not None
        artifact = version.file("aside")
        assert artifact is not None
        path = studio.storage.path(artifact.sha256)
    path.write_text(json.dumps({"line": 7, "code": "broken", "reason": "It is so.", "text": '{"messages": [', "is_cut": True}))
    page = browser.get(f"{desk}?problem=broken").text
    assert "Only the beginning of this row was kept" in page
    assert re.search(r'<textarea id="mend-1"[^>]*></textarea>', page)
    assert "<pre>{&#34;messages&#34;: […</pre>" in page


def test_how_many_rows_set_aside_are_not_kept_is_told(browser: TestClient, studio: Studio, sample: Sample, desk: str) -> None:
    with unit_of_work(studio.engine) as session:
        dataset = session.get_one(Dataset, sample.datasets["desk"])
        dataset.report = dataset.report | {"aside": {"broken": 12, "no_answer": 1}, "not_kept": {"broken": 11}}
    page = browser.get(f"{desk}?problem=broken").text
    assert "11 further rows like this were set aside and cannot be shown: only the first 10,000 are kept with their text" in page
    assert "further row" not in browser.get(f"{desk}?problem=no_answer").text


def test_further_rows_set_aside_lead_back_to_the_first(browser: TestClient, desk: str) -> None:
    first, further = (browser.get(f"{desk}?problem=broken{more}").text for more in ("", "&after=20"))
    assert ("First rows" in first, "line 19" in first) == (False, True)
    assert re.search(r'href="([^"]*)"[^>]*>First rows', further)[1] == f"{desk}?problem=broken"  # type: ignore[index]


def test_rows_without_a_last_answer_can_all_be_taken_in(browser: TestClient, desk: str) -> None:
    page = browser.get(f"{desk}?problem=no_answer").text
    assert "Is anybody there?" in page
    assert "/fix?op=trim_end" in page
    preview = browser.get(f"{desk}/fix?op=trim_end").text
    assert "up to 1 row would be taken in" in preview.lower()
    assert (preview.count("Yes, every day until six."), "<del>And on Sundays?</del>" in preview, preview.count("And on Sundays?")) == (
        2,
        True,
        1,
    )


def test_tools_calls_judgements_and_worse_answers_are_shown(browser: TestClient, sample: Sample) -> None:
    page = text_of(browser.get(f"/datasets/{sample.datasets['talks']}").text)
    for words in ("1 tool: find_parcel", "find_parcel(order: &#34;A-1042&#34;", "worse answer", "I cannot know that.", "not liked"):
        assert words in page, words
    assert "not learnt from" in page


def test_how_many_are_enough_goes_by_the_goal(browser: TestClient, desk: str, sample: Sample) -> None:
    assert "try few-shot prompting first" in browser.get(desk).text
    ready = f"/datasets/{sample.datasets['ready']}"
    assert "683 of about 500: enough." in browser.get(f"{ready}?goal=format").text
    assert "683 of 1,000 to 5,000" in browser.get(f"{ready}?goal=domain").text


def test_choosing_a_goal_keeps_what_the_page_shows(browser: TestClient, desk: str) -> None:
    goals = re.compile(r'href="(/datasets/[^"]*goal=[^"]*)"')
    for page in (browser.get(f"{desk}?problem=pii&q=parcel"), browser.get(f"{desk}?problem=pii&q=parcel", headers=part("dataset_rows"))):
        links = [link.replace("&amp;", "&") for link in goals.findall(page.text.split('<details class="menu"><summary>', 1)[1])]
        assert f"{desk}?problem=pii&q=parcel&goal=format" in links
    there = browser.get(f"{desk}?problem=pii&goal=format").text
    assert hidden(there, "goal") == "format"


def test_statistics_have_a_table_behind_each_drawing(browser: TestClient, desk: str) -> None:
    page = browser.get(f"{desk}/statistics").text
    assert page.count('<svg class="plot histogram"') == 2
    assert page.count("As a table") == 2
    assert ("billing_error" in page, "a person&#39;s name" in page) == (True, True)


def test_files_and_history_name_each_file(browser: TestClient, desk: str) -> None:
    page = browser.get(f"{desk}/history").text
    assert ("emails-march.csv" in page, "corrections.jsonl" in page, "16 rows were read." in page) == (True, True, True)


def test_of_a_long_history_the_newest_is_shown(browser: TestClient, studio: Studio, sample: Sample, desk: str) -> None:
    with unit_of_work(studio.engine) as session:
        dataset = session.get_one(Dataset, sample.datasets["desk"])
        for number in range(EVENTS_SHOWN + 1):
            session.add(EventRow(project_id=dataset.project_id, subject_id=dataset.id, type="fixed", message=f"Change {number}."))
    told = re.findall(r"<span>Change (\d+)\.</span>", browser.get(f"{desk}/history").text)
    assert [int(number) for number in told] == list(range(EVENTS_SHOWN, 0, -1))


def test_further_files_are_added_to_the_rows_there_are(browser: TestClient, studio: Studio, sample: Sample, desk: str) -> None:
    line = b'{"prompt": "a", "completion": "b"}\n'
    answer = browser.post(f"{desk}/files", files=[("file", ("more.jsonl", line)), ("file", ("yet-more.jsonl", line))])
    assert (answer.status_code, answer.headers["Location"]) == (303, desk)
    assert task_of(studio, sample.datasets["desk"]) == {"kind": "append", "first": 2}


def test_columns_are_shown_as_conversations_at_once(browser: TestClient, sample: Sample) -> None:
    address = f"/datasets/{sample.datasets['unmapped']}"
    asked = {"role-1": "user", "role-3": "assistant", "system": "Name the <intent>."}
    shown = browser.post(f"{address}/mapping/preview", data=asked, headers=part("mapping_preview")).text
    assert shown.strip().startswith('<section class="panel sticky" id="mapping-preview"')
    assert ("Name the &lt;intent&gt;." in shown, "track_order" in shown, "I need to talk to a human agent" in shown) == (True, True, True)
    whole = browser.post(f"{address}/mapping/preview", data=asked).text
    assert "Name the &lt;intent&gt;.</textarea>" in whole


def test_columns_are_joined_by_a_text_with_their_names(browser: TestClient, sample: Sample) -> None:
    address = f"/datasets/{sample.datasets['unmapped']}"
    joined = {"join-user": "{category}: {instruction}", "role-3": "assistant"}
    shown = browser.post(f"{address}/mapping/preview", data=joined, headers=part("mapping_preview")).text
    assert "ORDER: can uhelp me finding information about my order?" in shown
    wrong = browser.post(f"{address}/mapping/preview", data=joined | {"join-user": "{nothing}"}, headers=part("mapping_preview")).text
    assert "There is no column &#39;nothing&#39;; there are: flags, instruction" in wrong
    alone = browser.post(f"{address}/mapping/preview", data={"join-user": "{nothing}", "role-0": ""}, headers=part("mapping_preview")).text
    assert ("There is no column &#39;nothing&#39;" in alone, "Say which column" in alone) == (True, False)
    assert browser.post(f"{address}/mapping", data=joined).status_code == 303


def test_a_role_that_is_joined_goes_before_the_menus_that_name_it(browser: TestClient, studio: Studio, sample: Sample) -> None:
    address = f"/datasets/{sample.datasets['unmapped']}"
    asked = {"join-user": "{category}: {instruction}", "role-0": "user", "role-1": "user", "role-3": "assistant"}
    shown = browser.post(f"{address}/mapping/preview", data=asked, headers=part("mapping_preview")).text
    assert ("ORDER: can uhelp me" in shown, "already" in shown) == (True, False)
    assert browser.post(f"{address}/mapping", data=asked).status_code == 303
    with reading(studio.engine) as session:
        mapping = session.get_one(Dataset, sample.datasets["unmapped"]).mapping
        assert mapping == {"user": "{category}: {instruction}", "assistant": "intent"}


def test_how_sure_the_guess_is_stands_in_the_header(browser: TestClient, sample: Sample) -> None:
    page = browser.get(f"/datasets/{sample.datasets['unmapped']}").text
    assert "surely the answer (assistant): named like an answer" in page


def test_rows_can_be_taken_away_as_a_table_that_runs_nothing(browser: TestClient, desk: str, sample: Sample) -> None:
    answer = browser.get(f"{desk}/export?format=csv")
    lines = answer.content.decode("utf-8-sig").split("\r\n")
    assert lines[0] == "system,user,assistant,worse_answer,liked,text,conversation,split"
    assert "support-march.csv" in answer.headers["Content-Disposition"]
    assert browser.get(f"{desk}/export?format=exe").status_code == 422
    talks = browser.get(f"/datasets/{sample.datasets['talks']}/export?format=csv").content.decode("utf-8-sig")
    assert ("I cannot know that." in talks, "find_parcel" in talks, "false" in talks) == (True, True, True)


@pytest.mark.parametrize("tokens", ["9" * 5_000, "0", "-1", "x"])
def test_a_context_that_is_none_is_the_usual_one(browser: TestClient, desk: str, tokens: str) -> None:
    assert browser.get(f"{desk}/fix?op=mask&problem=pii&max_tokens={tokens}").status_code == 200
