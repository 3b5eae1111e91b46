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

#: Jobs in one lease: what a worker can do at once. They are in one reply, which ends earlier with
#: the job that brings it to `LISTED_BYTES_MAX`.
LEASE_COUNT_MAX = 100

#: Words behind the first in a line, flags among them, from which on it is not looked into: no right
#: line has so many, and one of tens of thousands would keep everybody waiting.
LINE_WORDS_MAX = 300

# --- fields ---------------------------------------------------------------------------------

NAME_BYTES_MAX = 255
TTR_MS_MAX = 86_400_000
TTL_MS_MAX = 2**64 - 1
WAIT_MS_MAX = 86_400_000
PRIORITY_MIN, PRIORITY_MAX = -(2**31), 2**31 - 1
ATTEMPTS_MAX = 255
FAILS_MAX = 255

#: A delay of whatever kind: a year. What shall be later is a schedule.
DELAY_MS_MAX = 365 * 86_400_000

#: By what a retry delay may grow from one to the next: at the most it is there in a few steps.
BACKOFF_MAX = 100
CURSOR_OFFSET_MAX = 2**32 - 1

#: The token of a lease: its high part is the epoch of the server, above 40 bits.
TOKEN_MAX = 2**64 - 1
TAG_MAX = 2**64 - 1
LISTED_MAX = 100

#: A list of jobs or results ends with the one that reaches this: a hundred payloads of a megabyte
#: would hold everybody up.
LISTED_BYTES_MAX = 1024 * 1024

#: A deadline beyond this is stored as none: it lies 285,000 years ahead, and every number below
#: it is exact in languages whose only number is a double.
DEADLINE_MS_MAX = 2**53

# --- a turn of the server -------------------------------------------------------------------
#
# What comes while a turn is on waits for its end: so a turn is short when there is more to do than
# it may. Its measure is the usual request of three to four microseconds; looking at all sockets
# once more, and the turn itself, cost about as much as ten of them.

#: What all connections together may have done in one turn: a third of a millisecond.
REQUESTS_PER_TURN_MAX = 100

#: What one connection may have done in one turn before the others get theirs; and among many
#: connections: fewer would be a write for each few replies.
REQUESTS_PER_SESSION_AND_TURN_MAX = 64
REQUESTS_PER_SESSION_AND_TURN_MIN = 16

#: What a request that is refused for its form costs, in usual requests: it is read the long way,
#: which takes 5 to 13 µs.
REFUSAL_COST = 4

#: Turns in a row that are for those alone who ask for little: the others have each fifth at least.
HURRIED_TURNS_MAX = 4

#: How many bytes of a block cost as much as a request: they are copied several times, by the kernel
#: too. And how many of a wait's names.
BLOCK_BYTES_LIKE_A_REQUEST = 4096
NAMES_LIKE_A_REQUEST = 4

#: A chunk of input that is so large is copied several times and takes a tenth of a millisecond and
#: more: a connection that sent one rests, and so many of those that rest are read from in a turn.
CHUNK_BYTES_LARGE = 128 * 1024
LARGE_CHUNKS_PER_TURN_MAX = 2

#: Turns after the last connection has gone: enough for a hundred thousand of them.
LAST_TURNS_MAX = 10_000

#: Deadlines fired in one turn, of all kinds together: half a millisecond. And timers moved to a
#: finer level of their calendars: about as long.
DEADLINES_PER_TURN_MAX = 100
CASCADES_PER_TURN_MAX = 1000

#: TTLs fired in a turn at the head of one queue that somebody leases from, while very many are
#: unfired. Of all queues together as many as there are deadlines: one does not keep the others.
HEAD_BURIES_MAX = 10

#: Answers to those who waited, in one turn, in usual requests, and what one counts beside what it
#: is about, for it is a write: a result may be waited for by as many as there are clients, and as
#: many waits may end at once.
ANSWERS_PER_TURN_MAX = 100
ANSWER_COST = 1

#: Names of queues that come and go, taken in per turn: more than the requests and deadlines of a
#: turn can make come and go, or who looks at whole queues would wait for as long as many do.
NAMES_PER_TURN_MAX = 400

#: A turn that takes longer is counted: everybody has waited for it.
LONG_TURN_MS = 10

# --- connections ----------------------------------------------------------------------------

#: Input a session may have waiting: a full pipeline behind a request that waits. While nothing
#: waits, reading pauses at the lower mark instead; past the upper one the client gets an error.
INPUT_BYTES_PAUSE = 256 * 1024
INPUT_BYTES_MAX = 2 * BLOCK_BYTES_MAX

#: A request starts only while the replies a session has not taken are fewer bytes than this.
UNSENT_BYTES_MAX = 1024 * 1024

