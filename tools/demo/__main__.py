"""From nothing to a trained model: `python -m tools.demo --home ./var --port 8000`, or `make demo`.

Starts a studio, trains on the sample e-mails, and compares base and tuned model on e-mails neither has seen. Then the studio stays open
until Ctrl-C; with HONE_DEMO_EXIT=1 it ends there.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tools.demo.terminal import say

if TYPE_CHECKING:
    from tools.running import RunningStudio

CUT_OFF = 130
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the demo; return 0, 1 when something is in the way, or 130 when it was cut off before its result."""
    asked = _arguments()
    for number in ENDING:
        signal.signal(number, _break_off)
    say("Hone: a small model learns to sort support e-mails, on this machine alone.\n\n  Starting the studio.")
    try:
        return _run(asked)
    except KeyboardInterrupt:
        return CUT_OFF


def _run(asked: argparse.Namespace) -> int:
    # Only now: they take a second to load, and whoever presses Ctrl-C in it deserves a clean end too.
    from httpx import HTTPError

    from tools.demo.play import play
    from tools.demo.work import DemoFailed
    from tools.running import DidNotStart, start

    studio: RunningStudio | None = None
    is_done = False
    try:
        studio = start(asked.home, port=asked.port, key_name="demo")
        print(f"Hone is ready at {studio.address}", flush=True)
        play(studio, asked)
        is_done = True
        return _stay(studio)
    except KeyboardInterrupt:
        return 0 if is_done else CUT_OFF
    except DidNotStart as error:
        say(f"{error.said or error}\nWith make: make demo PORT=8001 HONE_HOME=./other")
        return 1
    except DemoFailed as error:
        say(f"demo: {error}")
        return 1
    except (HTTPError, TimeoutError) as error:
        say(f"demo: The studio stopped answering ({error}). What happened stands in {asked.home / 'logs' / 'hone.log'}; then try again.")
        return 1
    finally:
        _end(studio)


def _arguments() -> argparse.Namespace:
    from app.domain.specs import Preset

    parser = argparse.ArgumentParser(prog="demo", description="From nothing to a trained model, in the terminal and in the browser.")
    parser.add_argument("--home", type=Path, default=Path("var"), help="folder of the studio's data (default ./var)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 picks a free one (default 8000)")
    parser.add_argument("--preset", choices=list(Preset), default=Preset.QUICK, help="how long to train (default quick)")
    parser.add_argument("--max-steps", type=int, help="stop after so many steps: to see whether it works, not how well")
    parser.add_argument("--rows", type=int, help="ask about so many of the held-out e-mails only")
    return parser.parse_args()


def _break_off(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _end(studio: RunningStudio | None) -> None:
    """End the studio and leave no key behind; who presses Ctrl-C twice is not quicker."""
    from app.cli import settings_with
    from app.db.session import make_engine, unit_of_work
    from app.services.accounts import Accounts
    from tools.running import stop

    for number in ENDING:
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which whatever is started from here would inherit
    if studio is None:
        return
    say("\nEnding the studio.")
    stop(studio)
    engine = make_engine(settings_with(home=studio.home).database)
    with unit_of_work(engine) as session:
        accounts = Accounts(session)
        by = accounts.by_key(studio.key)
        accounts.revoke_key(by, by.key_id or "")
    engine.dispose()


def _stay(studio: RunningStudio) -> int:
    """Keep the studio open until Ctrl-C; or end now, when asked to."""
    if os.environ.get("HONE_DEMO_EXIT") == "1":
        return 0
    say(f"\nThe studio stays open at {studio.address}; Ctrl-C ends it.")
    return studio.process.wait()


if __name__ == "__main__":
    sys.exit(main())
