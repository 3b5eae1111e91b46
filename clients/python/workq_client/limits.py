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

#: Connections of one client for calls that the server answers at once.
CONNECTIONS_MAX: Final = 10

#: Its connections for calls that wait on the server: a wait holds one as long as it lasts.
WAITS_MAX: Final = 100

#: Requests, and bytes of them, that a pipeline has on their way at a time. The server takes no more
#: than 2 MiB behind a request that waits, and one more request may be 1 MiB.
WINDOW_REQUESTS_MAX: Final = 500
WINDOW_BYTES_MAX: Final = 512 * 1024

#: How long a source may be asked for more requests while others wait to be sent.
GATHERING_S_MAX: Final = 0.01

#: Jobs of an `add_many` after which it counts those that have come to their end.
MANY_COUNTED: Final = 2000

#: The longest line of a reply. The server's own lines have at most some hundred bytes.
REPLY_LINE_BYTES_MAX: Final = 64 * 1024

#: The largest block of a reply; the server's has 1 MiB, unless it is told otherwise some day.
REPLY_BLOCK_BYTES_MAX: Final = 16 * 1024 * 1024

#: Entries and keys of a reply: a server answers with at most some hundred.
REPLY_ENTRIES_MAX: Final = 100_000

#: What is read at once, and what is kept of replies that nobody has asked for yet.
READ_BYTES: Final = 64 * 1024
UNREAD_BYTES_MAX: Final = 1024 * 1024

#: Errors that one `add_many` keeps to tell of.
MANY_ERRORS_MAX: Final = 100

#: What an error shows of bytes that make no sense.
EXCERPT_BYTES_MAX: Final = 80
