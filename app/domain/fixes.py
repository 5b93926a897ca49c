"""What can be done about problems of many rows at once: each a new version of the rows, so that it can be undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.problems import EXPLAINED, Trouble

Numbers = Annotated[list[int], Field(max_length=100_000)]


class _Fix(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Drop(_Fix):
    """Leave the rows with this problem out; with `rows` only these of them; without a problem these, whatever is wrong with them."""

    op: Literal["drop"] = "drop"
    problem: Trouble | None
    rows: Numbers | None = None

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if self.problem is None and self.rows is None:
            raise ValueError("say which rows are to be left out, or with which problem")
        return self


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
    """Take the row that was set aside under this number in, as somebody has rewritten it; with `was` only if it is the row they saw."""

    op: Literal["mend"] = "mend"
    number: Annotated[int, Field(ge=1)]
    was: Annotated[str, Field(max_length=64, description="As the list of rows set aside gives it.")] | None = None
    text: Annotated[str, Field(max_length=1024 * 1024)]


Fix = Annotated[Drop | KeepBest | Mask | Repair | Fill | Balance | DropLonger | TrimEnd | Mend, Field(discriminator="op")]
Asked = Literal["nothing", "texts", "number"]
"""What a person gives with a fix: a text for each placeholder, how many, or nothing."""


class Offer(NamedTuple):
    """A fix that a page offers for a problem, in words; `asks` says what its fields are filled in with before it is done."""

    label: str
    help: str
    fix: Fix
    asks: Asked = "nothing"


class Outcome(NamedTuple):
    """What became of the rows: how many were left out, changed and taken in."""

    dropped: int = 0
    changed: int = 0
    added: int = 0


def offers(trouble: Trouble, summary: Mapping[str, Any], *, max_tokens: int | None = None) -> list[Offer]:
    """Return what can be done about a problem, the likeliest first; `summary` is that of the findings."""
    first = OFFERED.get(trouble)
    found = list(first(summary)) if first else []
    if trouble is Trouble.TOO_LONG and max_tokens:
        words = f"Rows of more than {max_tokens:,} tokens are left out; a longer context keeps them."
        found.append(Offer("Leave the longer rows out", words, DropLonger(tokens=max_tokens), "number"))
    if trouble in DROPPED_WHOLE:
        words = f"All rows with this problem are left out: {EXPLAINED[trouble].title[0].lower()}{EXPLAINED[trouble].title[1:]}."
        label = "Leave these test rows out" if trouble in {Trouble.LEAK, Trouble.NEAR_LEAK} else "Leave these rows out"
        found.append(Offer(label, words, Drop(problem=trouble)))
    return found


def _fill(summary: Mapping[str, Any]) -> Sequence[Offer]:
    texts = [str(text) for text, _ in summary.get("placeholders") or ()]
    if not texts:
        return ()
    label = f"Fill {texts[0]} with a text" if len(texts) == 1 else "Fill them with texts"
    values = dict.fromkeys(texts, "")
    return [
        Offer(label, "Each placeholder that is given a text is replaced by it in all rows; the others stay.", Fill(values=values), "texts")
    ]


def _balance(summary: Mapping[str, Any]) -> Sequence[Offer]:
    counts = sorted(many for _, many in summary.get("labels") or ())
    if not counts:
        return ()
    most = counts[len(counts) // 2]
    words = "Rows of frequent labels are left out by chance, so that rare ones weigh more. To collect more of the rare ones is better."
    return [Offer(f"Keep at most {most:,} of each label", words, Balance(most=most), "number")]


OFFERED: dict[Trouble, Callable[[Mapping[str, Any]], Sequence[Offer]]] = {
    Trouble.NO_ANSWER: lambda _: [
        Offer("Cut them after their last answer", "Rows that end with a question are used up to the answer before it.", TrimEnd())
    ],
    Trouble.OTHER_ANSWER: lambda _: [
        Offer(
            "Keep one answer to each question",
            "Of labels the most frequent one, of texts the longest.",
            KeepBest(problem=Trouble.OTHER_ANSWER),
        )
    ],
    Trouble.PLACEHOLDER: _fill,
    Trouble.EXACT_DUPLICATE: lambda _: [Offer("Keep one of each", "Copies are left out.", KeepBest(problem=Trouble.EXACT_DUPLICATE))],
    Trouble.NEAR_DUPLICATE: lambda _: [
        Offer("Keep the best of each group", "The most complete row of each group stays.", KeepBest(problem=Trouble.NEAR_DUPLICATE))
    ],
    Trouble.PII: lambda _: [
        Offer("Mask them", "Names become [NAME], addresses [EMAIL] and so on.", Mask(problem=Trouble.PII)),
        Offer(
            "Mask them and keep the map",
            "The same, and a file you can take away says what each mask stands for.",
            Mask(problem=Trouble.PII, keep_map=True),
        ),
    ],
    Trouble.SECRET: lambda _: [Offer("Mask them", "Keys and passwords become [SECRET].", Mask(problem=Trouble.SECRET))],
    Trouble.RARE_LABEL: _balance,
    Trouble.MOJIBAKE: lambda _: [
        Offer("Repair the characters", "Text is decoded as it was meant; what is lost for good stays.", Repair(problem=Trouble.MOJIBAKE))
    ],
    Trouble.CONTROL_TOKENS: lambda _: [
        Offer("Take them out", "The tokens and the role they name are taken out of the text.", Repair(problem=Trouble.CONTROL_TOKENS))
    ],
}
"""What is offered before leaving rows out."""
DROPPED_WHOLE = frozenset(EXPLAINED) - {
    Trouble.BROKEN, Trouble.EMPTY_ANSWER, Trouble.NO_ANSWER, Trouble.EXACT_DUPLICATE, Trouble.NEAR_DUPLICATE, Trouble.TOO_LONG
}  # fmt: skip
"""Problems whose rows can go as they are: not those set aside, and not whole groups of twins."""


def told(fix: Fix, outcome: Outcome) -> str:
    """Return what was done in words, for the history."""
    kind = EXPLAINED[fix.problem].title.lower() if isinstance(fix, Drop | KeepBest | Mask | Repair) and fix.problem else ""
    changes = {
        Mask: "masked", Repair: "repaired", Fill: "filled in"
    }  # fmt: skip
    why = f" ({kind})" if kind else " (frequent labels)" if isinstance(fix, Balance) else ""
    if isinstance(fix, DropLonger):
        why = f" (longer than {fix.tokens:,} tokens)"
    parts = [f"{_rows(outcome.changed)} {changes.get(type(fix), 'changed')}"] if outcome.changed else []
    parts += [f"{_rows(outcome.dropped)} left out"] if outcome.dropped else []
    parts += [f"{_rows(outcome.added)} taken in"] if outcome.added else []
    return (", ".join(parts) or "Nothing changed") + why


def _rows(many: int) -> str:
    return "1 row" if many == 1 else f"{many:,} rows"
