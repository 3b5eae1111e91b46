"""`workq-server`: reads its settings and serves until it is told to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import uvloop

from workq import __version__
from workq.errors import DirectoryError, ListenError, LogError, SettingError
from workq.server import logs
from workq.server.listen import read_address
from workq.server.notify import Notifier
from workq.server.service import prepare, serve
from workq.server.settings import describe, help_text, load

# Exit statuses.
STOPPED, FAILED, BAD_SETTING, CANNOT_START, LOG_FAILED = 0, 1, 2, 3, 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server.

    Returns:
        The exit status: 0 when it was told to stop, 1 when a mistake of its own has ended it, 2
        for a setting that cannot be used, 3 when it cannot start, 4 when the command log failed.
    """
    try:
        settings = load(sys.argv[1:] if arguments is None else arguments, os.environ)
        if settings.help:
            return _say(help_text())
        if settings.version:
            return _say(f"workq-server {__version__}\n")
        if settings.check_config:
            return _say(describe(settings))
        logs.set_up(settings.log, settings.log_level, os.environ)
        addresses = [read_address(text) for text in settings.listen]
        notifier = Notifier(os.environ)
        storage = prepare(settings, notifier)
        if storage is None:
            return STOPPED
        failure = uvloop.run(serve(settings, addresses, notifier, storage))
        if failure is not None:
            return LOG_FAILED if isinstance(failure, LogError) else FAILED
    except SettingError as error:
        return _refuse(error, BAD_SETTING)
    except (ListenError, DirectoryError) as error:
        return _refuse(error, CANNOT_START)
    return STOPPED


def _say(text: str) -> int:
    sys.stdout.write(text)
    return STOPPED


def _refuse(error: Exception, status: int) -> int:
    for line in str(error).splitlines():
        sys.stderr.write(f"workq-server: {line}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
