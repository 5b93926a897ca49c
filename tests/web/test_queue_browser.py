"""The queue in a real Chromium: dragging with mouse and finger, while doorbells ring; and the same by keyboard, told aloud."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from sqlalchemy import select, update

from app.db import Run
from app.db.session import unit_of_work
from app.domain.runs import RunStatus
from app.services.studio import Studio
from tests.web.test_queue import FIRST, FOURTH, SECOND, THIRD, order, queue
from tests.web.walk import ring, silence

__all__ = ["queue"]
pytestmark = pytest.mark.browser
ROWS = "tr[data-waits]"
SENT = "**/board/move*"


def names(page: Page) -> list[str]:
    return [str(row.get_attribute("data-name")) for row in page.locator(ROWS).all()]


def row(page: Page, name: str) -> Locator:
    return page.locator(f"{ROWS}[data-name='{name}']")


def grip(page: Page, name: str) -> Locator:
    return row(page, name).locator(".grip")


def middle(place: Locator) -> tuple[float, float]:
    box = place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.fixture
def board(page: Page, queue: dict[str, str]) -> Page:
    """The board alone with its four waiting runs, and no doorbell but the test's."""
    silence(page)
    page.goto("/board?group=waiting")
    assert names(page) == [FIRST, SECOND, THIRD, FOURTH]
    return page


def take(page: Page, name: str, over: str, *, below: bool = False) -> None:
    """Take a run by its grip and hold it over another's row."""
    page.mouse.move(*middle(grip(page, name)))
    page.mouse.down()
    x, y = middle(row(page, over))
    page.mouse.move(x, y + (8 if below else -8), steps=4)


def test_a_run_is_dragged_to_another_place(board: Page, studio: Studio) -> None:
    take(board, FOURTH, SECOND)
    with board.expect_response(SENT):
        board.mouse.up()
    expect(board.locator(ROWS).nth(1)).to_have_attribute("data-name", FOURTH)
    assert order(studio) == [FIRST, FOURTH, SECOND, THIRD]
    expect(board.get_by_role("status").filter(has_text="stands at place 2 of 4")).to_have_count(1)


def test_a_run_is_dragged_to_the_end(board: Page, studio: Studio) -> None:
    take(board, FIRST, FOURTH, below=True)
    with board.expect_response(SENT):
        board.mouse.up()
    expect(board.locator(ROWS).last).to_have_attribute("data-name", FIRST)
    assert order(studio) == [SECOND, THIRD, FOURTH, FIRST]


def test_what_is_let_go_where_it_was_or_with_escape_stays(board: Page, studio: Studio) -> None:
    asked: list[str] = []
    board.on("request", lambda request: asked.append(request.method))
    take(board, SECOND, SECOND)
    board.mouse.up()
    take(board, FOURTH, FIRST)
    board.keyboard.press("Escape")
    board.mouse.up()
    assert (names(board), "POST" in asked) == (order(studio), False)
    expect(board.locator(".dragged, .drop-before, .drop-after")).to_have_count(0)


def cancel(studio: Studio, run_id: str) -> None:
    with unit_of_work(studio.engine) as session:
        session.execute(update(Run).where(Run.id == run_id).values(status=RunStatus.CANCELLED))


def test_what_rings_meanwhile_waits_until_it_is_let_go(board: Page, studio: Studio, queue: dict[str, str]) -> None:
    take(board, FOURTH, SECOND)
    cancel(studio, queue[THIRD])
    asked: list[str] = []
    board.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    ring(board, "board-now")
    board.evaluate("fetch('/livez')")  # a way there and back: whatever was asked before it is noted by now
    # The stream that hears nothing is asked for again every few seconds, perhaps just now.
    assert [what for what in asked if not what.startswith("live?")] == ["livez"]
    board.keyboard.press("Escape")
    expect(board.locator(ROWS)).to_have_count(3)
    board.mouse.up()


def test_an_answer_that_comes_meanwhile_tears_nothing_away(board: Page, studio: Studio, queue: dict[str, str]) -> None:
    held: list[Route] = []
    board.route("**/board?group=waiting", lambda route: held.append(route), times=1)  # noqa: PLW0108 - playwright marks its handlers, and a method of a list takes no mark
    with board.expect_request("**/board?group=waiting"):
        ring(board, "board-now")
    take(board, FOURTH, SECOND)
    cancel(studio, queue[THIRD])
    with board.expect_response("**/board?group=waiting") as answered:
        held[0].continue_()
    answered.value.finished()
    board.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert names(board) == [FIRST, SECOND, THIRD, FOURTH]
    board.keyboard.press("Escape")
    expect(board.locator(ROWS)).to_have_count(3)
    board.mouse.up()


