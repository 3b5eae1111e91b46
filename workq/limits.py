"""Every bound of the server, each with its reason.

A bound is a promise in two directions: what is within it works, and what is beyond it gets a
documented error and costs nobody else anything. Units stand last in a name. Those that an operator
has a reason to turn are in `Bounds`; the settings of the server make one.
"""

from typing import NamedTuple

# --- requests -------------------------------------------------------------------------------

#: A request line with its end. Nothing legal comes near it but a lease of many long names.
LINE_BYTES_MAX = 64 * 1024

#: A payload or a result, as in the original.
BLOCK_BYTES_MAX = 1024 * 1024

#: A refused block up to this size is read and thrown away so that the connection stays in step;
#: beyond it, closing the connection is cheaper for both sides.
BLOCK_DISCARD_BYTES_MAX = 16 * 1024 * 1024

#: A number of more digits (leading zeros aside) is out of every range: it is never converted,
#: because conversion of long numbers is quadratic.
NUMBER_DIGITS_MAX = 20

#: The unknown command that closes a connection: whoever speaks another protocol to us stops here.
UNKNOWN_COMMANDS_IN_A_ROW_MAX = 20

#: Names in one lease: each is looked at once per lease and per wake-up.
LEASE_NAMES_MAX = 256

# --- fields ---------------------------------------------------------------------------------

NAME_BYTES_MAX = 255
TTR_MS_MAX = 86_400_000
TTL_MS_MAX = 2**64 - 1
WAIT_MS_MAX = 86_400_000
PRIORITY_MIN, PRIORITY_MAX = -(2**31), 2**31 - 1
ATTEMPTS_MAX = 255
FAILS_MAX = 255
CURSOR_OFFSET_MAX = 2**32 - 1
LISTED_MAX = 100

#: A list of jobs ends with the job that reaches this: a hundred payloads of a megabyte would hold
#: everybody up.
LISTED_BYTES_MAX = 1024 * 1024

#: A deadline beyond this is stored as none: it lies 285,000 years ahead, and every number below
#: it is exact in languages whose only number is a double.
DEADLINE_MS_MAX = 2**53

# --- a turn of the server -------------------------------------------------------------------

#: What one connection may have done in one turn before the others get theirs.
REQUESTS_PER_SESSION_AND_TURN_MAX = 64

#: The same among many connections: fewer would be a write for each few replies.
REQUESTS_PER_SESSION_AND_TURN_MIN = 16

#: What a request that is refused for its form costs, in usual requests: it is read the long way.
REFUSAL_COST = 2
REQUEST_BYTES_PER_TURN_MAX = 256 * 1024

#: What all connections together may have done in one turn: 2 to 3 ms of work.
REQUESTS_PER_TURN_MAX = 300

#: Deadlines fired in one turn, of all kinds together: 2 to 4 ms of work. And timers moved to a
#: finer level of their calendars: about as long.
DEADLINES_PER_TURN_MAX = 500
CASCADES_PER_TURN_MAX = 4000

#: Waiters for results that are answered in one turn: a job may have as many as there are clients.
ANSWERS_PER_TURN_MAX = 200

#: Names of queues that come and go, taken in per turn; and how many of a wait's names cost as much
#: as a request.
NAMES_PER_TURN_MAX = 500
NAMES_LIKE_A_REQUEST = 16

#: A turn that takes longer is counted: everybody has waited for it.
LONG_TURN_MS = 10

#: Payloads and results in the records of one turn: what one commit writes at once. And in its
#: replies: what is copied into the kernel at once.
RECORD_BYTES_PER_TURN_MAX = 4 * 1024 * 1024
REPLY_BYTES_PER_TURN_MAX = 4 * 1024 * 1024

# --- connections ----------------------------------------------------------------------------

#: Input a session may have waiting: a full pipeline behind a request that waits. While nothing
#: waits, reading pauses at the lower mark instead; past the upper one the client gets an error.
INPUT_BYTES_PAUSE = 256 * 1024
INPUT_BYTES_MAX = 2 * BLOCK_BYTES_MAX

#: A request starts only while the replies a session has not taken are fewer bytes than this.
UNSENT_BYTES_MAX = 1024 * 1024

#: A connection that has ended and takes nothing of its last replies for so long is cut.
END_STALLED_MS = 10_000

#: Connections that were too many and are given time to read that. Beyond it they are just closed.
REFUSED_LINGERING_MAX = 32

#: How long a connection closed after an error is still read, so that no reset overtakes the
#: error on its way, and how much is read of it.
LINGER_MS = 1000
LINGER_BYTES_MAX = 16 * 1024 * 1024

# --- memory ---------------------------------------------------------------------------------

#: Names of queues without jobs and waiters that are remembered, the newest: names leased at
#: random must not grow memory.
IDLE_NAMES_MAX = 10_000

#: Places in lines before queues, all waiting leases together: each takes about 500 bytes.
WAITED_NAMES_MAX = 250_000

#: Request lines remembered for the short way of reading them, per command, and how long one may
#: be: what is known must stay small (10 MiB at the worst).
KNOWN_LINES_MAX = 4096
KNOWN_LINE_BYTES_MAX = 256

#: Dictionaries are split into this many, so that none stalls the loop when it grows: one of a
#: million ids takes 29 ms to grow, one of four thousand 0.1 ms. A power of two.
DICT_SPLIT = 256

#: What a job takes in memory beside payload and result, measured at a million of them; what
#: `max-memory` counts for each.
JOB_BYTES = 448

#: The same for a queue that has a job.
QUEUE_BYTES = 900

#: Results may exceed `max-memory` by one part in so many: what was accepted can still be finished
#: when nothing more is accepted.
RESULT_RESERVE_DIVISOR = 8

# --- what an operator can turn --------------------------------------------------------------


class Bounds(NamedTuple):
    """The bounds that are settings, as they are if nobody turns them; 0 stands for none.

    Attributes:
        line_bytes_max: a request line with its end.
        connections_max: clients at once. Each takes about 5 KiB, and a descriptor.
        memory_bytes_max: payloads, results and a fixed cost for each job together.
        jobs_max: jobs in whatever state.
        input_bytes_max: what was received of requests that are not complete, or wait behind
            others, on all connections together.
        request_timeout_ms: how long the bytes of one request may take to come: who sends one a
            second must not hold a connection for ever.
        idle_timeout_ms: how long a client may say nothing; never, as in the original: a worker
            that is at work says nothing.
    """

    line_bytes_max: int = LINE_BYTES_MAX
    connections_max: int = 10_000
    memory_bytes_max: int = 0
    jobs_max: int = 0
    input_bytes_max: int = 256 * 1024 * 1024
    request_timeout_ms: int = 60_000
    idle_timeout_ms: int = 0
