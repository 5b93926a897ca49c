"""The new-run form priced: what the run that it describes will take here and elsewhere, and each preset beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from app.domain.estimates import estimate
from app.domain.guide import NEEDED, advise
from app.domain.specs import setting_label
from app.services.estimates import Estimates, as_seen, assumed_lengths, work_of
from app.services.goals import Goals
from app.web import estimate_view
from app.web.desk_view import goal_of
from app.web.estimate_view import Offer, Planned, Priced

if TYPE_CHECKING:
    from app.db import DatasetVersion
    from app.domain.architectures import Architecture
    from app.domain.packs import Work
    from app.domain.preflight import Preflight
    from app.domain.specs import TrainingSettings
    from app.web.new_run import Draft
    from app.web.preflight_view import Seen
    from app.web.visit import Visit

DECIDED_THERE = ("precision", "micro_batch_size", "gradient_checkpointing", "optimiser")
"""Settings that the worker decides where they are left at auto."""
UNKNOWN = "What {base} takes is not known: its measures are read from its own config.json once it is here, or on its way here."
WORRYING = {"wait", "bad"}


@dataclass(frozen=True)
class _Rows:
    """What is known of the rows that a run learns from, whatever its settings."""

    version: DatasetVersion
    count: int
    looked: Preflight | None

    def planned(self, arch: Architecture, settings: TrainingSettings) -> Planned:
        """Return a run over them."""
        work = work_of(self.version, settings, self.count)
        return Planned(arch, settings, as_seen(work, self.looked) if self.looked else work)

    def lengths(self, work: Work) -> str:
        """Return where their lengths are known from, in a sentence."""
        if self.looked:
            return "Lengths of rows as this base's own tokenizer and template have them."
        counted = "Lengths of rows as they were counted when the dataset was looked at, with the bundled tokenizer."
        return assumed_lengths(self.version, work) or counted


def price(visit: Visit, draft: Draft, seen: Seen | None) -> Priced:
    """Return what the run takes as far as the form says what it is; `seen` is a look at its rows that is known already."""
    version = draft.dataset.version if draft.dataset else None
    if draft.spec is None or draft.base is None or draft.dataset is None or version is None:
        return Priced()
    arch = visit.studio.measures(visit.session, visit.identity, draft.base.name)
    if arch is None:
        return Priced(why_not=UNKNOWN.format(base=draft.base.name), look_up=f"/models/hub/look?{urlencode({'repo': draft.base.name})}")
    if never := arch.refusal(draft.spec.settings.tuning):
        return Priced(why_not=never)
    rows = _Rows(version, draft.training_rows, seen.preflight if seen else None)
    planned = rows.planned(arch, draft.spec.settings)
    service = Estimates(visit.session)
    prices = service.prices(visit.identity)
    # Who follows a link that mends something keeps what was looked at.
    values = draft.form.values | ({"looked": key} if (key := visit.request.query_params.get("looked")) else {})
    found = estimate_view.shown(planned, service.targets(visit.identity), prices, values)
    if found.here is None:
        return found
    target = found.here.target
    presets = {
        preset: Offer(estimate(*rows.planned(arch, settings), target, prices), prices.currency)
        for preset, settings in estimate_view.preset_settings(draft.form.values, planned, draft.base.parameters).items()
    }
    goal = Goals(visit.session).answers(visit.identity).what or goal_of(draft.dataset)
    advice = advise(goal, version.rows)
    few = f"{NEEDED[goal].title}: {advice.sentence}" if advice.tone in WORRYING else ""
    assumed = [rows.lengths(planned.work), *_assumed(draft.spec.settings)]
    return replace(found, presets=presets, assumed=assumed, few=few)


def _assumed(settings: TrainingSettings) -> list[str]:
    """Return in sentences what the figures stand on beside settings and rows."""
    left = [setting_label(name).lower() for name in DECIDED_THERE if getattr(settings, name) == "auto"]
    decided = f"Left at auto, and taken as a worker there would decide: {', '.join(left)}." if left else ""
    return [decided] if decided else []
