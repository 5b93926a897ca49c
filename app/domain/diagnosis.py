"""What a failed run means to people: what happened, why, what to do, and the changes of settings with which it can be launched again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.domain.base_models import is_hub_id
from app.domain.specs import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FAILURE = "failure"
"""Under this name a run's facts keep the figures that came with its last failure."""
DISK_FULL, STORAGE = "disk_full", "storage"
RESUMABLE = {DISK_FULL: "Free some space there, then resume the run.", STORAGE: "See to the disk, then resume the run."}
"""Failures that are no end, and what to do: nothing is lost, and the run waits until its disk takes what it writes."""
LOADING = "loading the base model"
LEAST_LENGTH, LENGTH_STEP, LEAST_RANK = 16, 16, 8
GENTLE_NORM = 0.3


@dataclass(frozen=True)
class Fix:
    """A change of settings that may help: a button that launches a clone of the run with it."""

    id: str
    label: str
    help: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    """Where to look: an address of the studio's, or of the Hub's."""

    label: str
    href: str


@dataclass(frozen=True)
class Diagnosis:
    """A failure explained."""

    code: str
    what: str
    why: str
    todo: str
    fixes: tuple[Fix, ...] = ()
    see: Link | None = None


@dataclass(frozen=True)
class Case:
    """What is known of a failed run."""

    code: str
    reason: str
    settings: TrainingSettings
    base_model: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    dataset_id: str | None = None

    @property
    def failure(self) -> Mapping[str, Any]:
        """The figures that came with the failure."""
        found: Mapping[str, Any] = self.facts.get(FAILURE) or {}
        return found

    @property
    def phase(self) -> str:
        """What was being done."""
        return str(self.failure.get("while", ""))


DISK_CAUSES = "Causes are a disk that fails, a network folder that is away, or missing rights."
AGAIN = Fix("again", "Run it again as it is", "Nothing is changed: for when the cause is gone.")


def diagnose(case: Case) -> Diagnosis:
    """Explain a failure; of a code nobody knows its own words are told."""
    return KNOWN.get(case.code, _unknown)(case)


def what_happened(code: str | None, reason: str) -> str:
    """Return a failure in a few words, for lists."""
    known = KNOWN.get(code or "")
    return known(Case(code or "", reason, TrainingSettings(), "")).what if known else reason


def _out_of_memory_gpu(case: Case) -> Diagnosis:
    why = f"{_when(case)}{_one_row(case)}Causes are a large base, long rows, or another program on the same GPU."
    return _out_of_memory(case, "The GPU's memory ran out.", why)


def _out_of_memory_host(case: Case) -> Diagnosis:
    why = f"{_when(case)}{_one_row(case)}Causes are a large base, long rows, or another program that took the memory."
    return _out_of_memory(case, "The machine's memory ran out.", why)


def _out_of_memory(case: Case, what: str, why: str) -> Diagnosis:
    fixes = tuple(_smaller(case))
    todo = "Launch it again with less to hold at once." if fixes else "Choose a smaller base model, or a machine with more memory."
    return Diagnosis(case.code, what, why, todo, (*fixes, AGAIN))


def _when(case: Case) -> str:
    return f"It happened while {case.phase}. " if case.phase else ""


def _one_row(case: Case) -> str:
    if case.failure.get("rows_at_once") != 1:
        return ""
    return f"Not even one row of {case.failure.get('tokens_at_once', 0):,} tokens fits. "


