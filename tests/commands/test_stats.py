"""stats: the server's numbers are right."""

from tests.commands.harness import Server, job_id


def stats(server: Server) -> dict[str, str]:
    """The numbers by name."""
    head, first, *lines = server.ask("stats").removesuffix("\r\n").split("\r\n")
    pairs = dict(line.split(" ", 1) for line in lines)
    assert (head, first) == ("+OK 1", f"stats {len(pairs)}")
    assert len(pairs) == len(lines)
    return pairs


def test_jobs_are_counted_by_state(server: Server) -> None:
    """One, two, three, four and five of them; all together they are the jobs."""
    numbers = iter(range(1, 100))
    for _ in range(1):
        server.ask(f"schedule {job_id(next(numbers))} q 1 1 2031-01-01T00:00:00Z 0\r\n")
    for _ in range(3):
        server.add(next(numbers))
        server.ask("lease q 0")
    for end in [server.complete] * 4 + [server.fail] * 5:
        number = next(numbers)
        server.add(number)
        end(number)
    for _ in range(2):
        server.add(next(numbers), "r")
    told = stats(server)

    assert [told[f"jobs-{state}"] for state in ("scheduled", "ready", "leased")] == ["1", "2", "3"]
    assert (told["jobs-completed"], told["jobs-failed"], told["jobs"]) == ("4", "5", "15")
    assert told["queues"] == "2"


def test_held_bytes_are_payloads_and_results(server: Server) -> None:
    """They go with their job."""
    server.ask(f"add {job_id()} q 1000 60000", "x" * 1000)
    server.complete(result="y" * 500)
    assert stats(server)["held-bytes"] == "1500"
    server.advance(60_000)

    assert stats(server)["held-bytes"] == "0"


def test_connections_waiting_requests_and_names_are_counted(server: Server) -> None:
    """As they are at this moment."""
    workers = [server.client() for _ in range(3)]
    for worker in workers[:2]:
        worker.say("lease a b 60000")
    told = stats(server)
    assert (told["connections"], told["waiting"], told["known-names"]) == ("4", "2", "2")
    for worker in workers:
        worker.close()
    told = stats(server)

    assert (told["connections"], told["waiting"], told["known-names"]) == ("1", "0", "2")


def test_requests_and_refused_requests_are_counted(server: Server) -> None:
    """What could not be read is refused; a command that finds nothing is not."""
    before = stats(server)
    for text in ("ping", "nosuch", "ping x", "lease q x", f"delete {job_id()}"):
        server.ask(text)
    after = stats(server)

    assert int(after["requests"]) - int(before["requests"]) == 6
    assert int(after["refused-requests"]) - int(before["refused-requests"]) == 3


def test_evicted_jobs_are_counted(server: Server) -> None:
    """Those that came to the end of their TTL unfinished, and no others."""
    server.add(1)
    server.add(2)
    server.complete(2)
    server.add(3)
    server.ask(f"delete {job_id(3)}")
    server.advance(60_000)

    assert stats(server)["evicted-jobs"] == "1"


def test_version_uptime_and_memory_are_what_the_ring_knows(server: Server) -> None:
    """Which looks at them now and then."""
    told = stats(server)

    assert (told["version"], told["memory-bytes"], told["uptime-ms"]) == ("1.2.3", "4096", "12345")
