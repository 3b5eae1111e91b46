"""`workq-server`: reads its settings and serves until it is told to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import uvloop

from workq import __version__
from workq.errors import ListenError, SettingError
from workq.server import logs
from workq.server.listen import Address, read_address
from workq.server.notify import Notifier
from workq.server.service import serve
from workq.server.settings import Settings, describe, help_text, load

# Exit statuses.
STOPPED, BAD_SETTING, CANNOT_START = 0, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server.

    Returns:
        The exit status: 0 when it was told to stop, 2 for a setting that cannot be used, 3 when
        it cannot start.
    """
    try:
        settings = load(sys.argv[1:] if arguments is None else arguments, os.environ)
        if settings.help:
            return _say(help_text())
        if settings.version:
            return _say(f"workq-server {__version__}\n")
        addresses = _addresses(settings)
        if settings.check_config:
            return _say(describe(settings))
        logs.set_up(settings.log, settings.log_level, os.environ)
        uvloop.run(serve(settings, addresses, Notifier(os.environ)))
    except SettingError as error:
        return _refuse(error, BAD_SETTING)
    except ListenError as error:
        return _refuse(error, CANNOT_START)
    return STOPPED


def _addresses(settings: Settings) -> list[Address]:
    try:
        return [read_address(text) for text in settings.listen]
    except SettingError as error:
        raise SettingError(settings.sources["listen"], error.problem) from error


def _say(text: str) -> int:
    sys.stdout.write(text)
    return STOPPED


def _refuse(error: Exception, status: int) -> int:
    sys.stderr.write(f"workq-server: {error}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
