"""A stand-in for the Hub on this machine: serves folders of models and datasets the way the hub client and Hone ask for them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

COMMIT = "c0ffee" * 6 + "c0de"
CONVERTED, CONVERTED_COMMIT = "refs/convert/parquet", "decade" * 6 + "beef"
HEAD = "---"


class HubHandler(BaseHTTPRequestHandler):
    """Answers for the repositories of the server."""

    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_HEAD(self) -> None:
        self.do_GET(head=True)

    def do_GET(self, *, head: bool = False) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.asked.append(path)
        self.server.tokens.append((path, self.headers.get("Authorization", "")))
        if path.startswith(("api/datasets/", "datasets/")):
            self._dataset(path.removeprefix("api/").removeprefix("datasets/"), is_api=path.startswith("api/"))
            return
        if self.server.busy:
            self._refuse(429, "", {"Retry-After": self.server.busy.pop(0)})
            return
        if path == "api/models":
            self._search(parse_qs(urlsplit(self.path).query))
            return
        if path.startswith("api/models/"):
            repo = path.removeprefix("api/models/").partition("/revision/")[0].partition("/tree/")[0]
            self._describe(repo, tree="/tree/" in path, head=head)
            return
        self._file_of_model(path, head=head)

    def _file_of_model(self, path: str, *, head: bool) -> None:
        repo, _, rest = path.partition("/resolve/")
        if repo in self.server.gated and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._refuse(403, "GatedRepo")
            return
        file = self.server.repos.get(repo, Path("/nothing")) / rest.partition("/")[2]
        if not file.is_file():
            self._refuse(404, "EntryNotFound" if repo in self.server.repos else "RepoNotFound")
            return
        if self.server.files_at and file.suffix == ".safetensors":
            self._move(f"{self.server.files_at}/{path}")
            return
        content = file.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self._send(content, {"ETag": etag, "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}, head=head)

    def _describe(self, repo: str, *, tree: bool, head: bool) -> None:
        folder = self.server.repos.get(repo)
        if folder is None:
            self._refuse(404, "RepoNotFound")
            return
        files = sorted(p for p in folder.iterdir() if p.is_file())
        siblings = [{"rfilename": p.name} for p in files]
        listed = [_model_file(p) for p in files]
        about = {"sha": COMMIT, "siblings": siblings, "private": False} | self._model(repo)
        document = listed if tree else about
        self._send(json.dumps(document).encode(), {"Content-Type": "application/json", "X-Repo-Commit": COMMIT}, head=head)

    def _model(self, repo: str) -> dict[str, object]:
        """Return what a search tells of a model, and a look besides."""
        plain: dict[str, object] = {"id": repo, "modelId": repo, "tags": [], "gated": "manual" if repo in self.server.gated else False}
        return plain | self.server.models.get(repo, {})

    def _search(self, asked: dict[str, list[str]]) -> None:
        """Answer as the Hub does: by tags, a part of the name, bounds of size; what has most of what is sorted by first; in pages."""
        found = [self._model(repo) for repo in self.server.repos]
        tags = set(asked.get("filter", []))
        bounds = dict(bound.split(":") for bound in ",".join(asked.get("num_parameters", [])).split(",") if bound)
        kept = [
            model for model in found
            if tags <= {*model["tags"]}  # type: ignore[misc]
            and asked.get("search", [""])[0].lower() in str(model["id"]).lower()
            and asked.get("author", [str(model["id"]).partition("/")[0]])[0] == str(model["id"]).partition("/")[0]
            and asked.get("pipeline_tag", [model.get("pipeline_tag")])[0] == model.get("pipeline_tag")
            and int(bounds.get("min", 0)) <= _size(model) <= int(bounds.get("max", 10**15))
        ]  # fmt: skip
        kept.sort(key=lambda model: str(model.get(asked["sort"][0], "")).zfill(20), reverse=True)
        start, many = int(asked.get("cursor", ["0"])[0]), int(asked["limit"][0])
        place = f"{self.server.next_at or self.server.address}/api/models?cursor={start + many}"
        self._json(kept[start : start + many], {"Link": f'<{place}>; rel="next"'} if start + many < len(kept) else {})

    def _dataset(self, path: str, *, is_api: bool) -> None:
        server = self.server
        repo = next((known for known in (*server.datasets, *server.renamed) if f"{path}/".startswith(f"{known}/")), "")
        rest = path.removeprefix(repo).strip("/")
        has_token = self.headers.get("Authorization") == f"Bearer {server.token}"
        if repo in server.renamed:
            self._move(f"/{'api/' if is_api else ''}datasets/{server.renamed[repo]}/{rest}".rstrip("/"))
        elif not repo or (repo in server.private and not has_token):
            self._refuse(401, "RepoNotFound" if repo else "")
        elif is_api:
            self._about_dataset(repo, rest)
        elif repo in server.gated and not has_token:
            self._refuse(403, "GatedRepo")
        elif server.files_at:
            self._move(f"{server.files_at}/{path}")
        else:
            self._file_of(repo, rest.removeprefix("resolve/"))

    def _about_dataset(self, repo: str, rest: str) -> None:
        server = self.server
        kind, _, revision = rest.partition("/")
        is_converted = revision in {CONVERTED, CONVERTED_COMMIT}
        folder = server.converted.get(repo) if is_converted else server.datasets[repo]
        if folder is None or (revision and not is_converted and revision not in {"main", COMMIT, *server.older, *server.older.values()}):
            self._refuse(404, "RevisionNotFound")
        elif kind == "tree":
            self._tree(folder)
        elif kind == "parquet":
            self._parquet(repo)
        else:
            commit = CONVERTED_COMMIT if is_converted else server.older.get(revision, COMMIT)
            self._json({"id": repo, "sha": commit, "gated": "auto" if repo in server.gated else False, "cardData": _card(folder)})

    def _tree(self, folder: Path) -> None:
        files = [{"type": "directory", "path": "data", "size": 0}] + [_entry(folder, path) for path in sorted(folder.rglob("*"))]
        listed = [each for each in files if each]
        start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        following = start + self.server.page
        place = f"{self.server.next_at or self.server.address}{urlsplit(self.path).path}?recursive=true&cursor={following}"
        self._json(listed[start:following], {"Link": f'<{place}>; rel="next"'} if following < len(listed) else {})

    def _parquet(self, repo: str) -> None:
        folder = self.server.converted.get(repo)
        if folder is None:
            self._refuse(404, "EntryNotFound")
            return
        found: dict[str, dict[str, list[str]]] = {}
        for path in sorted(folder.glob("*/*/*.parquet")):
            config, split, _ = path.relative_to(folder).parts
            found.setdefault(config, {}).setdefault(split.removeprefix("partial-"), []).append(str(path))
        self._json(found)

    def _file_of(self, repo: str, path: str) -> None:
        commit, _, name = path.partition("/")
        folders = {
            COMMIT: self.server.datasets[repo],
            "main": self.server.datasets[repo],
            CONVERTED_COMMIT: self.server.converted.get(repo),
        }
        folder = folders.get(commit)
        if folder is None or not (folder / name).is_file():
            self._refuse(404, "EntryNotFound")
            return
        content = (folder / name).read_bytes()
        self._send(content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Accept-Ranges": "bytes"}, head=False)

    def _json(self, document: object, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(document).encode(), {"Content-Type": "application/json"} | (headers or {}), head=False, is_file=False)

    def _move(self, place: str) -> None:
        self.send_response(307)
        self.send_header("Location", place)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"X-Error-Code": code} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, headers: dict[str, str], *, head: bool, is_file: bool = True) -> None:
        wanted = self.headers.get("Range", "") if is_file else ""
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        if wanted:
            self.server.ranges.append(wanted)
            headers = headers | {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        self.send_response(206 if wanted else 200)
        for name, value in (headers | {"Content-Length": str(len(content) - start)}).items():
            self.send_header(name, value)
        self.end_headers()
        if head:
            return
        if is_file and self.server.cuts:
            self.wfile.write(content[start : start + self.server.cuts.pop(0)])
            self.close_connection = True
            return
        self.wfile.write(content[start:])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _card(folder: Path) -> object:
    """Return what stands above a README, as the Hub hands it out."""
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    return yaml.safe_load(text.split(HEAD)[1]) if text.startswith(HEAD) else {}


def _model_file(path: Path) -> dict[str, object]:
    """Return a model's file as the Hub lists it: weights are kept elsewhere, and Git knows a pointer to them."""
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        return {"type": "file", "path": path.name, "size": len(content), "oid": "0" * 40, "lfs": lfs}
    git_id = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return {"type": "file", "path": path.name, "size": len(content), "oid": git_id}


