"""Two datasets of the sample project for the data desk: one with every problem planted in it, one of conversations with tools."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from app.db import Artifact, Dataset, DatasetFile, DatasetVersion, EventRow
from app.db.datasets import VersionFile
from app.domain.datasets import row_hash, split_by_hash
from app.domain.problems import BITS, CONTROL_MARK, PLACEHOLDER_MARK, SECRET_MARK, Trouble
from workers.curation.findings_file import SCHEMA as FOUND
from workers.curation.parquet import SCHEMA

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.services.accounts import Identity
    from app.services.studio import Studio

SYSTEM = "Sort the e-mail. Answer with JSON: intent, urgency."
KEY = "sk-live-" + "4f9a8c2e7b1d" * 2
MAILS: tuple[tuple[str, str, str], ...] = (
    ("Hi, third time I write!! my invoice for March is STILL wrong and nobody answers. Lena", "billing_error", "high"),
    ("Where is my parcel? Tracking shows nothing since Tuesday.", "delivery_status", "normal"),
    ("Dear {customer_name}, thank you for your order number {order}", "other", "low"),
    ("please cancle the premium plan before friday, thx", "cancel_subscription", "normal"),
    ("Your app charged me twice. I need this fixed today.", "refund_request", "high"),
    ("does the family plan work in portugal", "plan_question", "low"),
    ("Hi, third time I write! my invoice for March is STILL wrong and nobody answers. Lena", "billing_error", "high"),
    ("THE EXPORT IS BROKEN AGAIN", "bug_report", "high"),
    ("My name is Marco Rossi, write to marco.rossi@example.com about my contract.", "callback", "normal"),
    ("Where is my parcel? Tracking shows nothing since Tuesday.", "delivery_status", "normal"),
    ("Your app charged me twice. I need this fixed today.", "billing_error", "high"),
    (f"The login fails with {KEY}, what is wrong with it?", "bug_report", "normal"),
    ("KÃ¶nnen Sie mir die Rechnung fÃ¼r MÃ¤rz schicken?", "invoice_copy", "normal"),
    ("How do I change my address?<|im_end|>", "address_change", "low"),
    ("Bonjour, je voudrais changer mon adresse de livraison.", "address_change", "low"),
    ("My parcel came open. " * 90, "complaint", "high"),
)
PLANTED: dict[int, dict[str, Any]] = {
    0: {"near": 0},
    2: {"troubles": (Trouble.PLACEHOLDER,), "marks": ((1, "{customer_name}", PLACEHOLDER_MARK), (1, "{order}", PLACEHOLDER_MARK))},
    1: {"exact": 1}, 4: {"troubles": (Trouble.OTHER_ANSWER,), "other_answer": 4},
    6: {"troubles": (Trouble.NEAR_DUPLICATE,), "near": 0, "keep": False},
    8: {"troubles": (Trouble.PII,), "marks": ((1, "Marco Rossi", "NAME"), (1, "marco.rossi@example.com", "EMAIL"))},
    9: {"troubles": (Trouble.EXACT_DUPLICATE, Trouble.LEAK), "exact": 1, "keep": False, "leak_of": 1},
    10: {"troubles": (Trouble.OTHER_ANSWER,), "other_answer": 4},
    11: {"troubles": (Trouble.SECRET,), "marks": ((1, KEY, SECRET_MARK),)}, 12: {"troubles": (Trouble.MOJIBAKE,)},
    13: {"troubles": (Trouble.CONTROL_TOKENS,), "marks": ((1, "<|im_end|>", CONTROL_MARK),)},
    14: {"troubles": (Trouble.OTHER_LANGUAGE,), "language": "fr"}, 15: {"troubles": (Trouble.LENGTH_OUTLIER,), "tokens": 1_204},
}  # fmt: skip
UNANSWERED = [
    {"role": "user", "content": "Is anybody there?"}, {"role": "assistant", "content": "Yes, every day until six."},
    {"role": "user", "content": "And on Sundays?"},
]  # fmt: skip
ASIDE = (
    {"file": 0, "line": 41, "code": "empty_answer", "reason": "The answer is empty.", "text": '{"body": "Thanks!", "label": ""}'},
    {"file": 1, "line": 12, "code": "no_answer", "reason": "The last turn is the user's; it must be the assistant's answer.",
     "text": json.dumps({"messages": UNANSWERED}, indent=2)},
    {"file": 1, "line": 19, "code": "broken", "reason": "Not valid JSON: expected ',' at column 30.",
     "text": '{"messages": [{"role": "user" "content": "hi"'},
)  # fmt: skip
CALL = {"id": "c1", "type": "function", "function": {"name": "find_parcel", "arguments": '{"order": "A-1042", "country": "PT"}'}}
TOOL = {"type": "function", "function": {"name": "find_parcel", "description": "Says where a parcel is.", "parameters": {"type": "object"}}}


class Place(NamedTuple):
    """Where datasets are put, and whose they are."""

    session: Session
    studio: Studio
    by: Identity

    @property
    def owned(self) -> dict[str, Any]:
        """Whose a thing is."""
        return {"project_id": self.by.project_id, "created_by": self.by.user_id}


def add_desk(session: Session, studio: Studio, by: Identity) -> Dataset:
    """Put a dataset of two files with every problem in it, looked at, and changed once."""
    place = Place(session, studio, by)
    turns = [
        [("system", SYSTEM), ("user", asked), ("assistant", json.dumps({"intent": intent, "urgency": urgency}))]
        for asked, intent, urgency in MAILS
    ]
    rows = [{"messages": [_message(role, text) for role, text in talk]} for talk in turns]
    aside = {code: sum(each["code"] == code for each in ASIDE) for code in ("broken", "empty_answer", "no_answer")}
    report = {
        "format": "table",
        "columns": ["subject", "body", "label"],
        "problem_count": len(ASIDE),
        "aside": aside,
        "problems": [{name: each[name] for name in ("file", "line", "code", "reason")} for each in ASIDE],
        "sample": [{"subject": "Invoice", "body": asked, "label": intent} for asked, intent, _ in MAILS[:3]],
    }
    dataset = _dataset(place, "support-march", ["emails-march.csv", "corrections.jsonl"], report, len(rows))
    dataset.mapping = {"user": "body", "assistant": "label"}
    before = _version(place, dataset, [*rows, rows[5]], 1)
    version = _version(place, dataset, rows, 2)
    version.parent_id, version.step = before.id, {"kind": "fix", "words": "1 row left out (exact duplicates)"}
    version.findings = _summary(rows)
    _attach(place, version, "findings", _findings(rows))
    _attach(place, version, "aside", "".join(json.dumps(each) + "\n" for each in ASIDE).encode())
    return dataset


def add_talks(session: Session, studio: Studio, by: Identity) -> Dataset:
    """Put a dataset of conversations with tools and worse answers."""
    place = Place(session, studio, by)
    asked = [_message("user", "Where is order A-1042?"), _message("assistant", "", tool_calls=json.dumps([CALL]))]
    told = [_message("tool", '{"state": "in Lisbon"}', tool_call_id="c1"), _message("assistant", "It is in Lisbon and comes tomorrow.")]
    comparison = [_message("user", "Do you ship to Portugal?"), _message("assistant", "Yes, within four days.")]
    rows: list[dict[str, Any]] = [
        {"messages": asked + told, "tools": json.dumps([TOOL]), "label": True},
        {"messages": comparison, "rejected": [_message("assistant", "I cannot know that.")]},
        {"messages": [*comparison, _message("user", "And back?"), _message("assistant", "Returns are free.", weight=0)], "label": False},
    ]
    dataset = _dataset(place, "parcel-tools", ["tools.jsonl"], {"format": "chat", "columns": ["messages"]}, len(rows))
    _version(place, dataset, rows, 1)
    return dataset


def _message(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, "tool_calls": None, "tool_call_id": None, "name": None, "weight": None} | more


def _dataset(place: Place, name: str, files: list[str], report: dict[str, Any], rows: int) -> Dataset:
    whole = {"status": "ready", "rows": rows, "encoding": "utf-8"} | report
    dataset = Dataset(name=name, filename=files[0], status="ready", format=report["format"], report=whole, **place.owned)
    for number, file in enumerate(files):
        upload = Artifact(kind="upload", filename=file, sha256=f"{abs(hash(file)):064x}"[:64], size_bytes=48_120, **place.owned)
        place.session.add(upload)
        dataset.files.append(DatasetFile(position=number, filename=file, upload=upload, **place.owned))
    place.session.add(dataset)
    place.session.flush()
    place.session.add(EventRow(project_id=place.by.project_id, subject_id=dataset.id, type="ready", message=f"{rows} rows were read."))
    return dataset


def _version(place: Place, dataset: Dataset, rows: list[dict[str, Any]], number: int) -> DatasetVersion:
    hashes = [row_hash([], tools=json.dumps(row["messages"])) for row in rows]
    splits = [str(split) for split in split_by_hash(hashes)]
    empty = {"rejected": None, "label": None, "tools": None, "file": 0}
    lines = [empty | row | {"row": n, "split": splits[n], "hash": hashes[n], "line": n + 2} for n, row in enumerate(rows)]
    path = _unfinished(place.studio)
    pq.write_table(pa.Table.from_pylist(lines, schema=SCHEMA), path, compression="zstd")
    counts = {"rows": len(rows), "train_rows": splits.count("train"), "test_rows": splits.count("test")}
    artifact = _stored(place, path, "rows")
    version = DatasetVersion(
        dataset=dataset, number=number, artifact=artifact, **place.owned, **counts
    )  # fmt: skip
    place.session.add_all([artifact, version])
    place.session.flush()
    dataset.version_id, dataset.report = version.id, dataset.report | counts
    place.session.flush()
    place.session.refresh(dataset)
    return version


def _attach(place: Place, version: DatasetVersion, kind: str, content: bytes) -> None:
    path = _unfinished(place.studio)
    path.write_bytes(content)
    artifact = _stored(place, path, kind)
    place.session.add(artifact)
    place.session.flush()
    version.files.append(VersionFile(kind=kind, artifact=artifact))
    place.session.flush()


def _stored(place: Place, path: Path, kind: str) -> Artifact:
    sealed = place.studio.storage.seal(path)
    place.studio.storage.put(sealed)
    return Artifact(kind=kind, filename=f"{kind}.bin", sha256=sealed.sha256, size_bytes=sealed.size_bytes, **place.owned)


def _unfinished(studio: Studio) -> Path:
    studio.incoming.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=studio.incoming, delete=False) as made:
        return Path(made.name)


def _findings(rows: list[dict[str, Any]]) -> bytes:
    found = []
    for place, row in enumerate(rows):
        planted = PLANTED.get(place, {})
        texts = [message["content"] for message in row["messages"]]
        found.append(
            {
                "flags": sum(BITS[trouble] for trouble in planted.get("troubles", ())), "tokens": planted.get("tokens", 40 + 3 * place),
                "answer_tokens": 12 + place % 5, "exact": planted.get("exact", -1), "near": planted.get("near", -1),
                "other_answer": planted.get("other_answer", -1), "keep": planted.get("keep", True), "leak_of": planted.get("leak_of", -1),
                "draw": place, "label": None, "language": planted.get("language", "en"),
                "spans": [
                    {"turn": turn, "start": texts[turn].index(text), "end": texts[turn].index(text) + len(text), "kind": kind}
                    for turn, text, kind in planted.get("marks", ())
                ],
            }
        )  # fmt: skip
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, FOUND) as writer:
        writer.write_table(pa.Table.from_pylist(found, schema=FOUND))
    return bytes(sink.getvalue().to_pybytes())


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    troubles = [trouble for planted in PLANTED.values() for trouble in planted.get("troubles", ())]
    bins = [[16, 32, 1], [32, 48, 5], [48, 64, 5], [64, 96, 4], [96, 1_205, 1]]
    answers = [[8, 12, 3], [12, 14, 8], [14, 17, 5]]
    return {
        "checked_at": "2026-03-03T09:00:00+00:00", "rows": len(rows), "flagged": sum("troubles" in each for each in PLANTED.values()),
        "problems": {str(trouble): troubles.count(trouble) for trouble in troubles}, "groups": {"exact": 1, "near": 1, "other_answer": 1},
        "labels": [["billing_error", 3], ["delivery_status", 2], ["bug_report", 2], ["address_change", 2], ["other", 1]],
        "languages": [["en", 14], ["fr", 1], ["de", 1]], "pii": {"NAME": 1, "EMAIL": 1}, "secrets": {"SECRET": 1},
        "placeholders": [["{customer_name}", 1], ["{order}", 1]],
        "tokens": {
            "row": {"bins": bins, "min": 40, "median": 62, "p95": 96, "max": 1_204, "sum": 2_130},
            "answer": {"bins": answers, "min": 12, "median": 13, "p95": 16, "max": 16, "sum": 221},
        },
    }  # fmt: skip
