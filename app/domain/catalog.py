"""The catalogue of base models: what each is good at, what its licence allows, how large it is, and which one to take.

What a model measures is its config.json's word. Where nobody has seen that, there is a size in words, marked as such, and no measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from app.domain.architectures import Architecture
from app.domain.errors import Invalid, NotFound

BILLION = 1e9


class Modality(StrEnum):
    """What a model takes in."""

    TEXT = "text"
    PICTURES = "pictures"
    SOUND = "sound"


class Task(StrEnum):
    """What a model was made to do."""

    CHAT = "chat"
    REASONING = "reasoning"
    TOOLS = "tools"
    CODE = "code"
    PICTURES = "pictures"
    COMPLETION = "completion"


TASKS = {
    Task.CHAT: "answer in a conversation", Task.REASONING: "think a problem through", Task.TOOLS: "call tools", Task.CODE: "write code",
    Task.PICTURES: "look at pictures", Task.COMPLETION: "go on with a text",
}  # fmt: skip


class Size(StrEnum):
    """How large a model is, in steps that decide what it runs on."""

    TINY = "tiny"
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


SIZES = {
    Size.TINY: ("up to 1 billion", 0.0, 1.1 * BILLION),
    Size.SMALL: ("1 to 4 billion", 1.1 * BILLION, 4.5 * BILLION),
    Size.MEDIUM: ("5 to 10 billion", 4.5 * BILLION, 10 * BILLION),
    Size.LARGE: ("over 10 billion", 10 * BILLION, float("inf")),
}
"""Each step in words, from how many parameters on, and up to how many."""


def size_of(parameters: int) -> Size:
    """Return the step of size that so many parameters make."""
    return next(size for size, (_, least, most) in SIZES.items() if least <= parameters < most)


class Need(StrEnum):
    """What somebody may ask of a base."""

    REASONING = "reasoning"
    MULTILINGUAL = "multilingual"
    TOOLS = "tools"
    SMALLEST = "smallest"
    NEWEST = "newest"


class Strict(BaseModel):
    """Read from a file: a name that nobody knows is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Licence(Strict):
    """What a licence lets one do, in plain words; no legal advice."""

    id: str = Field(pattern=r"^[a-z0-9.-]+$")
    name: str
    short: str = Field(description="Its name where there is little room.")
    url: str
    commercial: bool = Field(description="Whether a business may use the model and what is trained from it.")
    allows: tuple[str, ...]
    asks: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    source: str = Field(description="Where this was read.")


class Entry(Strict):
    """A model as a family's file has it; what is left out is as the family says."""

    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    hub_id: str | None = None
    name: str
    config: dict[str, Any] | None = Field(None, description="What its config.json says of its measures.")
    same_as: str | None = Field(None, description="The slug of a model of the same measures, from which or beside which it was trained.")
    approximate_parameters: float | None = Field(None, gt=0, description="Where no config.json was seen: the size that its maker names.")
    size_note: str = ""
    note: str = ""
    gap: str = Field("", description="What the measures leave out, or what of them is inferred.")
    source: str = Field("", description="Where the measures were seen.")
    licence: str | None = None
    superpower: str | None = None
    use_when: str | None = None
    languages: tuple[str, ...] | None = None
    language_count: int | None = None
    modalities: tuple[Modality, ...] | None = None
    tasks: tuple[Task, ...] | None = None
    chat_template: bool | None = None
    gated: bool | None = None
    thinks: bool | None = None


class Family(Strict):
    """One file of the catalogue: models of one maker that belong together."""

    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    maker: str
    address: str = ""
    licence: str
    superpower: str
    use_when: str
    languages: tuple[str, ...] = Field(min_length=1)
    language_count: int = Field(0, ge=0, description="How many languages its maker names, where these are more than are listed.")
    modalities: tuple[Modality, ...] = (Modality.TEXT,)
    tasks: tuple[Task, ...] = (Task.CHAT,)
    chat_template: bool = True
    gated: bool = False
    thinks: bool = Field(False, description="Whether it writes down its thoughts before it answers, when asked to.")
    models: tuple[Entry, ...] = Field(min_length=1)


class Picks(Strict):
    """For one need: which models to take, best first; why the first, and what is said of those behind it."""

    need: Need
    reason: str
    also: str
    models: tuple[str, ...] = Field(min_length=2)


