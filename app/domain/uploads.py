"""What the first bytes of an upload show: whether it can be a file of examples at all.

The names and extensions of files say little, so content decides. Whatever needs more than the first bytes is left to the child
process that reads the file.
"""

from __future__ import annotations

import codecs
import re

from app.domain.errors import Invalid, UnsupportedType

HEAD_BYTES = 64 * 1024
"""How many bytes a caller should hand over; fewer do if the file is shorter."""

SIGNATURES: tuple[tuple[str, str, str], ...] = (
    ("picture", "a PNG picture", r"\x89PNG\r\n"),
    ("picture", "a JPEG picture", r"\xff\xd8\xff"),
    ("picture", "a GIF picture", r"GIF8[79]a"),
    ("picture", "a WebP picture", r"RIFF....WEBP"),
    ("picture", "a BMP picture", r"BM....\x00\x00\x00\x00"),
    ("picture", "a TIFF picture", r"II[*+]\x00|MM\x00[*+]"),
    ("picture", "an icon", r"\x00\x00\x01\x00[^\x00]\x00"),
    ("picture", "a Photoshop picture", r"8BPS\x00"),
    ("picture", "a HEIC or AVIF picture", r"....ftyp(?:hei|hev|mif|avi)"),
    ("picture", "an SVG picture", r"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>)?\s*(?:<!--.*?-->\s*|<!DOCTYPE svg[^>]*>\s*)*<svg[\s>]"),
    ("recording", "a video or sound file", r"....ftyp|RIFF....(?:WAVE|AVI )|OggS\x00|ID3[\x02-\x04]\x00|\x1aE\xdf\xa3"),
    ("office", "an old Microsoft Office file", r"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ("office", "a Word document", r"PK\x03\x04.*word/document\.xml"),
    ("office", "a PowerPoint file", r"PK\x03\x04.*ppt/presentation\.xml"),
    ("office", "an OpenDocument file", r"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis"),
    ("pickle", "a file of PyTorch weights", r"PK\x03\x04.{26}[^\x00]{0,200}data\.pkl"),
    ("archive", "a 7-Zip archive", r"7z\xbc\xaf\x27\x1c"),
    ("archive", "a RAR archive", r"Rar!\x1a\x07"),
    ("archive", "a tar archive", r".{257}ustar"),
    ("document", "a PDF document", r"\s{0,8}%PDF-"),
    ("document", "a web page", r"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html[\s>])"),
    ("program", "a program", r"\x7fELF|MZ(?=.{0,62}\x00)|[\xce\xcf]\xfa\xed\xfe|\xca\xfe\xba\xbe"),
    ("pickle", "a pickle", r"\x80[\x02-\x05](?:\x95|[c}\]()KXUq\x8a\x8c])"),
    ("table", "an SQLite database", r"SQLite format 3\x00"),
    ("table", "a NumPy array", r"\x93NUMPY"),
    ("table", "an HDF5 file", r"\x89HDF\r\n"),
    ("model", "a GGUF model", r"GGUF[\x01-\x09]\x00"),
    ("model", "a file of safetensors weights", r".{6}\x00\x00\{\""),
)
CONTAINERS = re.compile(
    rb"\x1f\x8b|\x28\xb5\x2f\xfd|BZh[1-9](?:1AY&SY|\x17rE8P\x90)|\xfd7zXZ\x00|\x04\x22\x4d\x18|PK(?:\x03\x04|\x05\x06|\x07\x08)"
    rb"|PAR1|ARROW1|\xff\xff\xff\xff....[\x00-\x20]\x00\x00\x00",
    re.DOTALL,
)
"""What is no text but can be read: packed files, workbooks, Parquet and Arrow; the child that unpacks them looks inside."""
EXAMPLES = "A dataset is a file of examples: upload JSONL, JSON, CSV, Parquet, Excel or text."
WHAT_TO_DO = {
    "picture": EXAMPLES,
    "recording": EXAMPLES,
    "office": "Save the sheet as .xlsx or CSV (UTF-8), or the text as .txt, and upload that.",
    "archive": "Unpack it and upload what is inside, or pack it as .zip or .gz.",
    "document": "Put the examples into a JSONL, JSON, CSV or text file and upload that.",
    "program": EXAMPLES,
    "pickle": "Pickles can run code when they are read, so they are never opened. Save the rows as JSONL, CSV or Parquet.",
    "table": "Save its rows as JSONL, CSV or Parquet and upload that.",
    "model": EXAMPLES,
    "binary": EXAMPLES,
}
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))
MAX_CONTROL_SHARE = 0.05
MOSTLY = 0.4
HARDLY = 0.1


def check_first_bytes(head: bytes, filename: str) -> None:
    """Raise Invalid (empty_file) or UnsupportedType when the first bytes show that this is no file of examples."""
    encoding = encoding_by_zeros(head)
    text = head.decode(encoding, "replace").lstrip("\ufeff") if encoding else head.removeprefix(codecs.BOM_UTF8)
    if not text.strip():
        raise Invalid("The file is empty.", param="file", code="empty_file")
    for kind, what, pattern in SIGNATURES:
        if re.match(pattern.encode("latin-1"), head, re.DOTALL | re.IGNORECASE if kind in {"picture", "document"} else re.DOTALL):
            raise _unsupported(what, kind, filename)
    if CONTAINERS.match(head):
        return
    controls = len(head) - len(head.translate(None, CONTROLS))
    if not encoding and (b"\0" in head or controls > MAX_CONTROL_SHARE * len(head)):
        place = re.search(b"[" + re.escape(CONTROLS) + b"]", head)
        where = f" (byte {place.start() + 1:,} is 0x{place.group()[0]:02X})" if place else ""
        raise _unsupported(f"a binary file, not text{where}", "binary", filename)


def _unsupported(what: str, kind: str, filename: str) -> UnsupportedType:
    shown = filename.encode("utf-8", "replace").decode().strip()[-80:] or "The file"
    return UnsupportedType(f"{shown} is {what}. {WHAT_TO_DO[kind]}", param="file", code="unsupported_type")


def encoding_by_zeros(head: bytes) -> str | None:
    """Return the encoding that a byte order mark, or a steady pattern of zero bytes, shows to be UTF-16 or UTF-32; else None."""
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding if encoding != "utf-8" else None
    zeros = [head[place::4].count(0) / max(1, len(head[place::4])) for place in range(4)]
    for encoding, pattern in (
        ("utf-32-le", "t011"),
        ("utf-32-be", "110t"),
        ("utf-16-le", "t1t1"),
        ("utf-16-be", "1t1t"),
    ):  # fmt: skip - one line shows the four patterns beside each other
        if all(_as_expected(share, expected) for share, expected in zip(zeros, pattern, strict=True)) and _decodes(head, encoding):
            return encoding
    return None


def _as_expected(zero_share: float, expected: str) -> bool:
    return zero_share < HARDLY if expected == "t" else zero_share > MOSTLY if expected == "1" else zero_share > HARDLY


def _decodes(head: bytes, encoding: str) -> bool:
    whole = head[: len(head) // 4 * 4]
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(whole)
    except UnicodeDecodeError:
        return False
    return "\0" not in text
