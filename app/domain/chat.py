"""What is asked of a model in a chat: OpenAI's request, read alike by the web and by the inference server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from app.domain.errors import Invalid

MAX_CHOICES = 16
MAX_STOPS = 4
TURN_ROLES = {"developer": "system"}
"""OpenAI's newer word for instructions; templates know only the older one."""
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "tools": ([],),
    "functions": ([],),
    "logprobs": (False,),
    "logit_bias": ({},),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "response_format": ({"type": "text"},),
    "audio": (),
}
"""Fields that would change the answer and are not done yet, with the values that ask for nothing; silence would be a lie."""


class TextPart(BaseModel):
    """One piece of a message's content."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn, with its content as text or as text parts."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def turn(self) -> dict[str, str]:
        """Return the message as chat templates want it: a known role and plain text."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": TURN_ROLES.get(self.role, self.role), "content": text}


class StreamOptions(BaseModel):
    """What a stream carries besides text."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """The body of POST /v1/chat/completions; fields it does not know are ignored, as OpenAI's own server does."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    model: str = Field(min_length=1, description="A base model's id, or a tuned model's name.", examples=["hone-starter"])
    messages: list[ChatMessage] = Field(min_length=1, examples=[[{"role": "user", "content": "Where is my order?"}]])
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(None, description="The older name of max_completion_tokens.")
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = Field(None, description="Longest answer in tokens.")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="0 always takes the likeliest token.")
    top_p: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="Sample only from this much of the likelihood.")
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = Field(None, description="The same seed gives the same answer.")
    stop: str | list[str] | None = Field(None, description="Up to four texts at which the answer ends; they are not part of it.")
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = Field(None, description="How many answers.")
    stream: bool | None = Field(None, description="Send the answer piece by piece as server-sent events.")
    stream_options: StreamOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _nothing_unsupported(cls, given: Any) -> Any:
        for name, idle in UNSUPPORTED.items() if isinstance(given, dict) else ():
            if given.get(name) is not None and given[name] not in idle:
                message = f"{name} is not supported here yet; leave it out."
                raise Invalid(message, param=name, code="unsupported_parameter")
        return given

    @field_validator("stop")
    @classmethod
    def _stops_are_few_and_not_empty(cls, stop: str | list[str] | None) -> str | list[str] | None:
        stops = [stop] if isinstance(stop, str) else stop or []
        if len(stops) > MAX_STOPS or not all(stops):
            message = f"stop takes up to {MAX_STOPS} texts, none of them empty"
            raise ValueError(message)
        return stop

    @model_validator(mode="after")
    def _options_belong_to_a_stream(self) -> ChatRequest:
        if self.stream_options is not None and not self.stream:
            message = "stream_options is only allowed when stream is true."
            raise Invalid(message, param="stream_options")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts at which an answer ends."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def token_limit(self) -> int | None:
        """The longest answer asked for, by either name."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk that counts tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def turns(self) -> list[dict[str, str]]:
        """Return the conversation as chat templates want it."""
        return [message.turn() for message in self.messages]


def invalid_field(errors: list[Any]) -> Invalid:
    """Return one sentence for pydantic's list of errors, naming the first field at fault as OpenAI does (`messages.0.role`).

    A union reports each branch; the branch's name (`str`, `list[TextPart]`) is left out of the path.
    """
    first = errors[0]
    if first["type"] == "json_invalid":
        return Invalid("The body is not valid JSON.", code="invalid_json")
    path = [str(part) for part in first["loc"] if part != "body" and not str(part).startswith(("str", "list[", "function-"))]
    param = ".".join(path) or None
    code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
    message = f"{param}: {first['msg']}." if param else f"{first['msg']}."
    return Invalid(message, param=param, code=code)
