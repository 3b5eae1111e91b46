"""The worker: a program that takes jobs and has them done by functions.

    from workq_client import Worker

    worker = Worker()

    @worker.job("resize", ttr=30)
    def resize(photo: bytes) -> bytes:
        return thumbnail(photo)

    worker.run()

One thread, the conductor (`leasing`), does all that has to do with the server: it takes jobs, keeps
their leases, and reports what became of them. So that goes on whatever handlers do. These run in a
pool: as tasks of the main thread's event loop, in threads, or in processes (`pools`).
"""

from workq_client.worker.handlers import AddOptions, Handler
from workq_client.worker.jobs import Interrupted, Reject, Retry, Work
from workq_client.worker.worker import Worker

__all__ = ["AddOptions", "Handler", "Interrupted", "Reject", "Retry", "Work", "Worker"]
