"""Asking a model that is busy, breaks off, refuses, or talks nonsense."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.domain.errors import Invalid, StudioError, Unavailable
from tests.workers.evaluation.openai_server import KEY, OpenAi, openai_server, trouble
from workers.evaluation.asking import Asker, Refused, TooLong
from workers.evaluation.patience import Patience

HELLO = [{"role": "user", "content": "Say hello to all"}]


@pytest.fixture
def model() -> Iterator[OpenAi]:
    with openai_server() as told:
        yield told


def asker(model: OpenAi, waited: list[float] | None = None, *, key: str | None = None, patience: float = 20.0) -> Asker:
    return Asker(model.address, "large", key, private_allowed=True, patience=timeless(patience, waited))


def own(model: OpenAi, waited: list[float] | None = None, *, patience: float = 20.0) -> Asker:
    return Asker(model.address, "small", KEY, {"base_dir": "/models/small", "adapter_dir": None}, patience=timeless(patience, waited))


def timeless(seconds: float, waited: list[float] | None = None) -> Patience:
    """Patience by a clock that goes on only while it waits; how long it does is noted."""
    waits = [] if waited is None else waited
    return Patience(seconds, waits.append, lambda: sum(waits))


def test_an_answer_comes_with_its_counts(model: OpenAi) -> None:
    reply = asker(model).ask(HELLO, 3)
    assert (reply.text, reply.is_cut, reply.prompt_tokens, reply.answer_tokens) == ("Say hello to", True, 4, 3)
    assert model.asked[0] == {"model": "large", "messages": HELLO, "temperature": 0, "max_tokens": 3}


def test_a_model_of_this_studio_is_told_its_folders(model: OpenAi) -> None:
    small = own(model)
    small.ask(HELLO, 3)
    assert model.asked[0]["hone"] == {"base_dir": "/models/small", "adapter_dir": None}
    assert model.headers[0]["authorization"] == f"Bearer {KEY}"
    assert small.contacted == []


def test_too_many_requests_are_waited_for_as_long_as_is_asked(model: OpenAi) -> None:
    waited: list[float] = []
    model.troubles = [trouble(429, Retry_After="7"), trouble(503), trouble(500)]
    assert asker(model, waited).ask(HELLO, 9).text == "Say hello to all"
    assert waited == [7.0, 2.0, 4.0]


def test_a_date_is_waited_for_too(model: OpenAi) -> None:
    waited: list[float] = []
    model.troubles = [trouble(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), trouble(429, Retry_After="soon")]
    asker(model, waited).ask(HELLO, 9)
    assert waited == pytest.approx([0.1, 2.0])


def test_what_it_asks_for_itself_is_never_cut_short(model: OpenAi) -> None:
    waited: list[float] = []
    model.troubles = [trouble(429, Retry_After="90")]
    asker(model, waited, patience=120.0).ask(HELLO, 9)
    assert waited == [90.0]


@pytest.mark.parametrize("code", ["yielded", "overloaded"])
def test_the_studios_own_server_is_waited_for_while_others_have_it(model: OpenAi, code: str) -> None:
    waited: list[float] = []
    model.troubles = [trouble(503, "The GPU is training mails.", code=code, Retry_After="5")] * 100
    small = own(model, waited, patience=1.0)
    assert small.ask(HELLO, 9).text == "Say hello to all"
    assert waited == [5.0] * 100
    # One that is away is still given up.
    model.troubles = [trouble(503, "It is shutting down.")] * 9
    with pytest.raises(Unavailable, match="The inference server answers 503"):
        small.ask(HELLO, 9)


def test_an_outside_model_that_says_so_too_is_not_waited_for_without_an_end(model: OpenAi) -> None:
    model.troubles = [trouble(503, code="yielded", Retry_After="5")] * 9
    with pytest.raises(Unavailable, match="The model large answers 503"):
        asker(model, patience=6.0).ask(HELLO, 9)


def test_a_connection_that_breaks_midway_is_tried_again(model: OpenAi) -> None:
    model.troubles = [(0, {}, {})]
    assert asker(model).ask(HELLO, 9).text == "Say hello to all"
    assert len(model.asked) == 2


def test_patience_ends_in_words(model: OpenAi) -> None:
    model.troubles = [trouble(500, "Too hot.")] * 9
    with pytest.raises(Unavailable, match=r"The model large answers 500: Too hot\.") as gone:
        asker(model, patience=6.0).ask(HELLO, 9)
    assert gone.value.code == "model_away"
    assert len(model.asked) == 3


def test_a_server_that_is_not_there_is_said_to_be_away() -> None:
    with openai_server() as told:
        gone = asker(told, patience=0.5)
    with pytest.raises(Unavailable, match="could not be connected to"):
        gone.ask(HELLO, 9)


def test_a_wrong_key_is_no_matter_of_patience_and_is_not_repeated(model: OpenAi) -> None:
    model.key = "another"
    outside = asker(model, key=KEY)
    with pytest.raises(Invalid, match="refuses the key") as refused:
        outside.ask(HELLO, 9)
    assert refused.value.code == "key_refused"
    assert outside.contacted == ["127.0.0.1"]
    assert KEY not in refused.value.message
    assert len(model.asked) == 1


def test_the_studios_own_server_with_another_key_is_a_matter_of_settings(model: OpenAi) -> None:
    model.key = "another"
    with pytest.raises(Unavailable, match="HONE_INFERENCE_KEY must be the same") as refused:
        own(model).ask(HELLO, 9)
    assert refused.value.code == "model_away"


def test_a_prompt_that_is_too_long_is_told_from_one_that_is_refused(model: OpenAi) -> None:
    model.longest = 5
    with pytest.raises(TooLong):
        asker(model).ask(HELLO, 9)
    model.troubles = [trouble(400, "This model's maximum context length is 4096 tokens."), trouble(400, "I will not.")]
    with pytest.raises(TooLong):
        asker(model).ask(HELLO, 9)
    with pytest.raises(Refused, match=r"I will not\."):
        asker(model).ask(HELLO, 9)


def test_a_server_that_minds_a_parameter_is_asked_in_its_own_way(model: OpenAi) -> None:
    model.troubles = [trouble(400, param="max_tokens"), trouble(400, param="temperature")]
    outside = asker(model)
    outside.ask(HELLO, 9)
    outside.ask(HELLO, 9)
    assert model.asked[-1] == {"model": "large", "messages": HELLO, "max_completion_tokens": 9}
    assert len(model.asked) == 4


def test_of_several_that_ask_at_once_each_learns_what_the_server_minds(model: OpenAi) -> None:
    """All four have sent it before the first hears that it is minded."""
    model.troubles, model.together = [trouble(400, param="temperature")] * 4, threading.Barrier(4)
    outside = asker(model)
    with ThreadPoolExecutor(4) as pool:
        replies = [asking.result() for asking in [pool.submit(outside.ask, HELLO, 9) for _ in range(4)]]
    assert [each.text for each in replies] == ["Say hello to all"] * 4


@pytest.mark.parametrize("nonsense", [{"choices": []}, {"choices": [{"message": "hello"}]}, {"hello": 1}, {"choices": None}])
def test_nonsense_is_said_to_be_none(model: OpenAi, nonsense: dict[str, object]) -> None:
    model.troubles = [(200, nonsense, {})]
    with pytest.raises(StudioError, match="no chat completion"):
        asker(model).ask(HELLO, 9)


def test_an_answer_that_takes_too_long_as_a_whole_is_given_up(model: OpenAi) -> None:
    drips = asker(model)
    drips.slowest_seconds = 0.0
    with pytest.raises(Unavailable, match="took longer than 0 minutes for one answer") as given_up:
        drips.ask(HELLO, 9)
    assert given_up.value.code == "model_away"
    assert len(model.asked) == 1


@pytest.mark.parametrize("count", [-1, 10**400, True, 1.5, "7", None])
def test_tokens_that_nobody_can_have_counted_are_not_taken_over(model: OpenAi, count: object) -> None:
    answer = {"choices": [{"message": {"content": "Hello"}}], "usage": {"prompt_tokens": count, "completion_tokens": 2}}
    model.troubles = [(200, answer, {})]
    reply = asker(model).ask(HELLO, 9)
    assert (reply.text, reply.prompt_tokens, reply.answer_tokens) == ("Hello", None, 2)


def test_what_no_database_keeps_is_replaced(model: OpenAi) -> None:
    model.answer = lambda _: "a\0b\ud83d"
    assert asker(model).ask(HELLO, 9).text == "a\ufffdb\ufffd"


def test_private_addresses_are_asked_only_where_that_is_allowed(model: OpenAi) -> None:
    with pytest.raises(Invalid) as refused:
        Asker(model.address, "large", None).ask(HELLO, 9)
    assert refused.value.code == "unusable_address"
    assert model.asked == []


@pytest.mark.parametrize("url", ["https://xn--/v1", "http://[::1/v1"])
def test_an_address_that_makes_no_sense_is_said_to_make_none(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        Asker(url, "large", None).ask(HELLO, 9)
    assert refused.value.code == "unusable_address"


def test_no_redirect_is_followed(model: OpenAi) -> None:
    model.troubles = [(307, {}, {"Location": f"{model.address}/elsewhere"})]
    with pytest.raises(Unavailable, match="answers 307"):
        asker(model).ask(HELLO, 9)
    assert len(model.asked) == 1