class Chooser(Strict):
    """The file behind the questions: an order of models for each need, and one for who asks nothing special."""

    picks: tuple[Picks, ...]
    usual: tuple[str, ...] = Field(min_length=2)
    usual_reason: str


class CatalogModel(BaseModel, frozen=True):
    """A base model of the catalogue."""

    slug: str
    hub_id: str | None
    name: str
    family: str
    family_title: str
    family_superpower: str
    maker: str
    address: str
    licence: Licence
    superpower: str
    use_when: str
    languages: tuple[str, ...]
    language_count: int
    modalities: tuple[Modality, ...]
    tasks: tuple[Task, ...]
    chat_template: bool
    gated: bool
    thinks: bool
    architecture: Architecture | None
    approximate_parameters: float | None
    size_note: str
    note: str
    source: str

    @property
    def parameters(self) -> int | None:
        """How many it has: counted, or as its maker names them."""
        if self.architecture:
            return self.architecture.parameters
        return round(self.approximate_parameters) if self.approximate_parameters else None

    @property
    def size(self) -> Size | None:
        """Its step of size; None where nobody names one."""
        return None if self.parameters is None else size_of(self.parameters)

    @property
    def languages_spoken(self) -> int:
        """How many languages its maker names, in a list or as a number."""
        return max(self.language_count, len(self.languages))

    @property
    def answers_by(self) -> str:
        """What a run names it by: its Hub id, or Hone's own name for what is bundled."""
        return self.hub_id or self.slug

    def speaks(self, language: str) -> bool:
        """Return whether its maker names a language."""
        return language.lower() in {known.lower() for known in self.languages}


class Asked(BaseModel, frozen=True):
    """What a list of the catalogue is narrowed to; what is left out narrows nothing."""

    size: Size | None = None
    licence: str | None = None
    task: Task | None = None
    language: str | None = None
    words: str = Field("", description="Found in a model's name, Hub id, family or maker, each of them.")

    def fits(self, model: CatalogModel) -> bool:
        """Return whether a model is among what was asked for."""
        return (
            (self.size is None or model.size == self.size)
            and (not self.licence or model.licence.id.lower() == self.licence.lower())
            and (self.task is None or self.task in model.tasks)
            and (not self.language or model.speaks(self.language))
            and self.says(f"{model.name} {model.answers_by} {model.family_title} {model.maker}")
        )

    def says(self, text: str) -> bool:
        """Return whether every word that was asked for stands in a text."""
        return all(word in text.lower() for word in self.words.lower().split())

    def takes(self, name: str, parameters: int | None) -> bool:
        """Return whether a model is asked for of which no more is known than its name and size, as of a folder."""
        is_of_size = self.size is None or (parameters is not None and size_of(parameters) == self.size)
        return is_of_size and self.says(name) and not (self.licence or self.task or self.language)


class Choice(NamedTuple):
    """What the questions lead to: a model and why, and the next best of another family."""

    model: CatalogModel
    reasons: tuple[str, ...]
    unmet: tuple[Need, ...]
    runner_up: CatalogModel


