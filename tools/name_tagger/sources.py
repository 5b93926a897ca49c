"""Names as they were counted or collected: the US census of 1990 and the lists of many countries.

The census is in the public domain (the package `names` carries it); the countries' lists are Faker's (MIT). Some countries are
left out on purpose, so that there are real names which the shipped lists do not know: how well they are found says what
happens with a name never seen.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

LEFT_OUT = ("is_IS", "sk_SK", "lv_LV", "et_EE", "ro_RO", "yo_NG", "ig_NG")
"""Countries whose names are in no list."""
TAUGHT = (
    "cs_CZ", "da_DK", "de_AT", "de_CH", "de_DE", "en_GB", "en_IE", "en_IN", "en_KE", "en_NZ", "en_PK", "en_US", "es_AR", "es_CL", "es_CO",
    "es_ES", "es_MX", "fi_FI", "fr_BE", "fr_CA", "fr_CH", "fr_DZ", "fr_FR", "ga_IE", "ha_NG", "hr_HR", "hu_HU", "id_ID", "it_IT", "lt_LT",
    "nl_BE", "nl_NL", "no_NO", "pl_PL", "pt_BR", "pt_PT", "sl_SI", "sv_SE", "tr_TR", "tw_GH", "uz_UZ", "vi_VN", "zu_ZA", "el_GR", "ru_RU",
    "uk_UA", "bg_BG",
)  # fmt: skip
"""Countries whose names are learnt from."""


class Names(NamedTuple):
    """First and last names of one country, or of all of them."""

    first: list[str]
    last: list[str]


@cache
def country_names(locale: str) -> Names:
    """Return the names that Faker has for a country."""
    provider: Any = importlib.import_module(f"faker.providers.person.{locale}").Provider
    return Names(_strings(provider, "first_name"), _strings(provider, "last_name"))


def _strings(provider: Any, prefix: str) -> list[str]:
    lists = (getattr(provider, name) for name in dir(provider) if name.startswith(prefix))
    return sorted({str(each).strip() for one in lists if isinstance(one, tuple | list | dict) for each in one if str(each).strip()})


@cache
def census() -> Names:
    """Return the names of the US census, the most frequent first."""
    folder = files("names")
    first = Counter[str]()
    for part in ("dist.male.first", "dist.female.first"):
        first.update({name: int(float(share) * 1000) for name, share in _rows(folder.joinpath(part).read_text())})
    return Names([name for name, _ in first.most_common()], [name for name, _ in _rows(folder.joinpath("dist.all.last").read_text())])


def _rows(text: str) -> Iterable[tuple[str, str]]:
    return ((fields[0].capitalize(), fields[1]) for line in text.splitlines() if (fields := line.split()))
