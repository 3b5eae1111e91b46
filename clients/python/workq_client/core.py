"""What a client does, once for both: written as coroutines that know no socket and no loop.

`AsyncClient` awaits them. `Client` gives them a network whose every step is done when it returns,
so that they never suspend, and runs them to their end in one go (`blocking.run`). What breaks, what
is tried again and what becomes of a connection is decided here and nowhere else.

A request is a `Slot` on its way. `Core.converse` has the slots of a `Source` answered, in order,
through as many connections as it takes:

- A connection that breaks is given up, and so is one whose call was cancelled, was out of time or
  got a broken reply: it never comes back to those that are kept.
- Each slot that was sent on it then goes by the `Again` of its request: it is sent once more, or
  it ends in `OutcomeUnknown`.
- Attempts to connect are apart by growing pauses; the time of the slot that is next ends them.
"""

from __future__ import annotations

import random
import time
from collections import deque
from itertools import islice
from typing import Any, TypeVar

from workq_client.addresses import Address
from workq_client.codec import Codec, encoded
from workq_client.errors import (
    BrokenReply,
    Busy,
    ClientClosed,
    InvalidRequest,
    OutcomeUnknown,
    Refused,
    ServerError,
    ShuttingDown,
    Unreachable,
    WorkqError,
)
from workq_client.limits import (
    GATHERING_S_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_REQUESTS_MAX,
)
from workq_client.models import Hello
from workq_client.network import Late, Lost, Network
from workq_client.pool import Attempts, Link, Pool
from workq_client.requests import Request
from workq_client.requests.looking import hello
from workq_client.requests.request import understand
from workq_client.slots import Listed, Slot, Source

T = TypeVar("T")

#: The largest block that a server takes which was not asked yet.
_BLOCK_BYTES = 1024 * 1024

#: What the server says of a connection, not of the request that seems to get it for an answer.
_OF_CONNECTIONS = ("Idle timeout", "Request timeout", "Log failed")

#: Errors behind which the server closes, or may.
_CLOSING = ("Line too long", "Too much input", "Invalid command args")