class Catalog:
    """All models, in the order of their files."""

    def __init__(self, models: Sequence[CatalogModel], chooser: Chooser) -> None:
        self.models, self.chooser = tuple(models), chooser
        self._by_slug = {model.slug: model for model in models}
        self._by_name = {model.name.lower(): model for model in models}
        self._by_hub_id = {model.hub_id.lower(): model for model in models if model.hub_id}

    def get(self, slug: str) -> CatalogModel:
        """Return a model, or NotFound."""
        if slug not in self._by_slug:
            raise NotFound("The catalogue has no such model.", code="model_not_found")
        return self._by_slug[slug]

    def by_hub_id(self, hub_id: str) -> CatalogModel | None:
        """Return the model that the Hub knows so; its names do not tell capitals apart."""
        return self._by_hub_id.get(hub_id.lower())

    def named(self, name: str) -> CatalogModel | None:
        """Return the model that a person names so, by its Hub id, its slug, or what it is called; large letters and small are the same."""
        return self.by_hub_id(name) or self._by_slug.get(name.lower()) or self._by_name.get(name.lower())

    def asked(self, asked: Asked) -> list[CatalogModel]:
        """Return what was asked for, in the catalogue's order."""
        return [model for model in self.models if asked.fits(model)]

    def check(self, asked: Asked) -> None:
        """Raise Invalid for a licence or a language that no model has: an empty list would not say that it is a slip."""
        for param, given, known in (
            ("licence", asked.licence, sorted({model.licence.id for model in self.models})), ("language", asked.language, self.languages)
        ):  # fmt: skip
            if given and given.lower() not in {one.lower() for one in known}:
                raise Invalid(f"No model has the {param} {given[:60]!r}; there are {', '.join(known)}.", param=param)

    @property
    def languages(self) -> list[str]:
        """Every language that some maker names, by the alphabet."""
        return sorted({language for model in self.models for language in model.languages})

    @property
    def licences(self) -> list[Licence]:
        """Every licence in use, by name."""
        return sorted({model.licence.id: model.licence for model in self.models}.values(), key=lambda licence: licence.name)

    def choose(self, needs: Sequence[Need]) -> Choice:
        """Return the model that meets most of the needs, of several the one that stands first in most orders."""
        orders = {picks.need: picks for picks in self.chooser.picks if picks.need in needs}
        lists = [picks.models for picks in orders.values()] or [self.chooser.usual]
        ranked = sorted(dict.fromkeys(slug for slugs in lists for slug in slugs), key=lambda slug: _rank(slug, lists))
        first = self.get(ranked[0])
        second = next((self.get(slug) for slug in ranked[1:] if self.get(slug).family != first.family), self.get(ranked[1]))
        met = [picks for picks in orders.values() if first.slug in picks.models]
        reasons = tuple(picks.reason if self.get(picks.models[0]).family == first.family else picks.also for picks in met)
        unmet = tuple(need for need, picks in orders.items() if picks not in met)
        return Choice(first, reasons or (self.chooser.usual_reason,), unmet, second)


def _rank(slug: str, lists: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Return how many orders have a model not, and how far behind it stands in the others."""
    places = [slugs.index(slug) for slugs in lists if slug in slugs]
    return len(lists) - len(places), sum(places)


def assemble(families: Sequence[Family], licences: Sequence[Licence], chooser: Chooser) -> Catalog:
    """Return the catalogue that the files make together, or raise ValueError for a name in one that no other has."""
    known = {licence.id: licence for licence in licences}
    models = [model for family in families for model in _models(family, known)]
    slugs = [model.slug for model in models]
    twice = sorted({slug for slug in slugs if slugs.count(slug) > 1})
    named = {*chooser.usual, *(slug for picks in chooser.picks for slug in picks.models)}
    if twice:
        raise ValueError(f"{twice[0]!r} stands there twice")
    if named - set(slugs):
        raise ValueError(f"the chooser names {min(named - set(slugs))!r}, which is no model of the catalogue")
    return Catalog(models, chooser)


def _models(family: Family, licences: dict[str, Licence]) -> Iterator[CatalogModel]:
    entries = {entry.slug: entry for entry in family.models}
    for entry in family.models:
        licence = licences.get(entry.licence or family.licence)
        if licence is None:
            raise ValueError(f"{entry.slug} has the licence {entry.licence or family.licence!r}, which licences.toml does not have")
        if entry.same_as and entry.same_as not in entries:
            raise ValueError(f"{entry.slug} is to measure the same as {entry.same_as!r}, which its family does not have")
        measured = entries[entry.same_as] if entry.same_as else entry
        yield CatalogModel(
            slug=entry.slug, hub_id=entry.hub_id, name=entry.name, family=family.slug, family_title=family.title,
            family_superpower=family.superpower, maker=family.maker,
            address=family.address, licence=licence, architecture=_measures(measured),
            approximate_parameters=entry.approximate_parameters, size_note=entry.size_note, note=entry.note, source=measured.source,
            **{name: _either(entry, family, name) for name in INHERITED},
        )  # fmt: skip


def _measures(entry: Entry) -> Architecture | None:
    if entry.config is None:
        return None
    read = Architecture.from_config(entry.config)
    return read.model_copy(update={"exact": False, "gap": entry.gap}) if entry.gap else read


INHERITED = ("superpower", "use_when", "languages", "language_count", "modalities", "tasks", "chat_template", "gated", "thinks")
"""What a model has from its family unless it says otherwise."""


def _either(entry: Entry, family: Family, name: str) -> Any:
    said = getattr(entry, name)
    return getattr(family, name) if said is None else said