def test_a_run_that_has_started_meanwhile_goes_back_and_that_is_said(board: Page, studio: Studio, queue: dict[str, str]) -> None:
    cancel(studio, queue[FOURTH])
    take(board, FOURTH, SECOND)
    board.mouse.up()
    expect(board.locator("#notice")).to_contain_text("Only a run that waits in the queue can be moved.")
    expect(board.locator(ROWS)).to_have_count(3)


AWAY = {"HX-Retarget": "#notice", "HX-Reswap": "innerHTML", "Content-Type": "text/html"}


@pytest.mark.parametrize("answer", [lambda route: route.abort(), lambda route: route.fulfill(headers=AWAY, body="Try again.")])
def test_what_could_not_be_moved_goes_back_though_nothing_answers(board: Page, answer: Callable[[Route], None]) -> None:
    board.route("**/board?group=waiting", lambda route: route.abort())
    board.route(SENT, answer)
    take(board, FOURTH, SECOND)
    board.mouse.up()
    expect(board.locator("#notice")).not_to_be_empty()
    expect(board.locator(ROWS).last).to_have_attribute("data-name", FOURTH)
    assert names(board) == [FIRST, SECOND, THIRD, FOURTH]


def test_on_a_tablet_what_moves_a_run_stands_below_and_leaves_names_their_room(board: Page) -> None:
    board.set_viewport_size({"width": 768, "height": 1024})
    name, buttons = (row(board, FIRST).locator(cell).bounding_box() for cell in (".name-cell", ".order-cell"))
    assert name is not None
    assert buttons is not None
    assert buttons["y"] >= name["y"] + name["height"] - 1
    assert name["width"] > 200


def test_a_finger_drags_too(chromium: Browser, address: str, studio: Studio, queue: dict[str, str]) -> None:
    context = chromium.new_context(base_url=address, viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    silence(page)
    page.goto("/board?group=waiting")
    grip(page, SECOND).scroll_into_view_if_needed()
    finger = context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y} for x, y in places]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    begin, (x, y) = middle(grip(page, SECOND)), middle(row(page, FIRST))
    touch("touchStart", begin)
    touch("touchMove", (x, y - 8))
    with page.expect_response(SENT):
        touch("touchEnd")
    expect(page.locator(ROWS).first).to_have_attribute("data-name", SECOND)
    assert order(studio)[0] == SECOND
    context.close()


def test_by_keyboard_one_goes_on_from_the_same_button(board: Page, studio: Studio) -> None:
    button = board.get_by_role("button", name=f"Sooner: {FOURTH}")
    for place in (3, 2):
        button.focus()
        board.keyboard.press("Enter")
        expect(board.locator("#board-told")).to_have_text(f"{FOURTH} stands at place {place} of 4 in the queue.")
        expect(button).to_be_focused()
    assert order(studio) == [FIRST, FOURTH, SECOND, THIRD]


def test_a_priority_is_chosen_from_its_menu_which_closes_elsewhere(board: Page, studio: Studio) -> None:
    third = row(board, THIRD)
    third.locator("summary").click()
    board.get_by_role("heading", name="Board").click()
    expect(third.get_by_role("button", name="High")).to_be_hidden()
    third.locator("summary").click()
    third.get_by_role("button", name="High").click()
    expect(board.locator(ROWS).first).to_have_attribute("data-name", THIRD)
    expect(third.get_by_role("button", name="Low")).to_be_hidden()
    with unit_of_work(studio.engine) as session:
        assert session.scalar(select(Run.priority).where(Run.name == THIRD)) == 1


def test_a_queue_is_held_and_limited_in_place(board: Page) -> None:
    waiting = board.get_by_role("region", name="Waiting")
    waiting.get_by_role("button", name="Hold").click()
    expect(waiting).to_contain_text("The queue is held by owner")
    waiting.get_by_role("button", name="Release").click()
    expect(waiting).not_to_contain_text("The queue is held by owner")
    waiting.get_by_text("Limit…").click()
    waiting.get_by_label("At most at once").fill("3")
    board.keyboard.press("Enter")
    expect(waiting).to_contain_text("of 3 slots taken")
    expect(waiting.get_by_label("At most at once")).to_be_hidden()


def test_a_start_is_told_by_the_readers_own_clock(chromium: Browser, address: str, queue: dict[str, str]) -> None:
    context = chromium.new_context(base_url=address, timezone_id="Asia/Kolkata", locale="en-GB")
    page = context.new_page()
    page.goto("/board?group=waiting")
    times = page.locator("time.coming").all_text_contents()
    assert times
    assert not any("UTC" in time for time in times)
    assert all(time.count(" ") == 1 for time in times)  # a line breaks between clock and span alone
    context.close()
