"""Every bound of the client, with its reason.

Those with a name in lower case at `Client` can be set there; here stands what holds otherwise.
"""

from __future__ import annotations

from typing import Final

#: How long a call that does not wait on the server may take, connecting anew included. A healthy
#: server answers in milliseconds, one that has just started again within seconds.
TIMEOUT_S: Final = 10.0

#: How much longer than the server a client waits for the answer to a request that waits.
GRACE_S: Final = 1.0

#: How long one attempt to connect may take. A new attempt sends its first packet at once, so after
#: a cut this is how long it takes at the most to notice that the way is free again.
CONNECT_TIMEOUT_S: Final = 1.0

#: The longest duration that makes sense, in milliseconds: the server knows no later time.
DURATION_MS_MAX: Final = 2**53

#: How long a thread waits in one go: the system counts such a wait in milliseconds, in 31 bits.
ONE_WAIT_S_MAX: Final = 86400.0

#: The pause after a failed attempt: the first, and the longest, which is reached by doubling. Each
#: is shortened by chance, up to half, so that many clients do not come back at the same moment.
PAUSE_FIRST_S: Final = 0.05
PAUSE_MAX_S: Final = 1.0

#: Connections of one client for calls that the server answers at once. One is in use for the time
#: of a round trip, so few serve many threads.
CONNECTIONS_MAX: Final = 10

#: Its connections for calls that wait on the server: a wait holds one as long as it lasts. More of
#: them would rather be other clients: a server has some ten thousand connections for all.
WAITS_MAX: Final = 100

#: Requests, and bytes of them, that a pipeline has on their way at a time. The server takes no more
#: than 2 MiB behind a request that waits, and one more request may be 1 MiB.
WINDOW_REQUESTS_MAX: Final = 500
WINDOW_BYTES_MAX: Final = 512 * 1024

#: How long a source may be asked for more requests while others wait to be sent: longer than it
#: takes to make a window of them, and nothing beside a round trip elsewhere.
GATHERING_S_MAX: Final = 0.01

#: Jobs of an `add_many` after which it counts those that have come to their end: so many may be
#: added behind one that failed, and so many are kept. Several windows, so that it seldom looks.
MANY_COUNTED: Final = 2000

#: The longest line of a reply. The server's own lines have at most some hundred bytes.
REPLY_LINE_BYTES_MAX: Final = 64 * 1024

#: The largest block of a reply; the server's has 1 MiB, unless it is told otherwise some day.
REPLY_BLOCK_BYTES_MAX: Final = 16 * 1024 * 1024

#: Entries and keys of a reply: a server answers with at most some hundred.
REPLY_ENTRIES_MAX: Final = 100_000

#: What is read at once, and what is kept of replies that nobody has asked for yet: a block of the
#: usual size, so that one that is waited for is not held up.
READ_BYTES: Final = 64 * 1024
UNREAD_BYTES_MAX: Final = 1024 * 1024

#: Errors that one `add_many` keeps to tell of: each has its job with it, and they are much alike.
MANY_ERRORS_MAX: Final = 100

#: What an error shows of bytes that make no sense, and of an argument: enough to see what it is.
EXCERPT_BYTES_MAX: Final = 80
ARGUMENT_CHARACTERS_MAX: Final = 80

#: What an error shows of an answer that could be read, be it to something else, and of what was
#: wrong with it; and of what a failed job has for its result.
ANSWER_CHARACTERS_MAX: Final = 200

# --- the worker ---------------------------------------------------------------------------------

#: How many handlers run at a time unless told otherwise. More threads than this seldom help in one
#: interpreter, and tasks that need more say so.
CONCURRENCY: Final = 10

#: How many may run at the most, for each pool. Each task has its lease renewed, and some kilobytes;
#: threads beyond these wait for the interpreter more than for anything else; a process has some
#: 20 MB, and two of the 1,024 descriptors that a program may usually have.
CONCURRENCY_MAX: Final = {"tasks": 10_000, "threads": 1_000, "processes": 250}

#: Jobs that a worker takes beyond those that can run now, and only as many as it has lately done in
#: so many seconds: short jobs need not wait for the next lease, long ones not for their turn here.
PREFETCH_MAX: Final = 200
PREFETCH_S: Final = 0.05

