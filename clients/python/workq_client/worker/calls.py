"""Calling handlers: a payload goes in, and whatever happens, an `Outcome` comes out."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from workq_client.codec import Codec, encoded
from workq_client.errors import DecodeError, InvalidRequest
from workq_client.models import decoded
from workq_client.worker.jobs import Held, Interrupted, Reject, Retry, Why, Work
from workq_client.worker.outcomes import DONE, RELEASED, SILENCE, Outcome, Verb, failed

logger = logging.getLogger("workq_client.worker")

#: Wraps calls of plain handlers.
PlainMiddleware: TypeAlias = Callable[[Work, Callable[[], Any]], Any]
#: Wraps calls of async handlers.
AsyncMiddleware: TypeAlias = Callable[[Work, Callable[[], Awaitable[Any]]], Awaitable[Any]]


class Calls:
    """How handlers are called.

    Args:
        codec: reads payloads and makes results.
        plain, asynchronous: middleware, the outermost first.
        renew: has a lease renewed.
        log: whether tracebacks are logged here; else they go with the outcome.
    """

    def __init__(
        self,
        codec: Codec,
        plain: list[PlainMiddleware],
        asynchronous: list[AsyncMiddleware],
        renew: Callable[[Held], None],
        *,
        log: bool = True,
    ) -> None:
        self._codec = codec
        self._plain = plain
        self._asynchronous = asynchronous
        self._renew = renew
        self._log = log

    def plain(self, held: Held) -> Outcome:
        """Call a plain handler."""
        try:
            args = self._args(held)
        except Exception as error:
            return self._unread(held, error)
        try:
            function = held.handler.function
            if not self._plain:
                return self._completed(held, function(*args))
            work = Work(held, self._codec, self._renew)
            call: Callable[[], Any] = lambda: function(*args)  # noqa: E731
            for middleware in reversed(self._plain):
                call = _wrapped(middleware, work, call)
            return self._completed(held, call())
        except BaseException as error:
            return self._raised(held, error)

    async def asynchronous(self, held: Held) -> Outcome:
        """Call an async handler, as the task that calls this."""
        try:
            args = self._args(held)
        except Exception as error:
            return self._unread(held, error)
        try:
            function = held.handler.function
            if not self._asynchronous:
                return self._completed(held, await function(*args))
            work = Work(held, self._codec, self._renew)
            call: Callable[[], Awaitable[Any]] = lambda: function(*args)  # noqa: E731
            for middleware in reversed(self._asynchronous):
                call = _wrapped(middleware, work, call)
            return self._completed(held, await call())
        except BaseException as error:
            return self._raised(held, error)

    def _args(self, held: Held) -> list[Any]:
        """What the handler is called with."""
        args: list[Any] = []
        for wants_work in held.handler.wants_work:
            if wants_work:
                args.append(Work(held, self._codec, self._renew))
            else:
                args.append(decoded(self._codec, held.job.payload, "the payload"))
        return args

    def _unread(self, held: Held, error: Exception) -> Outcome:
        """A payload that is not what the codec reads will not be so the next time."""
        logger.error("job %s of %s: %s", held.job.id, held.job.queue, error)
        text = (
            str(error) if isinstance(error, DecodeError) else f"the payload cannot be read: {error}"
        )
        return failed(text, final=True)

    def _completed(self, held: Held, value: Any) -> Outcome:
        if value is None:
            return DONE
        try:
            return Outcome(Verb.COMPLETE, encoded(self._codec, value, "the result"))
        except InvalidRequest as error:
            logger.error("job %s of %s: %s", held.job.id, held.job.queue, error)
            return failed(str(error), final=True)

    def _raised(self, held: Held, error: BaseException) -> Outcome:
        if held.why is not None and isinstance(error, Interrupted | asyncio.CancelledError):
            return interrupted(held)
        job = held.job
        if isinstance(error, Retry):
            logger.info("job %s of %s is to be tried again: %s", job.id, job.queue, error.reason)
            return failed(str(error.reason) or "to be tried again", delay_s=error.after_s)
        if isinstance(error, Reject):
            logger.info("job %s of %s is rejected: %s", job.id, job.queue, error.reason)
            return failed(str(error.reason) or "rejected", final=True)
        outcome = failed(described(error))
        if not self._log:
            trace = "".join(traceback.format_exception(error))
            return outcome._replace(trace=trace)
        logger.error(
            "job %s of %s has failed at attempt %s",
            job.id,
            job.queue,
            job.attempt,
            exc_info=error,
        )
        return outcome


def _wrapped(
    middleware: Callable[[Work, Callable[[], Any]], Any], work: Work, call: Callable[[], Any]
) -> Callable[[], Any]:
    return lambda: middleware(work, call)


def described(error: BaseException) -> str:
    """An exception in one line: `ValueError: no such photo`."""
    try:
        text = str(error)
    except Exception:
        text = "(it cannot be told)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def interrupted(held: Held) -> Outcome:
    """What becomes of a job whose handler was interrupted."""
    if held.why is Why.LOST:
        return SILENCE
    if held.why is Why.STOP:
        return RELEASED
    return failed(f"TimeLimit: not done within {held.handler.timeout_s:g} s")
