"""REST of the calculator of the API's bill."""

from __future__ import annotations

from fastapi.testclient import TestClient

from tests.app.api.test_rest import client, owner, studio

__all__ = ["client", "owner", "studio"]
PATH = "/api/v1/estimates/cloud-costs"


def test_a_bill_is_worked_out_month_by_month(client: TestClient) -> None:
    asked = {"calls": 1_000_000, "prompt_tokens": 1000, "answer_tokens": 500, "price_in": 1, "price_out": 2, "hourly": 1, "one_off": 2540}
    found = client.get(PATH, params=asked | {"read_rate": 1e6, "write_rate": 1e6, "months": 3}).json()
    assert (found["verdict"], found["break_even_month"], found["api_call"], found["own_monthly"]) == ("breaks_even", 2, 0.002, 730.0)
    assert [month["api_so_far"] for month in found["months"]] == [2000, 4000, 6000]
    assert [month["own_so_far"] for month in found["months"]] == [3270, 4000, 4730]
    assert found["asked"]["peak"] == 3


def test_where_the_api_stays_cheaper_there_is_no_month(client: TestClient) -> None:
    found = client.get(PATH, params={"calls": 10}).json()
    assert (found["verdict"], found["break_even_month"]) == ("never", None)
    assert found["saved"] < 0


def test_the_project_s_own_prices_hold_where_none_are_named(client: TestClient) -> None:
    prices = client.get("/api/v1/prices").json()
    asked = client.get(PATH).json()["asked"]
    assert (asked["hourly"], asked["kwh_price"]) == (min(one["hourly"] for one in prices["rentals"]), prices["price_per_kwh"])
    assert client.get(PATH, params={"hourly": 7}).json()["asked"]["hourly"] == 7


def test_what_makes_no_sense_is_refused(client: TestClient) -> None:
    answer = client.get(PATH, params={"hours": 0})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "hours"


def test_a_stranger_is_asked_for_a_key(client: TestClient) -> None:
    assert client.get(PATH, headers={"Authorization": "Bearer hone_wrong"}).status_code == 401