#: A job that was taken and has not begun after so long is given back: others may be free.
PREFETCHED_MAX_S: Final = 1.0

#: How often the speed of a worker is measured, for its prefetch.
PACE_S: Final = 0.1

#: How long the server lets a lease wait. With the second that the client waits longer it is how
#: long a connection that has gone silent may go unnoticed, which is less than two seconds.
LEASE_WAIT_S: Final = 0.3

#: Jobs of one lease: the server gives no more at once.
LEASE_COUNT_MAX: Final = 100

#: Queues of one lease, and so of one worker: the server takes no more.
LEASE_QUEUES_MAX: Final = 256

#: How long any other call of a worker may take before it is made anew on another connection.
WORKER_TIMEOUT_S: Final = 1.3

#: How long a worker waits at the most after a lease that failed, shortened by chance, up to half,
#: so that many workers do not come back at the same moment.
LEASE_PAUSE_S: Final = 0.3

#: A lease is renewed when a third of its time is over, so that two attempts may fail. It is looked
#: this often which leases are due, and which time limits are over.
KEEP_S: Final = 0.05

#: How long until a renewal that failed is tried again, so that even a lease of a second has three
#: attempts.
RENEW_AGAIN_S: Final = 0.25

#: Reports, or renewals, of one pipeline, which is a window of it; and reports that may wait to be
#: sent before no more jobs are taken: their results are in memory, and nobody takes them.
REPORTS_AT_ONCE_MAX: Final = 500
REPORTS_WAITING_MAX: Final = 2000

#: How long it is tried to report what became of a job, and how long after a failure it is tried
#: again. A server that was started anew with a large log is back by then.
REPORT_PATIENCE_S: Final = 60.0
REPORT_AGAIN_S: Final = 0.1

#: Characters of what is told of a failed job; the traceback is in the log.
FAILURE_CHARACTERS_MAX: Final = 1000

#: How long `Retry` may have a job held back: the server takes no longer delay.
RETRY_AFTER_MAX_S: Final = 365 * 86_400

#: How long a handler that was interrupted may take to end, before its place is given up: time to
#: clean up, but not to go on.
INTERRUPTED_S: Final = 5.0

#: How long a worker that stops lets handlers finish unless told otherwise; systemd and Kubernetes
#: kill after 90 and 30 seconds.
SHUTDOWN_S: Final = 25.0

#: How long a worker that stops tries to send its last reports, and, when it has to stop now, how
#: long it waits for handlers to end.
LAST_REPORTS_S: Final = 5.0
STOP_NOW_S: Final = 0.5

#: How long after its last answer a server counts as reachable, for the health of a worker, and how
#: often that is looked at.
HEALTHY_S: Final = 5.0
HEALTH_S: Final = 1.0

#: What is read of a request for the health, how long it may take, and how many there may be at a
#: time: who asks is a program on this machine or beside it, each some seconds, with a few lines.
HEALTH_REQUEST_BYTES_MAX: Final = 8192
HEALTH_REQUEST_S: Final = 2.0
HEALTH_REQUESTS_MAX: Final = 16

#: How long threads without work have to end, all together; the program does not wait for them.
THREAD_END_S: Final = 1.0

#: How long tasks that are left at the end have to let themselves be cancelled; what they do
#: concerns no job any more.
TASKS_END_S: Final = 1.0

#: How long a child process has to end by itself, its `on_stop` included, before it is killed.
CHILD_END_S: Final = 5.0

#: The pause before a child is started that takes the place of one which never came up: the first,
#: and the longest, reached by doubling. What is wrong is seldom mended within seconds.
CHILD_PAUSE_FIRST_S: Final = 0.1
CHILD_PAUSE_MAX_S: Final = 10.0

#: How long a worker that ends waits for the log to have taken what it said of signals: nobody may
#: read it, and the third signal has to end it all the same.
SAY_S: Final = 1.0

#: How long what a dead child has written last may take to arrive: it is in the machine already,
#: and the end of it comes late only if a program that the child ran has its socket still.
CHILD_LAST_WORDS_S: Final = 0.2
