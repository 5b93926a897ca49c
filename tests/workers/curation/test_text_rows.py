from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.curation.conftest import Importer
from workers.curation.rows import Aside, RawRow
from workers.curation.source import physical_lines
from workers.curation.text_rows import PASSAGE_CHARACTERS, markdown_rows, text_rows


def texts(content: str | bytes) -> list[tuple[int, str]]:
    raw = content.encode() if isinstance(content, str) else content
    return [(row.line, row.cells["text"]) for row in text_rows(physical_lines([raw])) if isinstance(row, RawRow)]


def sections(content: str) -> list[str]:
    return [row.cells["text"] for row in markdown_rows(physical_lines([content.encode()])) if isinstance(row, RawRow)]


def test_short_paragraphs_are_packed_and_keep_their_lines() -> None:
    assert texts("\n\nOne.\nTwo.\n\n\nThree.\n") == [(3, "One.\nTwo.\n\n\nThree.")]


def test_a_row_ends_at_the_blank_line_before_it_grows_too_long() -> None:
    one, two = "a " * 600, "b " * 600
    assert texts(f"{one}\n\n{two}\n\n{one}") == [(1, one), (3, two), (5, one)]


def test_no_row_stands_in_two_documents() -> None:
    assert texts("One.\n<|endoftext|>\nTwo.<|endoftext|>Three.") == [(1, "One."), (3, "Two."), (3, "Three.")]


def test_a_paragraph_without_an_end_is_cut_at_a_line() -> None:
    found = texts("\n".join(["x" * 900] * 9))
    assert [text.count("\n") + 1 for _, text in found] == [2, 2, 2, 2, 1]
    assert [line for line, _ in found] == [1, 3, 5, 7, 9]


def test_an_endless_line_is_cut_behind_sentences() -> None:
    found = texts("This is a sentence. " * 400)
    assert len(found) == 4
    assert all(text.endswith("sentence.") for _, text in found[:-1])


WORDS = st.text(st.characters(categories=["L", "P", "N"]), min_size=1, max_size=900)


@given(st.lists(st.tuples(WORDS, st.sampled_from(["\n", " ", "\n\n", "\n \n\n"])), min_size=1, max_size=30))
def test_no_word_is_lost_or_changes_its_place(parts: list[tuple[str, str]]) -> None:
    content = "".join(word + space for word, space in parts)
    found = texts(content)
    assert [word for _, text in found for word in text.split()] == content.split()
    assert all(len(text) <= PASSAGE_CHARACTERS + 1_000 for _, text in found)


def test_lines_that_cannot_be_read_are_set_aside() -> None:
    found = list(text_rows(physical_lines([b"One.\n\xff\nA\0B\nTwo."])))
    assert [(each.line, each.reason) for each in found if isinstance(each, Aside)] == [
        (2, "byte 0xFF is not UTF-8 (column 1)"), (3, "a NUL character"),
    ]  # fmt: skip


def test_a_section_stands_under_its_headings() -> None:
    content = "# Tea\n\nHot.\n\n## Green\n\nMild.\n\n## Black\n\n### Assam\n\nStrong.\n\n# Milk\n\nCold."
    assert sections(content) == [
        "# Tea\n\nHot.", "# Tea\n\n## Green\n\nMild.", "# Tea\n\n## Black\n\n### Assam\n\nStrong.", "# Milk\n\nCold."
    ]  # fmt: skip


def test_what_only_looks_like_a_heading_is_none() -> None:
    assert sections("# A\n\n```sh\n# not a heading\n```\n\n#nor this") == ["# A\n\n```sh\n# not a heading\n```\n\n#nor this"]


def test_what_programs_write_above_a_page_is_left_out() -> None:
    assert sections("---\ntitle: x\n---\n\n# A\n\nText.") == ["# A\n\nText."]
    assert sections("---\n\nText.") == ["---\n\nText."]


@pytest.mark.parametrize("name", ["a.txt", "a.md", "NOTES"])
def test_texts_are_learnt_whole(imported: Importer, name: str) -> None:
    found = imported("Once upon a time.\n\nThe end.", name)
    assert (found.report.status, found.report.format) == ("ready", "text")
    assert found.spoken == [[("text", "Once upon a time.\n\nThe end.")]]


def test_a_system_text_is_not_put_before_a_text(imported: Importer) -> None:
    assert imported("Once upon a time.", "a.txt", system="Be brief.").spoken == [[("text", "Once upon a time.")]]


def test_pages_of_a_folder_are_read_together(imported: Importer) -> None:
    found = imported({"a.md": "# A\n\nOne.", "b.md": "# B\n\nTwo.\n\n## C\n\nThree."})
    assert [(row["file"], row["line"]) for row in found.rows] == [(0, 3), (1, 3), (1, 7)]
