"""What may be reached outside, as the settings page shows it: the Hub and outside models; no key is ever drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from app.domain.connections import OutsideModel
from app.domain.errors import Invalid
from app.web.forms import Form, messages_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.db import Connection
    from app.domain.ports import ModelHub
    from app.web.visit import Visit

FIELDS = frozenset({"name", "url", "model", "key", "token"})
OF_THE_HUB = "token"


@dataclass(frozen=True)
class Connected:
    """What the panel draws."""

    hub: ModelHub
    stored: Connection | None
    outside: Sequence[Connection]
    token_form: Form
    model_form: Form


def connected(visit: Visit, form: Form | None = None) -> Connected:
    """Return the project's connections; `form` is one that was refused."""
    connections, refused = visit.studio.connections(visit.session), form or Form()
    of_hub = OF_THE_HUB in refused.errors
    return Connected(
        visit.studio.hub, connections.hub(visit.identity), connections.outside(visit.identity),
        token_form=refused if of_hub else Form(), model_form=Form() if of_hub else refused,
    )  # fmt: skip


def outside_model(fields: Mapping[str, str]) -> OutsideModel:
    """Return the model that a form names; Invalid for the first field that is wrong, in words that do not hold the key."""
    try:
        return OutsideModel.model_validate({name: fields.get(name, "") for name in ("name", "url", "model", "key")})
    except ValidationError as error:
        name, message = next(iter(messages_of(error).items()))
        raise Invalid(message, param=name) from None


def without_keys(fields: Mapping[str, str]) -> dict[str, str]:
    """Return what was typed, to be shown again, but no key."""
    return {name: value for name, value in fields.items() if name not in {"key", "token"}}