#: Replies of all connections together that wait until the log is safe enough: at so many the
#: server does nothing that makes more, until the log has come on.
HELD_BYTES_MAX = 64 * 1024 * 1024

#: What of them leaves in one turn once it may: more than a turn makes, so that they become fewer,
#: and a millisecond or two of work for the kernel, which copies it.
RELEASED_BYTES_PER_TURN_MAX = 4 * 1024 * 1024

#: And frames handed to the log that are not yet as safe as replies wait for: a disk that hangs must
#: not fill memory with what is meant for it.
AHEAD_BYTES_MAX = 64 * 1024 * 1024

#: Replies of all connections together that were sent and not taken, kept for clients that do not
#: keep up (who leaves more than 64 KiB, as the event loop counts): at more, who has not caught up
#: for longest is cut off.
UNTAKEN_BYTES_MAX = 256 * 1024 * 1024

#: What the system is asked to keep for a TCP client that does not read (Linux keeps twice as much):
#: left to itself it takes 2.5 MiB and more for each, which is in no bound of ours, and all sockets
#: of the machine share what there is. A reader a twentieth of a second away still gets 10 MiB/s.
SEND_BUFFER_BYTES = 256 * 1024

#: How late a limit of time may be noticed and still be held against a client: if it is more, the
#: server stood still, and looks first at what has come meanwhile.
LATE_MS = 100

#: How long half a request may take to come whole once the server shuts down.
CLOSING_REQUEST_MS = 1000

#: A connection that has ended and takes nothing of its last replies for so long is cut.
END_STALLED_MS = 10_000

#: Connections that were too many and are given time to read that. Beyond it they are just closed.
REFUSED_LINGERING_MAX = 32

#: How long a connection closed after an error is still read, so that no reset overtakes the
#: error on its way, and how much is read of it.
LINGER_MS = 1000
LINGER_BYTES_MAX = 16 * 1024 * 1024

#: Connections the system holds until they are accepted: a crowd that comes at once, while a turn is
#: on, is not turned away.
BACKLOG_CONNECTIONS_MAX = 1024

#: Descriptors that are not clients': listeners, log, standard streams, libraries.
OWN_DESCRIPTORS = 64

#: A TCP client that has been silent for so long is asked by the system whether it is still there,
#: then so often; when it has not answered so many times, its connection ends: ten minutes in all. A
#: machine that lost its power or its network tells nobody, and its waits would be given jobs.
#: (What is sent and not acknowledged the system gives up after about fifteen minutes by itself;
#: `TCP_USER_TIMEOUT` could shorten that, but would end clients that live and do not read as well.)
KEEPALIVE_IDLE_MS = 300_000
KEEPALIVE_INTERVAL_MS = 60_000
KEEPALIVE_PROBES_MAX = 5

#: Requests of one connection that wait under tags: each may have to be ended in one turn when the
#: connection is. Who needs more takes another connection. And those of all together: each takes
#: about 500 bytes.
TAGGED_WAITS_MAX = 256
ALL_TAGGED_WAITS_MAX = 250_000

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

#: Jobs in a piece of a queue's order: what comes and goes in the middle moves half of one. And
#: priorities in a group of them that is counted together.
CHUNK_JOBS_MAX = 512
GROUP_RUNS_MAX = 512

#: Priorities of a queue kept for their next job when they have none: making one costs ten times
#: what using it does.
EMPTY_RUNS_MAX = 16

#: New objects after which they are looked through for cycles: one or two milliseconds of work.
YOUNG_OBJECTS_MAX = 5_000

#: What a job takes in memory beside payload and result, measured at a million of them; what
#: `max-memory` counts for each.
JOB_BYTES = 448

#: The same for a queue that has a job.
QUEUE_BYTES = 900

#: Results may exceed `max-memory` by one part in so many: what was accepted can still be finished
#: when nothing more is accepted.
RESULT_RESERVE_DIVISOR = 8

# --- settings, log lines, systemd -----------------------------------------------------------

#: A file of settings is read whole before it is understood. This is a hundred times what one
#: that names every setting needs, and keeps a path gone wrong from filling the memory.
SETTINGS_FILE_BYTES_MAX = 1024 * 1024

#: Values of one setting that may be given several times.
SETTING_VALUES_MAX = 64

#: How long a server that holds a Unix socket may take to be found out.
PROBE_MS = 1000

#: What is shown of one field of a log line: a name of 255 bytes fits, a payload does not flood the
#: log. Of a message: ours are short, those of libraries may tell of objects. Of a traceback, its
#: end: deep ones shorten themselves.
LOG_FIELD_CHARACTERS_MAX = 1024
LOG_MESSAGE_CHARACTERS_MAX = 4096
LOG_EXCEPTION_CHARACTERS_MAX = 16 * 1024

