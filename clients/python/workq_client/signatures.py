"""What `help` and editors are told of methods that are made of a command's function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def signed(make: Callable[..., Any], method: Any, kind: str) -> None:
    """Let a method tell what it takes and returns, to `help` and to who looks closer.

    Args:
        make: makes the request of a command.
        method: makes it and has it answered.
        kind: the class that it is a method of.
    """
    method.__module__ = method.__globals__["__name__"]  # where it is, not what it is made of
    method.__qualname__ = f"{kind}.{make.__name__}"
    told = inspect.signature(make)
    returns = str(told.return_annotation).removeprefix("Request[").removesuffix("]")
    method.__signature__ = told.replace(
        parameters=[
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
            *told.parameters.values(),
        ],
        return_annotation=returns if kind != "Pipeline" else f"Pending[{returns}]",
    )