def _smaller(case: Case) -> list[Fix]:
    """Return what needs less memory, the harmless first; what cannot help any more is not offered."""
    settings, fixes = case.settings, []
    loading = case.phase == LOADING
    if settings.micro_batch_size != 1 and case.failure.get("rows_at_once") != 1 and not loading:
        fixes.append(Fix("one_row", "Compute one row at a time", "Slower; the result is the same.", {"micro_batch_size": 1}))
    if settings.tuning == "full":
        fixes.extend(_less_than_full(settings))
    if settings.tuning == "lora":
        words = "Holds the base in 4 bits: about a quarter of its memory, a little less exact."
        fixes.append(Fix("qlora", "Train with QLoRA", words, {"tuning": "qlora"}))
    # The longest row as it is read, cut or not; a run that never got so far has none.
    longest = min(case.facts.get("longest_row", 0), settings.max_length)
    shorter = max(LEAST_LENGTH, -(-longest // 2 // LENGTH_STEP) * LENGTH_STEP)
    if shorter < longest and not loading:
        words = f"Rows are read up to {longest:,} tokens now; what is beyond {shorter:,} is not learned."
        fixes.append(Fix("shorter", f"Cut rows at {shorter:,} tokens", words, {"max_length": shorter}))
    if settings.rank > LEAST_RANK and settings.tuning != "full" and not loading:
        rank = max(LEAST_RANK, settings.rank // 2)
        words = "A smaller adapter, which learns less."
        fixes.append(Fix("lower_rank", f"Lower the rank to {rank}", words, {"rank": rank, "alpha": "auto"}))
    return fixes


def _less_than_full(settings: TrainingSettings) -> Iterator[Fix]:
    words = "Trains a small adapter beside the frozen base: about a quarter of the memory, and on most data as good."
    yield Fix("adapter", "Train with LoRA", words, {"tuning": "lora", "learning_rate": "auto"})
    if settings.optimiser in {"auto", "adamw"}:
        words = "Keeps what the optimiser remembers of each weight in 2 bytes, not in 8."
        yield Fix("adamw_8bit", "Take the 8-bit optimiser", words, {"optimiser": "adamw_8bit"})


def _disk_full(case: Case) -> Diagnosis:
    return _resumable(case, "A disk is full.")


def _storage(case: Case) -> Diagnosis:
    return _resumable(case, "A file could not be read or written.", causes=DISK_CAUSES)


def _resumable(case: Case, what: str, *, causes: str = "") -> Diagnosis:
    advice = RESUMABLE[case.code]
    why = f"{case.reason.removesuffix(advice).strip()} {causes}".strip()
    return Diagnosis(case.code, what, why, f"{advice} It goes on from its newest checkpoint; nothing that was saved is lost.")


def _diverged(case: Case) -> Diagnosis:
    why = f"{case.reason} Causes are a learning rate that is too high for this base, or rows unlike the others."
    fixes = []
    rate = case.settings.learning_rate
    if rate != "auto":
        for name, part in (("slower", 3), ("much_slower", 10)):
            new, words = float(f"{rate / part:.2g}"), f"A {'third' if part == 3 else 'tenth'} of {rate:g}."  # noqa: PLR2004
            fixes.append(Fix(name, f"Lower the learning rate to {new:g}", words, {"learning_rate": new}))
    if case.settings.max_grad_norm > GENTLE_NORM:
        words = "Weakens what pulls at the adapter hardest."
        fixes.append(Fix("gentler", f"Clip gradients at {GENTLE_NORM:g}", words, {"max_grad_norm": GENTLE_NORM}))
    todo = "Launch it again with smaller steps, or look at the rows it names."
    return Diagnosis(case.code, "The training lost its way.", why, todo, tuple(fixes), _rows(case))


def _no_trained_tokens(case: Case) -> Diagnosis:
    longest, context = case.failure.get("longest_row", 0), case.failure.get("context")
    fixes: tuple[Fix, ...] = ()
    todo = "Shorten the prompts, or choose a base that reads more tokens."
    fits = context is None or longest <= context
    if longest and fits and longest <= case.settings.max_length:
        todo = "Look at the rows: none has an answer to learn."
    elif longest and fits:
        fixes = (
            Fix("longer", f"Read {longest:,} tokens", "As many as the longest row has; it takes more memory.", {"max_length": longest}),
        )
        todo = "Have it read more of each row, or shorten the prompts."
    return Diagnosis(case.code, "No row holds anything to learn.", case.reason, todo, fixes, _rows(case))


WHAT_WOULD_BE_LEARNT = {
    "no_trained_tokens": "No row holds anything to learn.",
    "answers_cut": "The answers are cut away.",
    "never_stops": "The model would never learn to stop.",
    "doubled_bos": "The rows begin twice.",
    "other_template": "The rows are written for another model.",
    "trained_prompt": "The model would learn the questions.",
    "template_error": "The base's chat template cannot write these rows.",
}
"""The faults of a preflight, which a run finds before its first step when nobody could look before its launch."""


def _fault(case: Case) -> Diagnosis:
    """Explain what is wrong with the rows as they would be learnt, in the words of the preflight."""
    told = next((fault for fault in case.failure.get("faults") or () if fault["code"] == case.code), None)
    if told is None:
        return _no_trained_tokens(case) if case.code == "no_trained_tokens" else _template(case)
    fixes = tuple(Fix(fix["id"], fix["label"], fix["help"], fix["settings"]) for fix in told["fixes"])
    todo = "Launch it again with a change, or mend the rows." if fixes else "Look at the rows, or choose another base."
    return Diagnosis(case.code, WHAT_WOULD_BE_LEARNT[case.code], f"{told['sentence']} {told['why']}", todo, fixes, _rows(case))


def _template(case: Case) -> Diagnosis:
    why = f"{case.reason} Causes are a template that takes no system message, wants strict turns, or marks no end of an answer."
    todo = "Choose another base, or map the dataset's columns without what the template refuses."
    return Diagnosis(case.code, "The base's chat template cannot write these rows.", why, todo, see=_rows(case))


def _bad_rows(case: Case) -> Diagnosis:
    return Diagnosis(case.code, "The rows could not be read.", case.reason, "Look at the dataset, and upload it again.", see=_rows(case))


def _rows(case: Case) -> Link | None:
    """Return where the rows are shown, from the first one that was named."""
    if case.dataset_id is None:
        return None
    first = next(iter(case.failure.get("rows") or ()), 1)
    return Link("Look at the rows", f"/datasets/{case.dataset_id}" + (f"?after={first - 2}" if first > 1 else ""))


def _unknown_model(case: Case) -> Diagnosis:
    todo = "See that its name is spelled as on the Hub; for a private one the worker needs HF_TOKEN. Or choose a base of this machine."
    return Diagnosis(case.code, "The base model was not found.", case.reason, todo, (AGAIN,), _on_the_hub(case))


def _gated_model(case: Case) -> Diagnosis:
    todo = "Open its page and accept its terms, store a token of that account under Settings, download it, then launch the run again."
    return Diagnosis(case.code, "The base model is gated.", case.reason, todo, (AGAIN,), _on_the_hub(case))


def _hub_unreachable(case: Case) -> Diagnosis:
    todo = "See that the worker reaches the Hub, then launch the run again. Or choose a base of this machine."
    return Diagnosis(case.code, "The base model could not be fetched.", case.reason, todo, (AGAIN,))


def _on_the_hub(case: Case) -> Link | None:
    name = case.base_model
    return Link("Its page on the Hub", f"https://huggingface.co/{name}") if is_hub_id(name) else None


def _unusable_model(case: Case) -> Diagnosis:
    return Diagnosis(case.code, "This base model cannot be trained here.", case.reason, "Choose another base in a new run like this one.")


def _not_quantisable(case: Case) -> Diagnosis:
    fix = Fix("lora", "Train with LoRA", "Holds the base as it is, in about four times the memory.", {"tuning": "lora"})
    todo = "Train it with LoRA, or choose another base."
    return Diagnosis(case.code, "This base cannot be held in four bits.", case.reason, todo, (fix,))


def _no_gpu(case: Case) -> Diagnosis:
    fix = Fix("any_device", "Train on any device", "On a CPU it takes longer.", {"device": "auto"})
    return Diagnosis(
        case.code, "The worker has no GPU that can be used.", case.reason, "Start a worker with a GPU, or let a CPU train.", (fix,)
    )


def _gpu_driver(case: Case) -> Diagnosis:
    why = f"{case.reason} Causes are a driver older than this build of torch, a GPU that has hung, or one that fails."
    todo = "Look at nvidia-smi and the kernel's log on the worker's machine; after a driver's update or a restart launch it again."
    fix = Fix("cpu", "Train on the CPU", "It takes much longer.", {"device": "cpu"})
    return Diagnosis(case.code, "The GPU or its driver failed.", why, todo, (AGAIN, fix))


def _crash_loop(case: Case) -> Diagnosis:
    why = f"{case.reason} Causes are memory that ran out, a machine that restarts, or a fault in a library."
    fixes = [fix for fix in _smaller(case) if fix.id == "one_row"]
    return Diagnosis(case.code, "The trainer died again and again.", why, "Look at the log's end, then launch it again.", (AGAIN, *fixes))


def _lost(case: Case) -> Diagnosis:
    why = f"{case.reason} Causes are a machine that goes down or sleeps, memory that ran out, or a network that fails."
    todo = "See that the worker's machine stays up and reaches the database, then launch it again."
    return Diagnosis(case.code, "Its worker was lost again and again.", why, todo, (AGAIN,))


def _stalled(case: Case) -> Diagnosis:
    why = f"{case.reason} Causes are a disk or network folder that does not answer, a GPU that has hung, or a machine that is overloaded."
    return Diagnosis(case.code, "The trainer hung.", why, "See that the worker's machine is well, then launch it again.", (AGAIN,))


def _disk(case: Case) -> Diagnosis:
    todo = "See to the disk, then launch the run again."
    return Diagnosis(case.code, "A file could not be read or written.", f"{case.reason} {DISK_CAUSES}", todo, (AGAIN,))


def _checkpoint(case: Case) -> Diagnosis:
    return Diagnosis(case.code, "Its checkpoint cannot be used.", case.reason, "Launch it again: it begins at the first step.", (AGAIN,))


def _unknown(case: Case) -> Diagnosis:
    why = case.reason or "It told no reason."
    return Diagnosis(
        case.code, "The trainer failed.", why, "The log's end says more. If it happens again, report it with the log.", (AGAIN,)
    )


KNOWN: dict[str, Callable[[Case], Diagnosis]] = {
    "out_of_memory_gpu": _out_of_memory_gpu,
    "out_of_memory_host": _out_of_memory_host,
    DISK_FULL: _disk_full,
    "diverged": _diverged,
    **dict.fromkeys(WHAT_WOULD_BE_LEARNT, _fault),
    "no_end_of_turn": _template,
    **dict.fromkeys(("empty_dataset", "no_such_dataset", "unreadable_dataset", "no_rows", "file_missing", "file_damaged"), _bad_rows),
    "unknown_model": _unknown_model,
    "gated_model": _gated_model,
    "hub_unreachable": _hub_unreachable,
    **dict.fromkeys(("unknown_architecture", "unsafe_format", "remote_code", "incomplete"), _unusable_model),
    "not_quantisable": _not_quantisable,
    "no_gpu": _no_gpu,
    "gpu_driver": _gpu_driver,
    "worker_crash_loop": _crash_loop,
    "worker_lost": _lost,
    "stalled": _stalled,
    STORAGE: _storage,
    "disk": _disk,
    **dict.fromkeys(("checkpoint_broken", "checkpoint_of_another_run"), _checkpoint),
}
"""Every code a run can fail with that has words of its own; `internal` and `unusable_spec` have none."""