class Core:
    """A client, whatever its kind.

    Args:
        network: how it reaches the world.
        address: of the server.
        codec: of payloads and results.
        name: what it calls itself.
        timeout_s: how long a call that does not wait may take.
        connect_timeout_s: how long one attempt to connect may take, and its greeting.
        connections_max, waits_max: connections for calls that the server answers at once, and for
            those that wait.

    Attributes:
        server: what the server said it can do, the last time it was connected to.
        closed: whether the client is.
    """

    def __init__(
        self,
        network: Network,
        address: Address,
        codec: Codec,
        name: str | None,
        timeout_s: float,
        connect_timeout_s: float,
        connections_max: int,
        waits_max: int,
    ) -> None:
        self.network = network
        self.address = address
        self.codec = codec
        self.timeout_s = timeout_s
        self.server: Hello | None = None
        self.closed = False
        self._connect_timeout_s = connect_timeout_s
        self._hello = hello(name)
        self._sizes = (connections_max, waits_max)
        self._chance = random.SystemRandom().random
        self.begin_anew()

    def begin_anew(self) -> None:
        """Have no connections: at the beginning, and in a forked child, whose parent goes on using
        those that there were."""
        connections_max, waits_max = self._sizes
        places = self.network.places
        self._quick = Pool(places(connections_max), connections_max, "connections_max")
        self._waiting = Pool(places(waits_max), waits_max, "waits_max")
        self._links: set[Link] = set()

    def abandon(self) -> None:
        """In a forked child: close this side of what the parent goes on using, and begin anew."""
        links = list(self._links)
        self.begin_anew()
        for link in links:
            link.close()

    def close(self) -> None:
        """Close all connections; calls under way end in `ClientClosed`."""
        self.closed = True
        for link in list(self._links):
            link.close()

    def slot(self, request: Request[T]) -> Slot[T]:
        """A request that is to be sent.

        Raises:
            InvalidRequest: its block cannot be sent.
        """
        if not request.has_block:
            return Slot(request, None)
        block = encoded(self.codec, request.block, f"what {request.command} carries")
        most = self.server.block_bytes if self.server else _BLOCK_BYTES
        if len(block) > most:
            raise InvalidRequest(
                f"{request.command} with {len(block)} bytes; the server takes {most}"
            )
        return Slot(request, block)

    async def call(self, request: Request[T]) -> T:
        """Have one request answered."""
        slot = self.slot(request)
        await self.converse(Listed([slot]), waits=request.waits)
        return slot.outcome()

    async def converse(self, source: Source, *, waits: bool) -> WorkqError | None:
        """Have the slots of a source answered.

        Each of them ends with a value or an error. Once the time is over for one, that one and
        those that were sent behind it end in errors, and the rest of the source is left.

        Args:
            source: the slots.
            waits: whether any of them may have to wait.

        Returns:
            What is to be told of the rest, if it was left.
        """
        pool = self._waiting if waits else self._quick
        queue: deque[Slot[Any]] = deque()
        attempts = Attempts(self._chance)
        while True:
            if not queue:
                slot = await source.next()
                if slot is None:
                    return None
                queue.append(slot)
            queue[0].begin(time.monotonic(), self.timeout_s)
            try:
                link = await self._take(pool, queue[0].until, attempts)
            except (Busy, Unreachable, ClientClosed, Refused) as error:
                cause = None if isinstance(error, ClientClosed) else attempts.cause
                return self._give_up(queue, error, cause or error)
            queue[0].renew(time.monotonic())
            try:
                await self._talk(link, queue, source, attempts)
                self._give_back(pool, link)
                return None
            except Late as late:
                self._drop(pool, link)
                self._drop_idle()
                unreachable = Unreachable(str(self.address), attempts.count + 1, late)
                return self._give_up(queue, unreachable, late)
            except (Lost, OSError) as lost:
                self._drop(pool, link)
                self._drop_idle()
                cause = lost.cause if isinstance(lost, Lost) else lost
                attempts.lost(cause)
                self._after_loss(queue, cause)
            except BaseException:
                self._drop(pool, link)
                raise

    def _give_up(
        self, queue: deque[Slot[Any]], error: WorkqError, cause: BaseException
    ) -> WorkqError:
        for slot in queue:
            slot.give_up(error, cause, self.address)
        return error

    def _after_loss(self, queue: deque[Slot[Any]], cause: BaseException) -> None:
        """Go through what was under way on a connection that broke."""
        for slot in list(queue):
            if slot.sent and not slot.request.again.repeat:
                slot.fail(OutcomeUnknown(slot.request.command, slot.request.job_id, cause))
                queue.remove(slot)
                continue
            slot.lost = slot.lost or slot.sent
            slot.sent = False

    async def _talk(
        self, link: Link, queue: deque[Slot[Any]], source: Source, attempts: Attempts
    ) -> None:
        """Have slots answered through a connection, until all are or it breaks.

        Args:
            link: the connection.
            queue: slots to begin with; those that are on their way.
            source: of more.
            attempts: told that there was an answer.
        """
        asked = 0
        dry = False
        while True:
            now = time.monotonic()
            if not dry and asked <= WINDOW_REQUESTS_MAX // 2:
                dry = await self._gather(queue, source, now)
                now, since = time.monotonic(), now
                queue[0].until += now - since  # that was the time of the source
            fresh = list(islice(queue, asked, None))
            data = b"".join([slot.data for slot in fresh])
            for slot in fresh:
                slot.sent = True
            asked = len(queue)
            received = await link.wire.exchange(data, queue[0].until - now)
            if not received:
                raise Lost(ConnectionError("the server has closed the connection"))
            link.reader.feed(received)
            if answered := self._answered(link, queue):
                asked -= answered
                attempts.succeeded()
            if not queue and dry:
                return
            if not queue:
                more = await source.next()
                if more is None:
                    return
                queue.append(more)
                more.begin(time.monotonic(), self.timeout_s)

    async def _gather(self, queue: deque[Slot[Any]], source: Source, since: float) -> bool:
        """Take in more slots, as many as may be on their way; return whether there are no more."""
        size = sum([len(slot.data) for slot in queue])
        while not source.slow and len(queue) < WINDOW_REQUESTS_MAX and size < WINDOW_BYTES_MAX:
            slot = await source.next()
            if slot is None:
                return True
            queue.append(slot)
            size += len(slot.data)
            if time.monotonic() - since > GATHERING_S_MAX:
                break
        return False

    def _answered(self, link: Link, queue: deque[Slot[Any]]) -> int:
        """Settle the slots whose answers have come; return how many."""
        count = 0
        while queue:
            slot = queue[0]
            request = slot.request
            try:
                answer = link.reader.take(request.shape, request.command, request.job_id)
            except BrokenReply as broken:
                queue.popleft().fail(broken)
                raise Lost(broken) from None
            if answer is None:
                return count
            if isinstance(answer, Refused):
                self._look(link, slot, answer)
            queue.popleft().settle(answer, self.codec)
            if isinstance(slot.error, BrokenReply):
                raise Lost(slot.error)  # what comes behind it may be out of step
            count += 1
            if queue:
                queue[0].begin(time.monotonic(), self.timeout_s)
        return count

    def _look(self, link: Link, slot: Slot[Any], refusal: Refused) -> None:
        """See what a refusal says of the connection."""
        if refusal.text in _OF_CONNECTIONS:
            raise Lost(refusal)
        if isinstance(refusal, ShuttingDown):  # nothing has changed: ask whoever comes after it
            slot.sent = False
            raise Lost(refusal)
        if (
            isinstance(refusal, ServerError)
            or refusal.text in _CLOSING
            or (slot.request.has_block and "size" in refusal.text)
        ):
            link.spent = True

    async def _take(self, pool: Pool, until: float, attempts: Attempts) -> Link:
        """A connection: one that is kept, or a new one as soon as there can be one.

        Raises:
            Busy, Unreachable, ClientClosed: there is none in time.
            Refused: the server cannot be spoken with.
        """
        if self.closed:
            raise ClientClosed("the client is closed")
        if not await pool.places.take(until - time.monotonic()):
            raise Busy(pool.count, pool.setting)
        try:
            while True:
                if self.closed:
                    raise ClientClosed("the client is closed")
                link = pool.pop()
                if link is not None:
                    return link
                pause_s = attempts.pause_s()
                left_s = until - time.monotonic()
                if pause_s >= left_s:
                    raise Unreachable(str(self.address), attempts.count, attempts.cause)
                if pause_s:
                    await self.network.pause(pause_s)
                try:
                    return await self._open(min(self._connect_timeout_s, left_s - pause_s))
                except (Lost, Late, OSError) as error:
                    attempts.failed(error.cause if isinstance(error, Lost) else error)
        except BaseException:
            pool.places.give_back()
            raise

    async def _open(self, timeout_s: float) -> Link:
        """Make a connection, and have it say hello."""
        until = time.monotonic() + timeout_s
        link = Link(await self.network.connect(self.address, timeout_s), self._links)
        try:
            data = self._hello.encode(None, None)
            while True:
                received = await link.wire.exchange(data, until - time.monotonic())
                if not received:
                    raise Lost(ConnectionError("the server has closed the connection"))
                link.reader.feed(received)
                data = b""
                answer = link.reader.take(self._hello.shape, "hello", None)
                if isinstance(answer, ServerError):
                    raise Lost(answer)
                if isinstance(answer, Refused):
                    raise answer
                if answer is not None:
                    self.server = understand(self._hello, answer, self.codec)
                    if self.closed:  # meanwhile, and `close` may not have seen it
                        raise ClientClosed("the client is closed")
                    return link
        except BaseException as error:
            link.close()
            if isinstance(error, BrokenReply):
                raise Lost(error) from None
            raise

    def _give_back(self, pool: Pool, link: Link) -> None:
        """Keep a connection for the next call, if it is good for one."""
        if link.spent or self.closed or len(link.reader) or link not in self._links:
            self._drop(pool, link)
            return
        pool.idle.append(link)
        pool.places.give_back()

    def _drop_idle(self) -> None:
        """Give up connections that are kept: they are as old as one that broke or went silent, and
        each would have to be found out for itself."""
        self._quick.drop_idle()
        self._waiting.drop_idle()

    def _drop(self, pool: Pool, link: Link) -> None:
        """Give a connection up."""
        link.close()
        pool.places.give_back()
