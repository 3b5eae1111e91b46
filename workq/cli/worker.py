"""`workq worker`: run a worker that is written in Python."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from argparse import ArgumentParser, Namespace
from importlib import import_module
from inspect import signature
from typing import Any, Final

from workq.cli import statuses
from workq.cli.problems import Problem

NAME: Final = "worker"
SUMMARY: Final = "run a worker that is written in Python"

#: Options that take the place of what the worker was made with, as arguments of its `run`.
_CHANGES: Final = ("url", "pool", "concurrency")


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    parser.add_argument(
        "object",
        metavar="MODULE:WORKER",
        help="where it stands, found from the working directory as well: shop.jobs:worker",
    )
    parser.add_argument("--pool", metavar="KIND", help="in place of what the worker says")
    parser.add_argument(
        "--concurrency", type=int, metavar="N", help="in place of what the worker says"
    )
    parser.add_argument(
        "--url",
        metavar="URL",
        help="in place of what the worker says; also put into WORKQ_URL, for clients in its module",
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Import the worker and run it; its status is ours."""
    if options.url is not None:
        os.environ["WORKQ_URL"] = options.url
    worker = find(options.object)
    said = {name: getattr(options, name) for name in _CHANGES}
    changes = {name: value for name, value in said.items() if value is not None}
    try:
        signature(worker.run).bind(**changes)
    except TypeError as error:
        names = ", ".join(f"--{name}" for name in changes)
        raise Problem(f"{options.object} does not take {names}: {error}") from None
    # For who has not said how it wants its log; the module had its chance.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    status = worker.run(**changes)
    return statuses.OK if status is None else int(status)


def find(place: str) -> Any:
    """The worker at a place.

    Args:
        place: `module:object`, the object perhaps with points in it.

    Raises:
        Problem: there is none; or its module raises something, of which the trace was printed.
    """
    module_name, _, path = place.partition(":")
    if not module_name or not path:
        raise Problem(f"{place!r} is not like module:worker")
    if module_name.startswith(".") or "/" in module_name:
        raise Problem(
            f"{module_name} is a file; a module is named as import names it, seen from the working "
            "directory: shop.jobs for shop/jobs.py"
        )
    sys.path.insert(0, str(os.getcwd()))  # noqa: PTH109 -- as Python has it
    try:
        found: Any = import_module(module_name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module_name}.".startswith(f"{missing}."):
            raise Problem(f"there is no module {missing}, seen from {sys.path[0]}") from None
        traceback.print_exc()  # or nobody could find it; the last line may be all that is read
        told = f"{module_name} cannot be imported: {type(error).__name__}: {error}"
        raise Problem(told, statuses.WRONG) from None
    for part in path.split("."):
        if not hasattr(found, part):
            raise Problem(f"{module_name} has no {path}")
        found = getattr(found, part)
    if isinstance(found, type):
        raise Problem(f"{place} is no worker: it is a class")
    if not callable(getattr(found, "run", None)):
        raise Problem(f"{place} is no worker: it has no run()")
    return found
