/* What the parts of load share: its settings, its connections, and what each part does. */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { EXIT_USAGE = 1, EXIT_CONNECTION = 2, EXIT_WATCHDOG = 3, EXIT_REPLIES = 4 };

enum proto { WORKQ, BEANSTALKD, REDIS };
enum mode { CYCLE, SPLIT, ADDING, DRAIN };
enum kind { ADD, LEASE, DONE, KINDS };
enum role { CYCLER, PRODUCER, CONSUMER };
enum status { GOOD, TIMED_OUT, BAD };

#define ID_MAX 40
#define NAME_MAX_LEN 64

/* ---- settings: load_options.c ------------------------------------------------------------ */

struct options {
	enum proto proto;
	enum mode mode;
	const char *host, *port, *queue;
	unsigned conns, depth, queues, priorities;
	size_t payload, payload_min, result; /* payload: the largest */
	bool sized;                          /* every job has another size */
	double seconds, warmup, timeout, stall;
	uint64_t jobs, preload, backlog, seed, rate; /* rate: jobs a second, 0: as many as can be */
	unsigned long ttr, ttl;
	long wait; /* ms; -1: by mode */
};

extern struct options opt;
extern const char *const proto_names[], *const mode_names[], *const kind_names[];

void read_options(int argc, char **argv);

/* ---- latencies: load_latency.c ----------------------------------------------------------- */

#define SUB 64
#define BUCKETS (SUB * 42)

struct hist {
	uint64_t n, max, bucket[BUCKETS];
};

void record(struct hist *h, uint64_t ns);
void print_quantiles(const struct hist *h);

/* ---- connections: load.c ----------------------------------------------------------------- */

/* Each queue has its share of --jobs, so that nobody waits for jobs added to another. */
struct queue {
	uint64_t jobs, claimed; /* adds (cycle, producers) or leases (drain) handed out */
	uint64_t lease_claimed; /* leases of split */
	uint64_t add_failed;
};

struct conn {
	int fd;
	enum role role;
	enum kind kind; /* of the commands in flight */
	struct queue *queue;
	const char *name;
	size_t name_len;
	bool finished, paused, idle, want_write, saw_timeout; /* idle: until it is due */
	unsigned inflight, good; /* good: successes of this batch so far */
	unsigned head;           /* ring of send times */
	uint64_t *sent;
	uint64_t due; /* when the next batch begins, with a rate */
	char (*ids)[ID_MAX]; /* of leased jobs, or of jobs to complete */
	uint8_t *id_lens;
	char *in;
	size_t in_at, in_end, in_cap;
	char *out;
	size_t out_at, out_end, out_cap;
	/* templates of this connection's queue; add_head: up to the size of the payload, and for
	 * beanstalkd from the priority on */
	char add_head[256], lease_cmd[192], done_tail[32];
	size_t add_head_len, lease_len, done_tail_len;
};

void *must_alloc(void *old, size_t size);

/* ---- commands and replies: load_protocol.c ----------------------------------------------- */

struct reply {
	enum status status;
	const char *text; /* what to show when it is bad */
	size_t text_len;
	const char *id;
	size_t id_len;
};

/* Once, before anything else here. */
void prepare_texts(void);
/* For the queue of a connection. */
void make_templates(struct conn *c);
/* Appends a command to what is to be sent: the i-th of its batch. Low: a job that goes after all
 * others. */
void put_command(struct conn *c, enum kind kind, unsigned i, bool low);
/* The reply at p to a command of the connection's kind. Returns its full length, 0: not all here,
 * -1: not of the protocol. */
ssize_t parse_reply(struct conn *c, struct reply *r, const char *p, size_t n);

#endif
