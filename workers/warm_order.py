"""How a waiting trainer is given its run: a line of JSON behind its length, with open files beside it, on the pipe of its commands."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Sequence

LENGTH = struct.Struct("!I")
MOST_FILES = 8


class Order(BaseModel):
    """What a waiting trainer is told of its run; its open files are the log, the pipe for events, and what it is to keep open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arguments: list[str]
    folder: str
    environment: dict[str, str]


def send(pipe: socket.socket, order: Order, files: Sequence[int]) -> None:
    """Give an order; OSError when nobody is there to take it."""
    body = order.model_dump_json().encode()
    socket.send_fds(pipe, [LENGTH.pack(len(body))], files)
    pipe.sendall(body)


def receive(pipe: socket.socket) -> tuple[Order, list[int]] | None:
    """Wait for an order and its open files; None when the pipe ends without one. Nothing is read of what follows it."""
    head, files, *_ = socket.recv_fds(pipe, LENGTH.size, MOST_FILES, socket.MSG_WAITALL)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    body = pipe.recv(length, socket.MSG_WAITALL)
    return (Order.model_validate_json(body), files) if len(body) == length else None
