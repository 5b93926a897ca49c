"""Devices that work is done on, and whose memory is held by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FACT = "devices"
"""Under this name a worker's sign of life carries its devices."""
Bytes = Annotated[int, Field(ge=0)]


class Disk(BaseModel):
    """The disk that a worker keeps its runs on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    total_bytes: Bytes
    free_bytes: Bytes

    @property
    def used(self) -> int:
        """What is taken, or kept for the system alone."""
        return max(0, self.total_bytes - self.free_bytes)


class Device(BaseModel):
    """A GPU, or a machine's processor with its memory, as a worker saw it at its last sign of life."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(max_length=200, examples=["NVIDIA L4"])
    kind: Literal["gpu", "cpu"]
    uuid: str | None = Field(None, max_length=100, description="What the driver knows a GPU by.")
    total_bytes: Bytes
    used_bytes: Bytes = Field(description="Held by anybody.")
    ours_bytes: Bytes | None = Field(None, description="Of that, held by this worker and what it runs; null where the driver does not say.")
    utilisation: float | None = Field(None, ge=0, le=1, description="How busy it is, 0 to 1; null where nobody counts.")
    temperature_c: float | None = Field(None, description="How warm a GPU is; null where the driver does not say, as of all that follows.")
    power_watts: float | None = Field(None, ge=0, description="What a GPU draws.")
    power_limit_watts: float | None = Field(None, ge=0, description="What it may draw.")
    processor: str | None = Field(None, max_length=200, description="What a machine's processor is called.", examples=["AMD EPYC 7B13"])
    cores: int | None = Field(None, ge=1, description="How many programs a machine's processor runs at once.")
    disk: Disk | None = Field(None, description="The disk of a machine that runs are kept on.")

    @property
    def held_by_us(self) -> int:
        """What this worker holds, at most what is used at all."""
        return min(self.ours_bytes or 0, self.held)

    @property
    def held_by_others(self) -> int:
        """What everybody else holds; all of it where the driver does not say whose it is."""
        return self.held - self.held_by_us

    @property
    def held(self) -> int:
        """What is used, at most what there is."""
        return min(self.used_bytes, self.total_bytes)

    @property
    def free(self) -> int:
        """What nobody holds."""
        return self.total_bytes - self.held


_devices: TypeAdapter[list[Device]] = TypeAdapter(list[Device])


def as_facts(devices: Iterable[Device]) -> dict[str, Any]:
    """Return devices as a sign of life carries them."""
    return {FACT: [device.model_dump(mode="json") for device in devices]}


def from_facts(facts: Mapping[str, Any]) -> list[Device]:
    """Return the devices of a sign of life; none of a worker that is too old to tell, or tells something else."""
    try:
        return _devices.validate_python(facts.get(FACT, []))
    except ValidationError:
        return []