#: How long telling systemd may hold the server up. A socket that is full this long belongs to a
#: system in trouble, and the next word goes there soon anyway.
NOTIFY_MS = 100

#: A status for systemd is a line that people read.
NOTIFY_STATUS_CHARACTERS_MAX = 200

# --- the command log ------------------------------------------------------------------------

#: A turn's commit is split into frames of so many records or bytes, but never within the records
#: of one command: what is hashed and written at once, and lost together.
FRAME_RECORDS_MAX = 1000
FRAME_SPLIT_BYTES = 1024 * 1024

#: The body of a frame. What says that it is longer is no frame.
FRAME_BODY_BYTES_MAX = 16 * 1024 * 1024

#: Frames up to this size are hashed and written on the event loop: 150 µs at the most. Longer
#: ones go through a thread.
FRAME_BYTES_ON_LOOP_MAX = 64 * 1024

#: How long a sync is put off at the most, under `always`, while clients have more to be written.
GATHER_US = 1000

#: Smaller segments are raised to this: each costs a file, two syncs and a rename.
SEGMENT_BYTES_MIN = 4096

#: How far the wall clock may drift from the time that never steps until that is written down.
CLOCK_STEP_MS = 1000

#: How far the last entry of a log may be ahead of the wall clock: a machine that woke with a clock
#: of long ago must not go on from the future unasked.
CLOCK_BEHIND_MS_MAX = 3_600_000

#: How often it is looked whether the log has come to need more room than is promised, whatever
#: `cmdlog-clean-int` says; and how soon after the start. The look costs some microseconds.
COMPACTION_LOOK_MS = 1000

#: What a snapshot takes beside its records, files being made of blocks; and for a record beside
#: payload and result, until that was measured on the first one.
SNAPSHOT_BYTES_MIN = 4096
SNAPSHOT_RECORD_BYTES = 128

#: A compaction that failed is tried again after twice the time each time, but at least so often:
#: until it succeeds the log grows.
COMPACTION_RETRY_MS_MAX = 600_000

#: Payloads and results from this size on are left on disk by compaction: to know where they are
#: takes 200 bytes itself. And how many files it has open for them.
LEFT_ON_DISK_BYTES_MIN = 512
COMPACTION_FILES_MAX = 64

#: What is read of a compaction's complaint: a line, or the end of the world in a traceback.
COMPLAINT_BYTES_MAX = 16 * 1024

#: Files of the log that are looked for at each look, all of them in turn: a hundred microseconds of
#: a thread. There are ten or so, as a rule.
FILES_LOOKED_FOR_MAX = 32

#: Sealed segments beyond those that their bytes would fill, from which on a compaction is worth it:
#: each start begins one, and a server that cannot start for another reason is started again and
#: again. A start opens and syncs each.
SHORT_SEGMENTS_MAX = 1000

#: A compaction that takes longer is told of, each time as much time has passed again: it may stand
#: still, and meanwhile the log grows.
COMPACTION_LONG_MS = 600_000

#: How long a thread that waits for the disk may keep the interpreter when the event loop wants it.
SWITCH_US = 500

#: How often a long start says how far it is.
PROGRESS_MS = 2000

# --- the command line -----------------------------------------------------------------------

#: How long a shell that completes a queue's name waits for the server: a key was pressed.
COMPLETION_MS = 500

#: A payload in a table for people: the rest of the row must fit beside it.
CELL_CHARACTERS_MAX = 60

#: What `add --lines` reads at once and hands in together.
READ_LINES_BYTES = 262_144

#: Queues that `top` looks at: ten questions each second.
TOP_QUEUES_MAX = 1000

#: How often `workq top` looks at the most: nobody sees more pictures, and each asks the server for
#: its queues.
TOP_INTERVAL_MS_MIN = 10

#: Jobs of one `bench` of each kind: it keeps a duration and an id of each.
BENCH_CALLS_MAX = 1_000_000

#: Commands that one `exec` runs at a time: each takes four threads and three descriptors beside its
#: own process, and whoever wants more can start another.
EXEC_JOBS_MAX = 256

#: The end of what a command of `exec` says on standard error: the text of its failure.
EXEC_ERROR_BYTES_MAX = 4096

#: How long a command that is to end has between SIGTERM and SIGKILL.
EXEC_KILL_MS = 5000

#: The pause of a place of `exec` after a job was given back to be tried again: that job comes
#: next, and what was in its way needs time to go.
EXEC_PAUSE_MS = 1000

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
