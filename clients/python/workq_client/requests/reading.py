"""Answers, as what they are for Python: words and keys become the dataclasses of `models`."""

from __future__ import annotations

from workq_client.answers import Answer, Entry
from workq_client.codec import Codec
from workq_client.errors import BrokenReply
from workq_client.models import Hello, Job, JobInfo, QueueInfo, Result, ServerInfo, State, Stats
from workq_client.values import seconds, time_of


def only(answer: Answer, identity: str | None = None) -> Entry:
    """The one entry of an answer, which is about a certain job, if it is about one."""
    if len(answer.entries) != 1:
        raise BrokenReply(f"{len(answer.entries)} entries instead of one", b"")
    (entry,) = answer.entries
    if identity is not None and entry.words[0] != identity:
        raise BrokenReply(f"an answer about another job than {identity}", entry.words[0].encode())
    return entry


def one_job(answer: Answer, codec: Codec) -> Job:
    """The job of an answer with one."""
    return _job(only(answer), codec)


def jobs_of(answer: Answer, codec: Codec) -> list[Job]:
    """The jobs of an answer."""
    return [_job(entry, codec) for entry in answer.entries]


def _job(entry: Entry, codec: Codec) -> Job:
    identity, queue, ttr, _ = entry.words
    token, attempt = entry.attributes.get("token"), entry.attributes.get("attempt")
    return Job(
        identity,
        queue,
        seconds(ttr),
        entry.block,
        None if token is None else int(token),
        None if attempt is None else int(attempt),
        codec,
    )


def results_of(answer: Answer, codec: Codec) -> list[Result]:
    """The results of an answer."""
    return [result_of(entry, codec) for entry in answer.entries]


def result_of(entry: Entry, codec: Codec) -> Result:
    """A result."""
    identity, success, _ = entry.words
    return Result(identity, {"1": True, "0": False}[success], entry.block, codec)


def job_infos(answer: Answer, codec: Codec) -> list[JobInfo]:
    """What an answer tells of jobs."""
    return [job_info(entry, codec) for entry in answer.entries]


def job_info(entry: Entry, codec: Codec) -> JobInfo:
    """What is told of a job."""
    keys = dict(entry.keys)
    keys.pop("payload-size")
    due, held = keys.pop("time", None), keys.pop("held-until", None)
    return JobInfo(
        id=entry.words[0],
        queue=keys.pop("name"),
        payload=entry.block,
        ttr=seconds(keys.pop("ttr")),
        ttl=seconds(keys.pop("ttl")),
        priority=int(keys.pop("priority")),
        state=State(int(keys.pop("state"))),
        attempts=int(keys.pop("attempts")),
        max_attempts=int(keys.pop("max-attempts")),
        fails=int(keys.pop("fails")),
        max_fails=int(keys.pop("max-fails")),
        timeouts=int(keys.pop("timeouts")),
        retry_delay=seconds(keys.pop("retry-delay")),
        backoff=int(keys.pop("backoff")),
        retry_max=seconds(keys.pop("retry-max")),
        created=time_of(keys.pop("created")),
        time=None if due is None else time_of(due),
        held_until=None if held is None else time_of(held),
        more=keys,
        codec=codec,
    )


def queue_info(entry: Entry) -> QueueInfo:
    """What is told of a queue."""
    keys = dict(entry.keys)
    ready, scheduled = int(keys.pop("ready-len")), int(keys.pop("scheduled-len"))
    return QueueInfo(entry.words[0], ready, scheduled, keys)


def server_info(entry: Entry) -> ServerInfo:
    """What is told of the server."""
    keys = dict(entry.keys)
    clients, evicted = int(keys.pop("active-clients")), int(keys.pop("evicted-jobs"))
    return ServerInfo(clients, evicted, time_of(keys.pop("started")), keys)


def stats_of(entry: Entry) -> Stats:
    """The server's numbers."""
    keys = dict(entry.keys)
    version = keys.pop("version")
    return Stats(version, {key: int(value) for key, value in keys.items() if value.isdigit()})


def hello_of(entry: Entry) -> Hello:
    """What a server says it can do."""
    keys = dict(entry.keys)
    return Hello(
        version=keys.pop("version"),
        protocol=int(keys.pop("protocol")),
        block_bytes=int(keys.pop("block-bytes")),
        line_bytes=int(keys.pop("line-bytes")),
        lease_names=int(keys.pop("lease-names")),
        lease_count=int(keys.pop("lease-count")),
        ids=int(keys.pop("ids")),
        more=keys,
    )
