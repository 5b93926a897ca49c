"""What a template makes of a conversation, known from the last time it made something of one like it.

Most templates put what is said into its places and look at little of it. Such a one is watched while it renders: what is said is stood
in for by objects that pass through it, and that note what it asks of them. For the next conversation of the same roles those questions
are asked of the text itself; where the answers are the same, so is the way through the template, and the pieces are put together without
it. A template that does anything else with what is said is rendered each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate, chain, groupby
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from jinja2 import TemplateError
from jinja2.runtime import new_context

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import CodeType

    from jinja2 import Environment

MOST_SHAPES, MOST_WAYS = 256, 6
UNWATCHED = ("sameas", "random")
"""Words of templates whose result may differ without a question asked."""
UNSTEADY = ("strftime_now", "lipsum")
"""Functions that give templates something else each time."""
FAILS = (TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
"""What templates fail with, and whatever takes a string and no stand-in for one."""
Rendered = tuple[str, list[tuple[int, int]]]
Shape = tuple[Any, ...]


class _Examined(Exception):
    """A template does with what is said what cannot be noted."""


class Step(NamedTuple):
    """How a text is made from another: a method of strings, and which of what it gives."""

    method: str
    arguments: tuple[Any, ...]
    item: int | None = None

    def of(self, text: str) -> str:
        """Return what it makes of a text."""
        made = getattr(text, self.method)(*self.arguments)
        return str(made if self.item is None else made[self.item])


class Part(NamedTuple):
    """A text of a conversation as a template writes it: which message's, and by which steps."""

    message: int
    steps: tuple[Step, ...] = ()

    def of(self, contents: Sequence[str]) -> str:
        """Return the text."""
        text = contents[self.message]
        for step in self.steps:
            text = step.of(text)
        return text


class Question(NamedTuple):
    """What a template asks of a text, and the answer that leads its way."""

    part: Part
    method: str
    arguments: tuple[Any, ...]
    answer: Any


class _Watched:
    """Stands in for a string without being one: whatever looks into it in a way that is not noted, fails or is known to have looked."""

    def __init__(self, notes: _Notes) -> None:
        self._notes = notes

    @property
    def __class__(self) -> type:  # `is string` is asked for its kind alone
        return str

    @__class__.setter
    def __class__(self, _kind: type) -> None:
        self._examine()

    def __getattr__(self, name: str) -> Any:
        if hasattr(str, name):
            self._examine()
        raise AttributeError(name)

    def _examine(self, *_: Any, **__: Any) -> NoReturn:
        self._notes.examined = True
        raise _Examined

    def __add__(self, other: Any) -> Any:
        return _join([self, other], self._notes)

    def __radd__(self, other: Any) -> Any:
        return _join([other, self], self._notes)


class _Joined(_Watched):
    """Texts put together, which nobody may look into any more."""

    def __init__(self, notes: _Notes, parts: Sequence[Any]) -> None:
        super().__init__(notes)
        self._parts = parts


class _Answer(_Joined):
    """What a template marks as generated, which must be written as it is."""


