"""What can be done about problems of many rows at once: each a new version of the rows, so that it can be undone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.domain.problems import Trouble

Numbers = Annotated[list[int], Field(max_length=100_000)]


class _Fix(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Drop(_Fix):
    """Leave the rows with this problem out; with `rows` only these of them."""

    op: Literal["drop"] = "drop"
    problem: Trouble
    rows: Numbers | None = None


class KeepBest(_Fix):
    """Of each group of rows that are alike keep the best one."""

    op: Literal["keep_best"] = "keep_best"
    problem: Literal[Trouble.EXACT_DUPLICATE, Trouble.NEAR_DUPLICATE, Trouble.OTHER_ANSWER]
    rows: Numbers | None = None


class Mask(_Fix):
    """Write [NAME], [EMAIL] … in place of what was found; `keep_map` keeps a file that alone can turn it back."""

    op: Literal["mask"] = "mask"
    problem: Literal[Trouble.PII, Trouble.SECRET]
    kinds: Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=40)] | None = None
    keep_map: bool = False
    rows: Numbers | None = None


class Repair(_Fix):
    """Decode garbled characters the way they were meant, or take control tokens out of the text."""

    op: Literal["repair"] = "repair"
    problem: Literal[Trouble.MOJIBAKE, Trouble.CONTROL_TOKENS]
    rows: Numbers | None = None


class Fill(_Fix):
    """Put a text in the place of each placeholder that is named."""

    op: Literal["fill"] = "fill"
    values: Annotated[
        dict[Annotated[str, Field(max_length=200)], Annotated[str, Field(max_length=2000)]], Field(min_length=1, max_length=100)
    ]


class Balance(_Fix):
    """Keep at most so many rows of each label, chosen by their hash."""

    op: Literal["balance"] = "balance"
    most: Annotated[int, Field(ge=1)]


class DropLonger(_Fix):
    """Leave out rows of more tokens, by the bundled base's tokenizer."""

    op: Literal["drop_longer"] = "drop_longer"
    tokens: Annotated[int, Field(ge=1)]


class TrimEnd(_Fix):
    """Take rows that end without an answer in after all, up to their last answer."""

    op: Literal["trim_end"] = "trim_end"


class Mend(_Fix):
    """Take a row that was set aside in, as somebody has rewritten it."""

    op: Literal["mend"] = "mend"
    file: Annotated[int, Field(ge=0)] = 0
    line: Annotated[int, Field(ge=1)]
    text: Annotated[str, Field(max_length=1024 * 1024)]


Fix = Annotated[Drop | KeepBest | Mask | Repair | Fill | Balance | DropLonger | TrimEnd | Mend, Field(discriminator="op")]
