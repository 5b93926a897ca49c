"""TensorBoard's event files: the few records a curve needs, as bytes.

Its own writer costs 77 MB with gRPC, and the light one loads torch where it finds it, which the web must not. The format is a length, two
checksums and a small message (`tensorflow/core/util/event.proto`), the same since 2015; the tests read it with TensorBoard itself.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Ending = Literal["succeeded", "interrupted", "failed"]

VERSION = b"brain.Event:2"
CASTAGNOLI = 0x82F63B78
"""The polynomial of CRC-32C, as its bits come in."""
MASK = 0xA282EAD8
SESSION_START, SESSION_END = "_hparams_/session_start_info", "_hparams_/session_end_info"
STATUSES: dict[Ending, int] = {"succeeded": 1, "failed": 2, "interrupted": 0}
"""As the hparams plug-in counts them; 0 is unknown: an interrupted run goes on."""


def file_name(began_ns: int) -> str:
    """Return a file's name: readers look for `tfevents`, and take the files of a folder by name. No machine is named."""
    return f"events.out.tfevents.{began_ns:020d}.hone"


def head(time: float, *, first_step: int = 0) -> bytes:
    """Return a file's first records; what earlier files of its folder hold from `first_step` on is read no more."""
    version = _record(_double(1, time) + _message(3, VERSION))
    if not first_step:
        return version
    started = _message(7, _integer(1, 1))
    return version + _record(_double(1, time) + _integer(2, first_step) + started)


def scalars(time: float, step: int, values: Iterable[tuple[str, float]]) -> bytes:
    """Return one record with the numbers of a step; they are kept as float32."""
    summary = b"".join(_message(1, _text(1, name) + _float(2, value)) for name, value in values)
    return _record(_double(1, time) + _integer(2, step) + _message(5, summary))


def settings(time: float, chosen: Mapping[str, bool | float | str | None]) -> bytes:
    """Return the record that shows a run's settings under HParams."""
    pairs = b"".join(_message(1, _text(1, name) + _message(2, _value(value))) for name, value in chosen.items() if value is not None)
    return _plugin(time, SESSION_START, _message(3, pairs + _double(5, time)))


def ending(time: float, status: Ending) -> bytes:
    """Return the record that says how a run ended."""
    return _plugin(time, SESSION_END, _message(4, _integer(1, STATUSES[status]) + _double(2, time)))


def _plugin(time: float, tag: str, content: bytes) -> bytes:
    metadata = _message(1, _text(1, "hparams") + _message(2, content))
    return _record(_double(1, time) + _message(5, _message(1, _text(1, tag) + _message(9, metadata))))


def _value(value: bool | float | str) -> bytes:  # noqa: FBT001 - a google.protobuf.Value of any kind
    if isinstance(value, bool):
        return _integer(4, int(value))
    return _text(3, value) if isinstance(value, str) else _double(2, value)


def _record(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + _checksum(length) + payload + _checksum(payload)


def _checksum(content: bytes) -> bytes:
    crc, table = 0xFFFFFFFF, _table()
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF)


@cache
def _table() -> list[int]:
    """Return what each byte does to a CRC-32C."""
    table = list(range(256))
    for byte in table:
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ CASTAGNOLI if crc & 1 else crc >> 1
        table[byte] = crc
    return table


# Fields of protocol buffers: a number and a kind, then the value.


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _integer(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _double(field: int, number: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", number)


def _float(field: int, number: float) -> bytes:
    try:
        return _varint(field << 3 | 5) + struct.pack("<f", number)
    except OverflowError:  # beyond float32: as far as that goes
        return _varint(field << 3 | 5) + struct.pack("<f", float("inf") if number > 0 else float("-inf"))


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode("utf-8", "replace"))
