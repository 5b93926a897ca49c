"""A server that stands in for a tracker's: it keeps what it is sent, hangs, or answers with an error."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

Manner = Literal["well", "hangs", "error"]


class MlflowServer(ThreadingHTTPServer):
    """As much of MLflow's REST as a run needs, over one experiment."""

    daemon_threads = True

    def __init__(self, manner: Manner = "well") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.manner = manner
        self.broken = ""
        """What it answers with an error, however well it is."""
        self.released = threading.Event()
        self.runs: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.keys: set[str | None] = set()

    @property
    def address(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, what: str, given: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked, as MLflow would."""
        answers = {"runs/create": self._create, "runs/search": self._search, "runs/log-batch": self._log, "runs/update": self._update}
        if what in answers:
            return answers[what](given)
        if what == "runs/get":
            return {"run": self._shown(given["run_id"][0])}
        return {"experiment": {"experiment_id": "7", "name": "hone", "lifecycle_stage": "active"}}

    def _create(self, given: dict[str, Any]) -> dict[str, Any]:
        run_id = f"r{len(self.runs)}"
        self.runs[run_id] = {"name": given["run_name"], "tags": given["tags"], "params": {}, "metrics": [], "status": "RUNNING"}
        return {"run": self._shown(run_id)}

    def _search(self, given: dict[str, Any]) -> dict[str, Any]:
        wanted = given["filter"].rpartition("= ")[2].strip("'")
        return {"runs": [self._shown(one) for one, run in self.runs.items() if any(tag["value"] == wanted for tag in run["tags"])]}

    def _log(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs[given["run_id"]]
        run["params"] |= {one["key"]: one["value"] for one in given.get("params", [])}
        run["metrics"] += [(one.get("step", 0), one["key"], one["value"]) for one in given.get("metrics", [])]
        return {}

    def _update(self, given: dict[str, Any]) -> dict[str, Any]:
        self.runs[given["run_id"]]["status"] = given["status"]
        return {"run_info": self._shown(given["run_id"])["info"]}

    def _shown(self, run_id: str) -> dict[str, Any]:
        run = self.runs[run_id]
        params = [{"key": name, "value": value} for name, value in run["params"].items()]
        return {"info": {"run_id": run_id, "experiment_id": "7", "status": run["status"]}, "data": {"tags": run["tags"], "params": params}}


class Handler(BaseHTTPRequestHandler):
    server: MlflowServer

    def do_GET(self) -> None:
        self._answer(dict(parse_qs(urlsplit(self.path).query)))

    def do_HEAD(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, given: dict[str, Any]) -> None:
        what = urlsplit(self.path).path.partition("/mlflow/")[2]
        self.server.asked.append(what)
        self.server.keys.add(self.headers["authorization"])
        if self.server.manner == "hangs":
            self.server.released.wait(60)
        is_well = self.server.manner == "well" and what != self.server.broken
        body = json.dumps(self.server.answer(what, given) if is_well and what else {}).encode()
        self.send_response(200 if is_well else 500)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving(manner: Manner = "well") -> Iterator[MlflowServer]:
    """Give a server that runs in threads of its own."""
    server = MlflowServer(manner)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
