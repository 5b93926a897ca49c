"""Forty ways to spoil a file, and a small whole file of every form that is read."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

Spoil = Callable[[bytes, random.Random], bytes]
CHAT = [
    {"messages": [{"role": "user", "content": f"Wie heißt du, {n}?"}, {"role": "assistant", "content": f"Hone — {n}."}]} for n in range(12)
]
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
TOOLS = [
    {
        "conversations": [{"from": "human", "value": f"{n}?"}, {"from": "function_call", "value": '{"name": "f", "arguments": {}}'}],
        "tools": "[]",
    }
    for n in range(12)
]
PAIRS = [{"prompt": f"{n}?", "chosen": "Ja, gern.", "rejected": "Nö"} for n in range(12)]
TABLE = [["prompt", "completion"], *([f"Frage, {n}", f'Antwort "{n}"\nzwei'] for n in range(12))]
NOW = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PROSE = "\n\n".join(f"# Teil {n}\n\nEs war einmal ein Kater, der schlief. " * 9 for n in range(12))


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def table(delimiter: str) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter).writerows(TABLE)
    return buffer.getvalue().encode()


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(CHAT), sink)
    return sink.getvalue()


def arrow() -> bytes:
    rows = pa.Table.from_pylist(CHAT)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


def workbook() -> bytes:
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    for row in TABLE:
        book.worksheets[0].append(row)
    book.save(buffer)
    with zipfile.ZipFile(buffer) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    return zipped(members | {"docProps/core.xml": NOW.sub(b"2026-01-01T00:00:00Z", members["docProps/core.xml"])})


def archive() -> bytes:
    return zipped({"train.jsonl": lines(CHAT), "test.csv": table(",")})


def zipped(members: dict[str, bytes]) -> bytes:
    """Pack files without the time of day: what is spoilt by chance is to be the same at any time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in members.items():
            packed.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


FORMS: dict[str, bytes] = {
    "chat.jsonl": lines(CHAT),
    "chat.json": json.dumps(CHAT, indent=2).encode(),
    "wrapped.json": json.dumps({"train": PAIRS, "test": TOOLS}).encode(),
    "tools.jsonl": lines([*TOOLS, {"messages": [{"role": "user", "content": "?"}, CALL]}]),
    "rows.csv": table(","),
    "rows.tsv": table("\t"),
    "story.txt": PROSE.encode(),
    "page.md": PROSE.encode(),
    "chat.jsonl.gz": gzip.compress(lines(CHAT), mtime=0),
    "chat.jsonl.bz2": bz2.compress(lines(CHAT)),
    "all.zip": archive(),
    "chat.parquet": parquet(),
    "chat.arrow": arrow(),
    "rows.xlsx": workbook(),
}


def put(content: bytes, dice: random.Random, piece: bytes) -> bytes:
    place = dice.randrange(len(content) + 1)
    return content[:place] + piece + content[place:]


def putting(piece: bytes) -> Spoil:
    return lambda content, dice: put(content, dice, piece)


def replacing(old: bytes, new: bytes) -> Spoil:
    return lambda content, _: content.replace(old, new)


def scattering(piece: bytes, times: int = 20) -> Spoil:
    def spoil(content: bytes, dice: random.Random) -> bytes:
        for _ in range(times):
            content = put(content, dice, piece)
        return content

    return spoil


def flip(content: bytes, dice: random.Random, times: int) -> bytes:
    changed = bytearray(content)
    for _ in range(times if changed else 0):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def shuffled(content: bytes, dice: random.Random) -> bytes:
    parts = content.split(b"\n")
    dice.shuffle(parts)
    return b"\n".join(parts)


def doubled(content: bytes, dice: random.Random) -> bytes:
    parts = content.split(b"\n")
    return b"\n".join(part for one in parts for part in [one] * dice.randrange(1, 4))


def halves(content: bytes, _: random.Random) -> bytes:
    return content[len(content) // 2 :] + content[: len(content) // 2]


def without_middle(content: bytes, dice: random.Random) -> bytes:
    first, last = sorted(dice.randrange(len(content) + 1) for _ in range(2))
    return content[:first] + content[last:]


def mixed_ends(content: bytes, dice: random.Random) -> bytes:
    return b"".join(part + dice.choice([b"\n", b"\r\n", b"\r"]) for part in content.split(b"\n"))


def recoded(encoding: str) -> Spoil:
    return lambda content, _: content.decode("utf-8", "replace").encode(encoding, "replace")


def repeated(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content) + 1)
    return content[:start] + content[start : start + 50] * 500 + content[start:]


SPOILERS: dict[str, Spoil] = {
    "cut at the end": lambda content, dice: content[: dice.randrange(len(content) + 1)],
    "cut at the beginning": lambda content, dice: content[dice.randrange(len(content) + 1) :],
    "cut in the middle": without_middle,
    "one bit flipped": lambda content, dice: flip(content, dice, 1),
    "many bits flipped": lambda content, dice: flip(content, dice, 60),
    "lines doubled": doubled,
    "all twice": lambda content, _: content * 2,
    "lines shuffled": shuffled,
    "halves swapped": halves,
    "backwards": lambda content, _: content[::-1],
    "a piece repeated": repeated,
    "no line ends": replacing(b"\n", b""),
    "other line ends": replacing(b"\n", b"\r\n"),
    "lone returns": replacing(b"\n", b"\r"),
    "mixed line ends": mixed_ends,
    "a mark in front": lambda content, _: b"\xef\xbb\xbf" + content,
    "a mark in the middle": putting(b"\xef\xbb\xbf"),
    "two bytes a character": recoded("utf-16"),
    "two bytes, no mark": recoded("utf-16-be"),
    "another encoding": recoded("cp1252"),
    "no UTF-8": scattering(b"\xff"),
    "cut characters": scattering(b"\xe2\x82"),
    "coded surrogates": scattering(b"\xed\xa0\x80"),
    "a zero byte": putting(b"\0"),
    "many zero bytes": putting(b"\0" * 5_000),
    "control characters": scattering(b"\x1b\x08\x7f"),
    "line separators": scattering("\u2028\u0085".encode()),
    "marks of direction": scattering("\u202e😀".encode()),
    "a huge number": replacing(b'"', b"9" * 5_000),
    "an endless number": putting(b"1e" + b"9" * 400),
    "no numbers": replacing(b": ", b": NaN "),
    "deep lists": putting(b"[" * 2_000 + b"]" * 2_000),
    "deep objects left open": putting(b'{"a":' * 2_000),
    "quotes swapped": lambda content, _: content.translate(bytes.maketrans(b"\"'", b"'\"")),
    "a quote more": putting(b'"'),
    "no commas": replacing(b",", b""),
    "commas everywhere": scattering(b",", 60),
    "no closing braces": replacing(b"}", b""),
    "backslashes": scattering(b"\\"),
    "a line of a megabyte": putting(b"x" * 2**20),
    "noise": lambda content, dice: put(content, dice, dice.randbytes(400)),
    "large lengths": putting(b"\xff\xff\xff\x7f" * 4),
}
