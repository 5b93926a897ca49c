"""How processes log: what a line says, what it never says, and that a full disk costs lines and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import PROJECT_ROOT
from app.gateways.logs import Redaction, entry
from app.gateways.starting import CannotStart

SECONDS = 60
SPEAK = "from app.gateways.logs import configure_logging; import structlog, logging; configure_logging('web', {format!r}); "
SAY = "structlog.get_logger().warning('two words', run='r1', token=3)"


def said(code: str, *, log_format: str = "text", **environment: str) -> str:
    """Return what a fresh process logs."""
    done = subprocess.run(
        [sys.executable, "-c", SPEAK.format(format=log_format) + code], cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True,
        check=False, timeout=SECONDS,
    )  # fmt: skip
    return done.stderr


def test_a_line_of_text_names_time_level_part_and_facts() -> None:
    line = said(SAY)
    assert line.startswith("timestamp=20")
    assert line.endswith('level=warning part=web event="two words" run=r1 token=3\n')


def test_a_line_of_json_holds_the_same() -> None:
    line = json.loads(said(SAY, log_format="json"))
    del line["timestamp"]
    assert line == {"level": "warning", "part": "web", "event": "two words", "run": "r1", "token": 3}


def test_what_hone_up_tells_people_stands_in_the_log_like_the_rest() -> None:
    line = json.loads(entry("up", "The web ended.", "json"))
    assert (line["part"], line["event"], line["level"], line["timestamp"][:2]) == ("up", "The web ended.", "info", "20")
    assert entry("up", "The web ended.", "text").endswith(b' level=info part=up event="The web ended."\n')


def test_libraries_and_threads_are_logged_in_the_same_form() -> None:
    code = "import threading; threading.Thread(target=lambda: logging.getLogger('celery').warning('lost %s', 'it')).start()"
    assert said(code).endswith('level=warning part=web event="lost it"\n')


def test_what_ends_a_process_is_one_line_too() -> None:
    lines = said("raise ValueError('redis://:first-canary@host went away')").splitlines()
    assert len(lines) == 1
    assert "the process ends" in lines[0]
    assert "redis://:[hidden]@host" in lines[0]


@pytest.mark.parametrize(
    "line",
    [
        "cannot connect to postgresql+psycopg://hone:canary-9f3@db:5432/hone",
        "consumer: Cannot connect to redis://:canary-9f3@localhost:6379//: refused",
        "headers {'Authorization': 'Bearer canary-9f3'}",
        "authorization: Bearer canary-9f3",
        'connection failed: host=db user=hone password=canary-9f3 dbname="hone"',
        "GET /x?password=canary-9f3&y=1",
        "{'api_key': 'canary-9f3', 'name': 'x'}",
        "key hone_canary-9f3AAAAAAAAAAAAAAAAAAAAAAAAAAAA was used",
        "token hf_canary9f3AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "signed with whsec_canary-9f3AAAAAAAAAAAAAAAAAAAAAAAA=",
        "the key is given-canary-9f3, says the library",
        "or in an address given%2Fcanary-9f3",
    ],
)
def test_no_secret_stays_in_a_line(line: str) -> None:
    environment = {"HONE_SECRET_KEY": "given-canary-9f3, another-of-them", "HONE_REDIS_URL": "redis://:given%2Fcanary-9f3@redis"}
    without = Redaction(environment)(None, "", line)
    assert "canary" not in without
    assert "[hidden]" in without


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_stays_in_a_line_that_writes_it_otherwise(log_format: str) -> None:
    line = said("import os; structlog.get_logger().warning('x', why=os.environ['A_TOKEN'])", log_format=log_format, A_TOKEN='can"ary\\9f3é')
    assert "9f3" not in line
    assert "[hidden]" in line


def test_what_is_no_secret_stays() -> None:
    line = (
        'event="the password was wrong" token=3 path=/api/v1/datasets keys=2 url=http://127.0.0.1:8000/x@y hone_stale_write_rejected_total'
    )
    assert Redaction({"HF_TOKEN": "", "PGPASSWORD": "lost", "HONE_HOME": "/var/lib/hone"})(None, "", line) == line


def test_why_a_process_cannot_start_holds_no_password() -> None:
    assert "canary" not in str(CannotStart("The database cannot be used: postgresql://hone:canary-9f3@db/hone"))


FULL = "print('before'); [structlog.get_logger().error('no room', number=n) for n in range(2000)]; logging.exception('x'); print('lives')"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_costs_lines_and_no_process() -> None:
    def ends(code: str) -> subprocess.CompletedProcess[str]:
        with Path("/dev/full").open("wb") as full:
            return subprocess.run(
                [sys.executable, "-u", "-c", code],
                cwd=PROJECT_ROOT,
                stdout=subprocess.PIPE,
                stderr=full,
                text=True,
                check=False,
                timeout=SECONDS,
            )

    assert ends(SPEAK.format(format="text") + FULL).stdout == "before\nlives\n"
    assert ends("import sys; print('before'); print('no room', file=sys.stderr); print('lives')").stdout == "before\n"  # the control
