"""The price table: shown, changed, refused beside its fields, and taken back; with htmx and without."""

from __future__ import annotations

import html
import re

import pytest
from fastapi.testclient import TestClient

from app.domain.prices import PriceTable
from app.web.prices_view import form_of, lines_of, table_from
from tests.web.walk import part

FORM = part("prices_form")


def typed(browser: TestClient) -> dict[str, str]:
    """Return the fields as the page shows them."""
    page = browser.get("/prices").text
    fields = {name: html.unescape(value) for name, value in re.findall(r'<input id="([\w-]+)" name="\1"[^>]* value="([^"]*)"', page)}
    for name, options in re.findall(r'<select id="([\w-]+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', options)
        fields[name] = chosen[1] if chosen else ""
    return fields


def test_the_prices_that_come_with_hone_are_there_with_their_source(browser: TestClient) -> None:
    fields = typed(browser)
    assert (fields["provider-0"], fields["device-0"], fields["hourly-0"]) == ("Vast.ai", "rtx_3090", "0.29")
    assert (fields["provider-8"], fields["hourly-8"], fields["provider-9"]) == ("AWS", "6.88", "")
    page = browser.get("/prices").text
    assert "IEA, Electricity 2025" in page
    assert "Back to the prices" not in page


@pytest.mark.parametrize("headers", [{}, FORM])
def test_a_changed_price_is_kept_and_can_be_taken_back(browser: TestClient, headers: dict[str, str]) -> None:
    changed = {"hourly-0": "0.5", "hourly-1": "1234.56789", "currency": "EUR"}
    answer = browser.post("/prices", data=typed(browser) | changed, headers=headers)
    assert answer.status_code == 200 if headers else 303
    assert ("Saved" in answer.text) is bool(headers)
    assert (typed(browser)["hourly-0"], typed(browser)["hourly-1"]) == ("0.5", "1234.56789")
    assert browser.post("/prices/reset").status_code == 303
    assert typed(browser)["hourly-0"] == "0.29"


def test_a_line_is_added_and_another_emptied(browser: TestClient) -> None:
    gone = dict.fromkeys(("provider-1", "label-1", "device-1", "hourly-1"), "")
    added = {"provider-9": "Ours", "label-9": "Old card", "device-9": "rtx_4090", "hourly-9": "0.1"}
    browser.post("/prices", data=typed(browser) | gone | added)
    fields = typed(browser)
    assert [fields[f"provider-{number}"] for number in (0, 1, 8, 9)] == ["Vast.ai", "Vast.ai", "Ours", ""]


@pytest.mark.parametrize("headers", [{}, FORM])
@pytest.mark.parametrize(
    ("wrong", "field", "says"),
    [
        ({"hourly-0": "cheap"}, "hourly-0", "Give a number."),
        ({"hourly-0": "-1"}, "hourly-0", "Give more than 0."),
        ({"device-0": "abacus"}, "device-0", "There is no device"),
        ({"provider-9": "Ours"}, "hourly-9", "Give a number."),
        ({"price_per_kwh": "-1"}, "price_per_kwh", "Give 0 or more."),
        ({"currency": "<b>"}, "currency", "String should match"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(
    browser: TestClient, wrong: dict[str, str], field: str, says: str, headers: dict[str, str]
) -> None:
    answer = browser.post("/prices", data=typed(browser) | wrong, headers=headers)
    assert answer.status_code == 422
    error = re.search(rf'id="{field}-error">(.*?)</span>', answer.text, re.DOTALL)
    assert error is not None
    assert says in error[1]
    assert "Nothing was saved" in answer.text
    assert 'value="<b>"' not in answer.text
    assert typed(browser)["hourly-0"] == "0.29"


def test_a_form_gives_back_the_table_it_was_made_of() -> None:
    table = PriceTable(own_watts=350)
    assert table_from(form_of(table).values) == (table, {})
    assert len(lines_of(form_of(table))) == len(table.rentals) + 2
