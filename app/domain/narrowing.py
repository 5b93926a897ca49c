"""Is a task narrow enough to be learnt? What its sentence shows, and how others put theirs, well and badly."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from app.domain.goals import Output
from app.domain.guide import Goal


class Flaw(StrEnum):
    """What keeps a task from being narrow."""

    TOO_SHORT = "too_short"
    TOO_BROAD = "too_broad"
    TWO_TASKS = "two_tasks"
    NO_INPUT = "no_input"
    NO_OUTPUT = "no_output"
    NEWS = "news"


class Hint(NamedTuple):
    """A flaw in words, with the words of the sentence that show it, and what to do."""

    flaw: Flaw
    title: str
    why: str


class Pair(NamedTuple):
    """The same wish, put too widely and narrowly."""

    bad: str
    good: str


FEWEST_WORDS = 4
BROAD = re.compile(
    r"\b(chat ?bots?|bots?|assistants?|agents?|everything|anything|all (?:our|the|kinds of) \w+|any (?:kind|question|task)s?(?: of)?|"
    r"general|know(?:s|ing)? (?:our|the|everything|all)|be (?:smart|helpful|good)|help (?:our )?\w+|handle \w+|"
    r"support (?:our )?(?:customers|users))\b",
    re.IGNORECASE,
)
DOES = (
    "answer", "write", "translate", "summari[sz]e", "classify", "label", "reply", "route", "extract", "mask", "rewrite", "draft", "suggest",
    "send", "book", "search", "explain", "generate", "create", "detect", "complete", "fix", "review", "plan", "recommend", "schedule",
)  # fmt: skip
DOING = rf"(?:{'|'.join(DOES)})(?:s|es|ing)?"
TWICE = re.compile(rf"\b(?:and|then|as well as|plus|also)\s+(?:also\s+|then\s+)?{DOING}\b", re.IGNORECASE)
ARROW = re.compile(r"→|->|=>|\bin(?:put)?\b.*\bout(?:put)?\b|\b(?:in)?to\b|\bas\b|\bfrom\b|\bwith\b|\bby\b", re.IGNORECASE)
MADE = (
    "json", "csv", "xml", "yaml", "sql", "labels?", "categor(?:y|ies)", "class(?:es)?", "intents?", "urgency", "sentiment", "score",
    "yes or no", "list", "table", "fields?", "summar(?:y|ies)", "sentences?", "words", "lines?", "paragraphs?", "bullet", "title",
    "subject", "repl(?:y|ies)", "answers?", "translation", "english", "german", "french", "spanish", "masked", "tags?", "placeholders?",
    "code", "function", "query", "command", "number", "date", "name", "departments?", "topics?", "queues?", "voice", "tone", "style",
)  # fmt: skip
OUTPUT = re.compile(rf"\b(?:{'|'.join(MADE)})\b|\[[A-Z]+\]", re.IGNORECASE)
TAKEN = (
    "e-?mails?", "mails?", "messages?", "tickets?", "questions?", "texts?", "documents?", "reports?", "notes?", "reviews?", "comments?",
    "chats?", "calls?", "transcripts?", "invoices?", "receipts?", "contracts?", "forms?", "requests?", "complaints?", "letters?", "posts?",
    "articles?", "descriptions?", "products?", "facts?", "records?", "logs?", "tables?", "functions?", "code", "files?", "lines?", "prefix",
    "sentences?", "paragraphs?", "pages?", "minutes", "headlines?", "addresses", "orders?", "cv", "r[ée]sum[ée]s?", "data", "cursor",
)  # fmt: skip
INPUT = re.compile(rf"\b(?:{'|'.join(TAKEN)})\b", re.IGNORECASE)
LATELY = re.compile(
    r"\b(yesterday|today|tonight|tomorrow|latest|current(?:ly)?|recent(?:ly)?|news|live|right now|up[- ]to[- ]date|"
    r"this (?:week|month|year)|in stock|stock prices?|weather)\b",
    re.IGNORECASE,
)


def hints(task: str, output: Output | None = None) -> list[Hint]:
    """Return what keeps a task from being narrow, the gravest first; nothing where none was written down."""
    task = task.strip()
    if not task:
        return []
    if len(re.findall(r"\w+", task)) < FEWEST_WORDS:
        short = Hint(Flaw.TOO_SHORT, "Too short to tell", "Say in one sentence what comes in and what goes out.")
        found = [short, _broad(task)]
    else:
        found = [_broad(task), _twice(task), _lately(task), _no_input(task), None if output else _no_output(task)]
    return [hint for hint in found if hint]


def _said(what: re.Pattern[str], task: str, flaw: Flaw, title: str, why: str) -> Hint | None:
    """Return the hint on what a task says of such a kind, its words before the reason; None where it says nothing of it."""
    found = what.search(task)
    return Hint(flaw, title, f"“{found[0].strip()}” {why}") if found else None


def _broad(task: str) -> Hint | None:
    why = "has no end, so nobody can say when an answer is right. Name the one thing that it does most often."
    return _said(BROAD, task, Flaw.TOO_BROAD, "Too broad", why)


def _twice(task: str) -> Hint | None:
    why = "is a second task. Tune one model for each, or begin with the one that matters more."
    return _said(TWICE, task, Flaw.TWO_TASKS, "Two tasks in one", why)


def _lately(task: str) -> Hint | None:
    why = "changes after training. Put it into the question, looked up, and let the model use it."
    return _said(LATELY, task, Flaw.NEWS, "Facts that change", why)


def _no_input(task: str) -> Hint | None:
    if INPUT.search(task) or ARROW.search(task):
        return None
    return Hint(Flaw.NO_INPUT, "No input named", "Say what comes in: an e-mail, a question with its facts, a function up to the cursor.")


def _no_output(task: str) -> Hint | None:
    if OUTPUT.search(task):
        return None
    return Hint(Flaw.NO_OUTPUT, "No output named", "Say what an answer is: one label of six, JSON with two fields, two sentences.")


PAIRS: dict[Goal, tuple[Pair, ...]] = {
    Goal.FORMAT: (
        Pair("A support bot", "Support e-mail into JSON with intent and urgency"),
        Pair("Understand our invoices", "Text of an invoice into JSON: number, date, total, currency"),
    ),
    Goal.STYLE: (
        Pair("Sound like us", "A customer's question with its facts into two sentences in our shop's voice"),
        Pair("Write better texts", "Bullet points of a product into a description of 60 words, no superlatives"),
    ),
    Goal.DOMAIN: (
        Pair("Know everything about insurance", "A claim's description into the clause that covers it, by its number"),
        Pair("A medical assistant", "A ward's shorthand note into a full sentence with abbreviations written out"),
    ),
    Goal.REPLACE: (
        Pair("Replace the big model everywhere", "The ticket prompt alone: ticket into one of our 14 queues"),
        Pair("Be as good as a 70 B", "Product review into a sentiment label, as the large model labels it now"),
    ),
    Goal.MASK: (
        Pair("Make our texts private", "A message into the same message with names, e-mails and IDs as [NAME], [EMAIL], [ID]"),
        Pair("Anonymise everything", "A call note into the same note with people and account numbers masked, all else untouched"),
    ),
    Goal.CODE: (
        Pair("A coding assistant", "Code before and after the cursor into the missing lines, in our Python style"),
        Pair("Write our programs", "A comment and a table's columns into one SQL query"),
    ),
    Goal.DISTIL: (
        Pair("A small copy of the large model", "Meeting notes into a summary of two sentences, as the large model writes it"),
        Pair("Teach it all the teacher knows", "A question with three passages into an answer that cites one of them"),
    ),
}
"""For each goal, how a task is put too widely, and how narrowly."""