def _size(model: dict[str, object]) -> int:
    stored = model.get("safetensors")
    return int(stored["total"]) if isinstance(stored, dict) else 0


def _entry(folder: Path, path: Path) -> dict[str, object] | None:
    """Return a file as the Hub lists it; a large one has its SHA-256, and for the stand-in Parquet is large."""
    if not path.is_file():
        return None
    large = {"lfs": {"oid": hashlib.sha256(path.read_bytes()).hexdigest()}} if path.suffix == ".parquet" else {}
    return {"type": "file", "path": str(path.relative_to(folder)), "size": path.stat().st_size, "oid": "0" * 40} | large


class HubServer(ThreadingHTTPServer):
    """Holds repositories by id, and remembers what was asked for."""

    def __init__(self, repos: dict[str, Path], datasets: dict[str, Path] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.datasets, self.converted, self.renamed = datasets or {}, dict[str, Path](), dict[str, str]()
        self.older: dict[str, str] = {}
        """Tags, and the commits of before that they stand for; what lies there is the same."""
        self.token, self.private = "hf_right", set[str]()
        self.tokens: list[tuple[str, str]] = []
        """Every path that was asked for, and the Authorization that came with it."""
        self.cuts: list[int] = []
        """After how many bytes the next answers with a file break off."""
        self.ranges: list[str] = []
        self.page, self.next_at, self.files_at = 1000, "", ""
        """Entries of a page of a listing, the host its next page is said to be at, and the host that files lie at; else this one."""
        self.repos, self.asked = repos, list[str]()
        self.gated = set[str]()
        """Repositories that are shown to everybody and handed out to nobody without the token."""
        self.models: dict[str, dict[str, object]] = {}
        """What a search tells of models besides their names: downloads, likes, tags, safetensors and so on."""
        self.busy: list[str] = []
        """For how many seconds each of the next questions is put off."""

    @property
    def address(self) -> str:
        """What HF_ENDPOINT must be."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def hub(repos: dict[str, Path], datasets: dict[str, Path] | None = None) -> Iterator[HubServer]:
    """Serve folders as repositories."""
    server = HubServer(repos, datasets)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
