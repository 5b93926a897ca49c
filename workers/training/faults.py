"""What is wrong with rows as they would be trained, in words, with what mends it: the same for a preflight and for a run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from app.domain.fixes import Drop, Repair
from app.domain.preflight import PLAIN, Fault, PreflightFix
from app.domain.problems import EXPLAINED, Trouble
from app.domain.repairs import control_tokens
from workers.training.masks import Masker
from workers.training.prepare import ROWS_NAMED, Prepared
from workers.training.templates import chat_template

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workers.training.rows import Row

TRIED = 8
"""Rows that a fix is tried on before it is offered."""
MARKS_NAMED = 3
MOST_DROPPED = 10_000


class Words(NamedTuple):
    """A fault of rows that are refused: what is said of some of them, and why it matters."""

    sentence: str
    why: str


REFUSED = {
    "no_trained_tokens": Words("Nothing of {some} would be learnt", "A model that is shown no answer learns none."),
    "never_stops": Words("The end of no answer is learnt in {some}", "The model would never learn to stop, and talk until it is cut off."),
    "other_template": Words(
        "{Some} cannot be written with this template", "The base reads another model's marks as plain text, and never stops at them."
    ),
    "trained_prompt": Words("Prompts would be learnt in {some}", "The model would learn to ask your users' questions, not to answer them."),
    "template_error": Words("The chat template cannot write {some}", "What the template cannot write is not learnt."),
}
DOUBLED = "The base has never seen a text begin twice, and answers worse behind it."
ANSWERS_CUT = "A row whose answer is cut away teaches nothing."
SILENT = "There is nothing to learn in an answer that is empty, or has the weight 0."


@dataclass(frozen=True)
class Looked:
    """Rows as they were masked, and with what."""

    rows: Sequence[Row]
    """In the order of `prepared`."""
    prepared: Prepared
    masker: Masker
    max_length: int
    context: int | None
    is_whole: bool = True
    """All rows of the dataset were looked at, so that leaving some of them out would leave no others of the kind."""

    @property
    def many(self) -> int:
        """How many rows were looked at."""
        return len(self.prepared.rows)

    @property
    def learns_nothing(self) -> bool:
        """Whether no row has a trained token."""
        return self.prepared.untrained >= self.many

    def are_most(self, numbers: Sequence[int]) -> bool:
        """Return whether these are at least half of the rows."""
        return 2 * len(numbers) >= self.many


def find_faults(looked: Looked) -> list[Fault]:
    """Return what is wrong, what stops a launch first."""
    if not looked.many:
        return []
    found = chain(_refused(looked), _cut_away(looked), _silent(looked), _doubled(looked), _marked(looked), _foreign(looked))
    return sorted(found, key=lambda fault: not fault.blocking)


def _refused(looked: Looked) -> Iterator[Fault]:
    codes: dict[str, tuple[str, list[int]]] = {}
    for reason, refusal in looked.prepared.refusals.items():
        first, numbers = codes.setdefault(refusal.code, (reason, []))
        # The reason that most of them share is the one to tell.
        if len(refusal.rows) > len(looked.prepared.refusals[first].rows):
            codes[refusal.code] = reason, numbers
        numbers += refusal.rows
    for code, (reason, numbers) in codes.items():
        words = REFUSED[code]
        some = _some(numbers, looked)
        sentence = words.sentence.format(some=some, Some=some[0].upper() + some[1:])
        fixes = [*_plain(looked, numbers), *_left_out(looked, numbers)]
        yield _fault(code, f"{sentence}: {reason}.", words.why, numbers, param="base_model", blocking=looked.learns_nothing, fixes=fixes)


def _cut_away(looked: Looked) -> Iterator[Fault]:
    numbers = list(looked.prepared.beyond)
    if not numbers:
        return
    have = "has its whole answer" if len(numbers) == 1 else "have their whole answers"
    sentence = f"{_some(numbers, looked, capital=True)} {have} beyond the longest row allowed (max_length: {looked.max_length:,} tokens)."
    fixes = [*_longer(looked), *_left_out(looked, numbers)]
    blocking = looked.are_most(numbers) or looked.learns_nothing
    yield _fault("answers_cut", sentence, ANSWERS_CUT, numbers, param="settings.max_length", blocking=blocking, fixes=fixes)


def _longer(looked: Looked) -> Iterator[PreflightFix]:
    """Offer to read as much as the longest row has, or the base can; unless too many answers lay beyond that too."""
    prepared = looked.prepared
    length = min(prepared.longest, looked.context or prepared.longest)
    still = sum(first >= length for first in prepared.beyond.values())
    if length <= looked.max_length or 2 * still >= looked.many:
        return
    why = "As many as the longest row has" if length == prepared.longest else "As many as the base reads"
    yield PreflightFix(id="longer", label=f"Read {length:,} tokens", help=f"{why}; it takes more memory.", settings={"max_length": length})


def _silent(looked: Looked) -> Iterator[Fault]:
    numbers = looked.prepared.silent
    if numbers:
        sentence = f"{_some(numbers, looked, capital=True)} cannot be learnt from: no answer has any text to answer with."
        fixes = list(_left_out(looked, numbers))
        yield _fault("no_trained_tokens", sentence, SILENT, numbers, blocking=looked.learns_nothing, fixes=fixes)


def _doubled(looked: Looked) -> Iterator[Fault]:
    numbers = looked.prepared.doubled
    if not numbers:
        return
    begin = looked.masker.tokenizer.bos_token
    by_texts = set(numbers) <= set(looked.prepared.marked)
    fixes = _taken_out() if by_texts else _plain(looked, numbers)
    sentence = f"{_some(numbers, looked, capital=True)} would begin with {begin} twice."
    param = "dataset_id" if by_texts else "base_model"
    yield _fault("doubled_bos", sentence, DOUBLED, numbers, param=param, blocking=looked.are_most(numbers), fixes=list(fixes))


def _marked(looked: Looked) -> Iterator[Fault]:
    numbers = looked.prepared.marked
    if numbers:
        hold = "holds" if len(numbers) == 1 else "hold"
        sentence = (
            f"{_some(numbers, looked, capital=True)} {hold} control tokens of a chat template in the text, as if written by one already."
        )
        why = EXPLAINED[Trouble.CONTROL_TOKENS].why
        yield _fault("other_template", sentence, why, numbers, blocking=looked.are_most(numbers), fixes=list(_taken_out()))


def _foreign(looked: Looked) -> Iterator[Fault]:
    """Tell of marks of the template that are no tokens; some bases were trained with such, so it stops nothing."""
    template, tokenizer = looked.masker.template, looked.masker.tokenizer
    known = {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.get_vocab())
    marks = sorted({template.text[first:last] for first, last in control_tokens(template.text)} - known)
    if marks and all(refusal.code != "other_template" for refusal in looked.prepared.refusals.values()):
        sentence = f"The chat template writes {', '.join(marks[:MARKS_NAMED])} as plain text, which this base's tokenizer has no token for."
        why = "That is right for bases that were trained so, and else a sign of another model's template."
        fixes = [*_plain(looked, [row.number for row in looked.rows[:TRIED]])]
        yield _fault("other_template", sentence, why, [], param="base_model", blocking=False, fixes=fixes)


def _plain(looked: Looked, numbers: Sequence[int]) -> Iterator[PreflightFix]:
    """Offer Hone's plain template where it mends these rows."""
    tokenizer, wanted = looked.masker.tokenizer, set(numbers)
    if looked.masker.template.is_plain or tokenizer.eos_token is None:
        return
    tried = [row for row in looked.rows if row.number in wanted][:TRIED]
    again = Prepared()
    plain = Masker(tokenizer, chat_template(tokenizer, "plain"))
    for row in tried:
        again.add(row, plain, looked.max_length)
    if not again.refusals and not again.doubled and len(again.silent) < len(tried):
        yield PLAIN


def _left_out(looked: Looked, numbers: Sequence[int]) -> Iterator[PreflightFix]:
    if looked.is_whole and len(numbers) < looked.many and len(numbers) <= MOST_DROPPED:
        data = Drop(problem=None, rows=[number - 1 for number in numbers])
        yield PreflightFix(id="drop", label="Leave these rows out", help="The others are trained on.", data=data)


def _taken_out() -> Iterator[PreflightFix]:
    words = "The tokens, and the role they name, are taken out of the texts."
    yield PreflightFix(id="repair", label="Take the control tokens out", help=words, data=Repair(problem=Trouble.CONTROL_TOKENS))


def _some(numbers: Sequence[int], looked: Looked, *, capital: bool = False) -> str:
    if len(numbers) == looked.many:
        text = "all rows" if looked.is_whole else f"all {looked.many:,} rows looked at"
    else:
        text = f"{len(numbers):,} of {looked.many:,} rows"
    return text[0].upper() + text[1:] if capital else text


def _fault(code: str, sentence: str, why: str, numbers: Sequence[int], **more: Any) -> Fault:
    return Fault(code=code, sentence=sentence, why=why, rows=sorted(numbers)[:ROWS_NAMED], **more)