class _Said(_Watched):  # noqa: PLW1641 - below
    """A text of the conversation, or what string methods have made of one."""

    def __init__(self, notes: _Notes, part: Part, text: str) -> None:
        super().__init__(notes)
        self._part, self._text = part, text

    def _ask(self, method: str, *arguments: Any) -> Any:
        if not all(map(_is_plain, arguments)):
            self._examine()
        answer = getattr(self._text, method)(*arguments)
        self._notes.questions.append(Question(self._part, method, arguments, answer))
        return answer

    def _make(self, method: str, *arguments: Any, item: int | None = None) -> _Said:
        if not all(map(_is_plain, arguments)):
            self._examine()
        step = Step(method, arguments, item)
        return _Said(self._notes, Part(self._part.message, (*self._part.steps, step)), step.of(self._text))

    def __bool__(self) -> bool:
        return bool(self._ask("__ne__", ""))

    def __contains__(self, text: Any) -> bool:
        return bool(self._ask("__contains__", text))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str) and type(other) is not str:  # what is watched says that it is one
            self._examine()
        return type(other) is str and bool(self._ask("__eq__", other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def startswith(self, text: Any) -> bool:
        return bool(self._ask("startswith", text))

    def endswith(self, text: Any) -> bool:
        return bool(self._ask("endswith", text))

    def strip(self, characters: Any = None) -> _Said:
        return self._make("strip", characters)

    def lstrip(self, characters: Any = None) -> _Said:
        return self._make("lstrip", characters)

    def rstrip(self, characters: Any = None) -> _Said:
        return self._make("rstrip", characters)

    def replace(self, old: Any, new: Any) -> _Said:
        return self._make("replace", old, new)

    def split(self, at: Any) -> list[_Said]:
        return [self._make("split", at, item=item) for item in range(self._ask("count", at) + 1)]


LOOKS = (
    *("__str__", "__repr__", "__format__", "__bytes__", "__bool__", "__len__", "__iter__", "__reversed__", "__getitem__", "__contains__"),
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__"),
    *("__mul__", "__rmul__", "__mod__", "__rmod__", "__int__", "__float__", "__index__", "__complex__"),
)
for kind in (_Watched, _Joined, _Answer, _Said):
    for name in LOOKS:
        if kind is _Watched or name == "__hash__":  # a class that says what is equal to it loses the hash of its parent
            setattr(kind, name, _Watched._examine)  # noqa: SLF001 - templates reach no name with an underscore


def _is_plain(value: Any) -> bool:
    return type(value) is str or value is None


def _is_watched(value: Any) -> bool:
    return type(value) in {_Joined, _Answer, _Said}


def _join(parts: Iterable[Any], notes: _Notes) -> Any:
    parts = list(parts)
    if not any(map(_is_watched, parts)):
        return "".join(parts)
    if any(type(part) is _Answer or not (type(part) is str or _is_watched(part)) for part in parts):
        notes.examined = True
        raise _Examined
    return _Joined(notes, parts)


@dataclass
class _Notes:
    """What a template asked while it was watched."""

    questions: list[Question] = field(default_factory=list)
    examined: bool = False


@dataclass(frozen=True)
class Way:
    """One way through a template: the questions that lead there, and what is written on it."""

    questions: tuple[Question, ...]
    pieces: tuple[str | Part, ...]
    answers: tuple[tuple[int, int], ...]
    """From which piece to which others the template's marks of what is generated stand."""

    def write(self, contents: Sequence[str]) -> Rendered | None:
        """Return what the template would write; None when these contents lead elsewhere."""
        for part, method, arguments, answer in self.questions:
            if getattr(part.of(contents), method)(*arguments) != answer:
                return None
        texts = [piece if type(piece) is str else piece.of(contents) for piece in self.pieces]  # type: ignore[union-attr]
        if not self.answers:
            return "".join(texts), []
        ends = [0, *accumulate(map(len, texts))]
        return "".join(texts), [(ends[first], ends[end]) for first, end in self.answers]


class Ways:
    """The ways through one template that are known, by the roles of a conversation and what else is given with it."""

    def __init__(self) -> None:
        self._known: dict[Shape, list[Way]] = {}
        self._off = False

    def write(self, shape: Shape, contents: Sequence[str]) -> Rendered | None:
        """Return what the template writes; None when that has to be seen."""
        for way in self._known.get(shape, ()):
            written = way.write(contents)
            if written is not None:
                return written
        return None

    def wants(self, shape: Shape) -> bool:
        """Return whether to watch a conversation of this shape: not the first, for most odd shapes are alone."""
        if self._off or len(self._known) >= MOST_SHAPES:
            return False
        ways = self._known.get(shape)
        if ways is None:
            self._known[shape] = []
            return False
        return len(ways) < MOST_WAYS

    def learn(self, shape: Shape, contents: Sequence[str], way: Way | None, seen: Rendered) -> None:
        """Keep a way that writes what was seen; a template that cannot be watched is not tried again."""
        if way is None or way.write(contents) != seen:
            self._off = True
        else:
            self._known[shape].append(way)


def watch(environment: Environment, source: str, turns: Sequence[dict[str, Any]], given: dict[str, Any], *, mark: bool) -> Way | None:
    """Render a conversation of plain turns and return the way that the template takes; None when it looks too closely."""
    if any(word in source for word in UNWATCHED):
        return None
    notes = _Notes()
    said = [turn | {"content": _Said(notes, Part(place), turn["content"])} for place, turn in enumerate(turns)]
    try:
        written = list(_root(environment, source, notes)(said, given))
    except (_Examined, *FAILS):
        return None
    if notes.examined:
        return None
    way = _way(notes, written)
    return way if mark else replace(way, answers=())


def _root(environment: Environment, source: str, notes: _Notes) -> Any:
    """Return the template compiled so that texts pass through it as they are; joining them makes one that knows its parts."""
    watched = environment.overlay()
    watched.concat = lambda parts: _join(parts, notes)  # type: ignore[method-assign]
    for name, extension in watched.extensions.items():
        if "generation" in extension.tags:
            watched.extensions[name] = _Marks(notes)  # type: ignore[assignment]

    def shown(value: Any) -> Any:
        return value if _is_watched(value) else str(value)

    def joined(parts: Iterable[Any]) -> Any:
        return _join(map(shown, parts), notes)

    # Templates look such names up when they run.
    namespace = watched.template_class.from_code(watched, _code(environment, source), watched.globals).root_render_func.__globals__
    namespace.update(str=shown, str_join=joined, markup_join=joined)

    def root(messages: list[dict[str, Any]], given: dict[str, Any]) -> Iterable[Any]:
        steady = {**watched.globals, **dict.fromkeys(UNSTEADY, _Watched(notes)._examine)}  # noqa: SLF001 - as above
        context = new_context(watched, None, namespace["blocks"], {"messages": messages, **given}, globals=steady)
        found: Iterable[Any] = namespace["root"](context)
        return found

    return root


@lru_cache(maxsize=2)
def _code(environment: Environment, source: str) -> CodeType:
    return environment.compile(source)


class _Marks:
    """The tag that marks what is generated, noted instead of counted."""

    def __init__(self, notes: _Notes) -> None:
        self._notes = notes

    def _generation_support(self, *, caller: Any) -> _Answer:
        return _Answer(self._notes, [caller()])


def _way(notes: _Notes, written: Sequence[Any]) -> Way:
    pieces: list[str | Part] = []
    answers = []
    for is_answer, some in groupby(written, lambda piece: type(piece) is _Answer):
        for flat in map(_flat, some) if is_answer else [list(chain.from_iterable(map(_flat, some)))]:
            first = len(pieces)
            pieces += _merged(flat)
            if is_answer:
                answers.append((first, len(pieces)))
    return Way(tuple(dict.fromkeys(notes.questions)), tuple(pieces), tuple(answers))


def _merged(pieces: Iterable[str | Part]) -> Iterator[str | Part]:
    """Put together what the template itself writes in one go."""
    for is_text, some in groupby(pieces, lambda piece: type(piece) is str):
        if is_text:
            yield "".join(map(str, some))
        else:
            yield from some


def _flat(piece: Any) -> list[str | Part]:
    if type(piece) is _Said:
        return [piece._part]  # noqa: SLF001 - as above
    return [piece] if type(piece) is str else list(chain.from_iterable(map(_flat, piece._parts)))  # noqa: SLF001 - as above
