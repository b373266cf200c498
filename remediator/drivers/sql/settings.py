"""What the inventory says of a setting: one statement that reads it, one that writes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from sqlalchemy import text

from catalog.model import Frozen


def _parameters(statement: str) -> set[str]:
    return set(text(statement).compile().params)


def _one(statement: str) -> str:
    bare = statement.strip().removesuffix(";").strip()
    if not bare or ";" in bare:
        raise ValueError("exactly one statement is expected")
    return bare


def _reading(statement: str) -> str:
    bare = _one(statement)
    if _parameters(bare):
        raise ValueError("the reading statement takes no parameter")
    return bare


def _writing(statement: str) -> str:
    bare = _one(statement)
    if _parameters(bare) != {"value"}:
        raise ValueError("the writing statement takes exactly one parameter, :value")
    return bare


class Throttle(Frozen):
    """A number that limits something; less is slower."""

    read: Annotated[str, AfterValidator(_reading)]
    write: Annotated[str, AfterValidator(_writing)]
    min: float = Field(default=1, ge=0)
    """Never below this."""


class Pause(Frozen):
    """A switch."""

    read: Annotated[str, AfterValidator(_reading)]
    write: Annotated[str, AfterValidator(_writing)]
    paused: int | str = 1
    running: int | str = 0


class Settings(Frozen):
    throttle: Throttle | None = None
    pause: Pause | None = None
