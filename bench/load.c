/*
 * load: a load generator for workq, beanstalkd and Redis lists.
 *
 * One thread, epoll, no dependencies. It is a closed loop: a connection sends its next command (or,
 * at depth D, its next D commands) when the replies to the last have been read in full. What it
 * cannot see is the time a command would have waited had clients not waited for each other.
 *
 *   load --protocol workq|beanstalkd|redis --port P [--mode cycle|split|add|drain] [options]
 *
 * The result is one line of JSON on standard output. Exit status: 0 fine, 1 usage, 2 no server or a
 * connection lost, 3 watchdog (nothing came for too long), 4 unexpected replies.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 1, EXIT_CONNECTION = 2, EXIT_WATCHDOG = 3, EXIT_REPLIES = 4 };

enum proto { WORKQ, BEANSTALKD, REDIS };
enum mode { CYCLE, SPLIT, ADDING, DRAIN };
enum kind { ADD, LEASE, DONE, KINDS };
enum role { CYCLER, PRODUCER, CONSUMER };
enum status { GOOD, TIMED_OUT, BAD };

static const char *const proto_names[] = {"workq", "beanstalkd", "redis"};
static const char *const mode_names[] = {"cycle", "split", "add", "drain"};
static const char *const kind_names[] = {"add", "lease", "complete"};

#define NS 1000000000ULL
#define PRELOAD_DEPTH 64
#define MAX_LINE 65536
#define MAX_ERRORS 100
#define ID_MAX 40
#define NAME_MAX_LEN 64

/* ---- settings ------------------------------------------------------------------------------ */

static struct {
	enum proto proto;
	enum mode mode;
	const char *host, *port, *queue;
	unsigned conns, depth, queues;
	size_t payload, result;
	double seconds, warmup, timeout, stall;
	uint64_t jobs, preload, backlog, seed;
	unsigned long ttr, ttl;
	long wait; /* ms; -1: by mode */
} opt = {
	.host = "127.0.0.1", .queue = "bench", .conns = 50, .depth = 1, .queues = 1,
	.payload = 64, .result = 2, .backlog = 10000, .seed = 1, .ttr = 60000, .ttl = 600000,
	.wait = -1, .stall = 30,
};

/* ---- small things -------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void *must_alloc(void *old, size_t size)
{
	void *p = realloc(old, size);
	if (!p) {
		fprintf(stderr, "load: out of memory\n");
		exit(EXIT_USAGE);
	}
	return p;
}

/* xorshift128+ */
static uint64_t rng[2];

static uint64_t next_random(void)
{
	uint64_t a = rng[0], b = rng[1];
	rng[0] = b;
	a ^= a << 23;
	rng[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
	return rng[1] + b;
}

static void seed_random(uint64_t seed)
{
	for (int i = 0; i < 2; i++) { /* splitmix64 */
		uint64_t z = (seed += 0x9e3779b97f4a7c15ULL);
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
		rng[i] = z ^ (z >> 31);
	}
}

static char hex_pairs[512];

static void put_uuid(char *out)
{
	uint8_t raw[16];
	uint64_t a = next_random(), b = next_random();
	memcpy(raw, &a, 8);
	memcpy(raw + 8, &b, 8);
	raw[6] = (uint8_t)((raw[6] & 0x0f) | 0x40);
	raw[8] = (uint8_t)((raw[8] & 0x3f) | 0x80);
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		memcpy(out, hex_pairs + 2 * raw[i], 2);
		out += 2;
	}
}

static bool is_uuid(const char *p)
{
	for (int i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (p[i] != '-')
				return false;
		} else if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f'))) {
			return false;
		}
	}
	return true;
}

/* ---- latencies: log buckets of 1/64, so within 1.6 % ---------------------------------------- */

#define SUB 64
#define BUCKETS (SUB * 42)

struct hist {
	uint64_t n, max, bucket[BUCKETS];
};

static struct hist hists[KINDS];

static void record(enum kind kind, uint64_t ns)
{
	struct hist *h = &hists[kind];
	unsigned i;
	if (ns < SUB) {
		i = (unsigned)ns;
	} else {
		unsigned e = 63u - (unsigned)__builtin_clzll(ns);
		i = (e - 5) * SUB + (unsigned)((ns >> (e - 6)) & (SUB - 1));
		if (i >= BUCKETS)
			i = BUCKETS - 1;
	}
	h->bucket[i]++;
	h->n++;
	if (ns > h->max)
		h->max = ns;
}

static uint64_t bucket_top(unsigned i)
{
	if (i < SUB)
		return i;
	unsigned e = i / SUB + 5;
	uint64_t sub = i % SUB;
	return (((uint64_t)SUB + sub + 1) << (e - 6)) - 1;
}

static double quantile_us(const struct hist *h, double q)
{
	uint64_t want = (uint64_t)(q * (double)h->n + 0.5), seen = 0;
	if (!h->n)
		return 0;
	if (want < 1)
		want = 1;
	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= want) {
			uint64_t top = bucket_top(i);
			return (double)(top < h->max ? top : h->max) / 1e3;
		}
	}
	return (double)h->max / 1e3;
}

static void print_quantiles(const struct hist *h)
{
	printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f",
	       quantile_us(h, 0.5), quantile_us(h, 0.99), quantile_us(h, 0.999),
	       (double)h->max / 1e3);
}

/* ---- connections ---------------------------------------------------------------------------- */

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
	bool finished, paused, want_write, saw_timeout;
	unsigned inflight, good; /* good: successes of this batch so far */
	unsigned head;           /* ring of send times */
	uint64_t *sent;
	char (*ids)[ID_MAX]; /* of leased jobs, or of jobs to complete */
	uint8_t *id_lens;
	char *in;
	size_t in_at, in_end, in_cap;
	char *out;
	size_t out_at, out_end, out_cap;
	/* templates of this connection's queue */
	char add_tail[256], lease_cmd[192], done_tail[32];
	size_t add_tail_len, lease_len, done_tail_len;
};

static struct conn *conns;
static struct queue *queues;
static unsigned ring; /* power of two, at least the depth */
static int epoll_fd;
static char *payload, *result;

/* one stage: the preload, or the measurement */
static struct {
	bool preload, sliding, by_time;
	unsigned depth;
	uint64_t jobs;        /* 0: no limit */
	uint64_t outstanding; /* split: added but not completed */
	unsigned finished, paused;
} stage;

static struct {
	uint64_t jobs, commands, timeouts, start, last, replies;
	double cpu;
} tally;

static uint64_t clock_ns; /* the time of the current read */
static uint64_t errors;
static char first_error[256];
static char fatal[256];
static int fatal_status;

static void set_fatal(int status, const char *format, ...)
{
	va_list args;
	if (fatal_status)
		return;
	fatal_status = status;
	va_start(args, format);
	vsnprintf(fatal, sizeof fatal, format, args);
	va_end(args);
}

static void note_error(const char *what, const char *text, size_t len)
{
	if (!errors++) {
		int shown = (int)(len < 160 ? len : 160);
		snprintf(first_error, sizeof first_error, "%s: %.*s", what, shown, text);
	}
	if (errors >= MAX_ERRORS)
		set_fatal(EXIT_REPLIES, "gave up after %d unexpected replies", MAX_ERRORS);
}

static char *room(struct conn *c, size_t need)
{
	if (c->out_end + need > c->out_cap) {
		size_t used = c->out_end - c->out_at;
		memmove(c->out, c->out + c->out_at, used);
		c->out_at = 0;
		c->out_end = used;
		if (used + need > c->out_cap) {
			while (used + need > c->out_cap)
				c->out_cap *= 2;
			c->out = must_alloc(c->out, c->out_cap);
		}
	}
	return c->out + c->out_end;
}

static char *append(char *at, const char *bytes, size_t len)
{
	memcpy(at, bytes, len);
	return at + len;
}

/* ---- commands ------------------------------------------------------------------------------- */

static void make_templates(struct conn *c, bool low)
{
	long wait = opt.wait;
	int n = 0, m = 0, k = 0;
	switch (opt.proto) {
	case WORKQ:
		n = snprintf(c->add_tail, sizeof c->add_tail, " %s %lu %lu %zu%s\r\n", c->name,
			     opt.ttr, opt.ttl, opt.payload, low ? " -priority=-1" : "");
		m = snprintf(c->lease_cmd, sizeof c->lease_cmd, "lease %s %ld\r\n", c->name, wait);
		k = snprintf(c->done_tail, sizeof c->done_tail, " %zu\r\n", opt.result);
		break;
	case BEANSTALKD:
		n = snprintf(c->add_tail, sizeof c->add_tail, "put %d 0 %lu %zu\r\n",
			     low ? 2000 : 1000, (opt.ttr + 999) / 1000, opt.payload);
		m = snprintf(c->lease_cmd, sizeof c->lease_cmd, "reserve-with-timeout %ld\r\n",
			     (wait + 999) / 1000);
		k = snprintf(c->done_tail, sizeof c->done_tail, "\r\n");
		break;
	case REDIS: {
		char seconds[32];
		/* a timeout of 0 would wait for ever */
		int s = snprintf(seconds, sizeof seconds, "%.3f", wait ? (double)wait / 1e3 : 0.001);
		n = snprintf(c->add_tail, sizeof c->add_tail,
			     "*3\r\n$5\r\nLPUSH\r\n$%zu\r\n%s\r\n$%zu\r\n", c->name_len, c->name,
			     opt.payload);
		m = snprintf(c->lease_cmd, sizeof c->lease_cmd,
			     "*3\r\n$5\r\nBRPOP\r\n$%zu\r\n%s\r\n$%d\r\n%s\r\n", c->name_len,
			     c->name, s, seconds);
		break;
	}
	}
	c->add_tail_len = (size_t)n;
	c->lease_len = (size_t)m;
	c->done_tail_len = (size_t)k;
}

static void put_add(struct conn *c)
{
	char *at = room(c, 64 + c->add_tail_len + opt.payload);
	if (opt.proto == WORKQ) {
		at = append(at, "add ", 4);
		put_uuid(at);
		at += 36;
	}
	at = append(at, c->add_tail, c->add_tail_len);
	at = append(at, payload, opt.payload);
	at = append(at, "\r\n", 2);
	c->out_end = (size_t)(at - c->out);
}

static void put_lease(struct conn *c)
{
	char *at = append(room(c, c->lease_len), c->lease_cmd, c->lease_len);
	c->out_end = (size_t)(at - c->out);
}

static void put_done(struct conn *c, unsigned i)
{
	char *at = room(c, 128 + opt.result);
	at = opt.proto == WORKQ ? append(at, "complete ", 9) : append(at, "delete ", 7);
	at = append(at, c->ids[i], c->id_lens[i]);
	at = append(at, c->done_tail, c->done_tail_len);
	if (opt.proto == WORKQ) {
		at = append(at, result, opt.result);
		at = append(at, "\r\n", 2);
	}
	c->out_end = (size_t)(at - c->out);
}

static void put_batch(struct conn *c, enum kind kind, unsigned n)
{
	uint64_t t = now_ns();
	c->kind = kind;
	for (unsigned i = 0; i < n; i++) {
		if (kind == ADD)
			put_add(c);
		else if (kind == LEASE)
			put_lease(c);
		else
			put_done(c, i);
		c->sent[(c->head + c->inflight++) & (ring - 1)] = t;
	}
}

/* ---- what a connection does next ------------------------------------------------------------ */

static unsigned claim(uint64_t *claimed, uint64_t limit, unsigned n)
{
	if (stage.jobs) {
		uint64_t left = limit > *claimed ? limit - *claimed : 0;
		if (n > left)
			n = (unsigned)left;
	}
	*claimed += n;
	return n;
}

static void finish(struct conn *c)
{
	if (!c->finished) {
		c->finished = true;
		stage.finished++;
	}
}

/* A producer of split keeps its window full, unless too many jobs wait already. */
static void fill_window(struct conn *c)
{
	unsigned n = stage.depth - c->inflight;
	if (!n || c->finished || c->paused)
		return;
	if (stage.outstanding + n > opt.backlog) {
		c->paused = true;
		stage.paused++;
		return;
	}
	n = claim(&c->queue->claimed, c->queue->jobs, n);
	if (n) {
		stage.outstanding += n;
		put_batch(c, ADD, n);
	} else if (!c->inflight) {
		finish(c);
	}
}

static void next_adds(struct conn *c)
{
	unsigned n = claim(&c->queue->claimed, c->queue->jobs, stage.depth);
	if (n)
		put_batch(c, ADD, n);
	else
		finish(c);
}

static void next_leases(struct conn *c)
{
	unsigned n;
	if (opt.mode == DRAIN)
		n = c->saw_timeout ? 0 : claim(&c->queue->claimed, c->queue->jobs, stage.depth);
	else
		n = claim(&c->queue->lease_claimed, c->queue->jobs - c->queue->add_failed,
			  stage.depth);
	if (n)
		put_batch(c, LEASE, n);
	else
		finish(c);
}

/* Called when replies have been read. */
static void advance(struct conn *c)
{
	if (c->role == PRODUCER && stage.sliding) {
		fill_window(c);
		return;
	}
	if (c->inflight || c->finished)
		return;
	unsigned good = c->good;
	c->good = 0;
	if (c->role == PRODUCER) {
		next_adds(c);
	} else if (c->kind == LEASE && good && opt.proto != REDIS) {
		put_batch(c, DONE, good);
	} else if (c->role == CONSUMER) {
		next_leases(c);
	} else if (c->kind == ADD && good) {
		put_batch(c, LEASE, good);
	} else {
		next_adds(c);
	}
}

/* ---- replies -------------------------------------------------------------------------------- */

struct reply {
	enum status status;
	const char *text; /* what to show when it is bad */
	size_t text_len;
	const char *id;
	size_t id_len;
};

/* The line at p without its CRLF. Returns its full length, 0: not all here, -1: not a line. */
static ssize_t take_line(const char *p, size_t n, size_t *len)
{
	const char *lf = memchr(p, '\n', n);
	if (!lf)
		return n > MAX_LINE ? -1 : 0;
	if (lf == p || lf[-1] != '\r')
		return -1;
	*len = (size_t)(lf - p) - 1;
	return lf - p + 1;
}

static bool is(const char *p, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(p, word, len);
}

/* A decimal number at *p, which must end before `end`. */
static bool take_number(const char **p, const char *end, uint64_t *value)
{
	const char *s = *p;
	uint64_t v = 0;
	if (s == end || end - s > 19)
		return false;
	for (; s < end; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	*p = s;
	*value = v;
	return true;
}

static const char *word_end(const char *p, const char *end)
{
	const char *space = memchr(p, ' ', (size_t)(end - p));
	return space ? space : end;
}

static void bad(struct reply *r, const char *text)
{
	r->status = BAD;
	r->text = text;
	r->text_len = strlen(text);
}

/* A block of `size` bytes and CRLF at p. Returns its full length, 0: not all here, -1: broken. */
static ssize_t take_block(struct reply *r, const char *p, size_t n, uint64_t size)
{
	if (size > (1u << 30))
		return -1;
	if (n < size + 2)
		return 0;
	if (p[size] != '\r' || p[size + 1] != '\n')
		return -1;
	if (size != opt.payload || memcmp(p, payload, size))
		bad(r, "the payload is not the one that was added");
	return (ssize_t)size + 2;
}

static ssize_t parse_workq(struct conn *c, struct reply *r, const char *p, size_t n)
{
	size_t len = 0;
	ssize_t used = take_line(p, n, &len), more;
	if (used <= 0)
		return used;
	r->text = p;
	r->text_len = len;
	if (p[0] == '-') {
		r->status = c->kind == LEASE && is(p, len, "-TIMEOUT") ? TIMED_OUT : BAD;
		return used;
	}
	if (c->kind != LEASE)
		return is(p, len, "+OK") ? used : -1;
	if (!is(p, len, "+OK 1"))
		return -1;
	p += used;
	n -= (size_t)used;
	more = take_line(p, n, &len);
	if (more <= 0)
		return more;
	const char *end = p + len, *at;
	uint64_t ttr, size;
	if (len < 37 || !is_uuid(p) || p[36] != ' ')
		return -1;
	r->id = p;
	r->id_len = 36;
	at = p + 37;
	const char *stop = word_end(at, end);
	if (stop == end)
		return -1;
	if ((size_t)(stop - at) != c->name_len || memcmp(at, c->name, c->name_len))
		bad(r, "leased from another queue");
	at = stop + 1;
	stop = word_end(at, end);
	if (stop == end || !take_number(&at, stop, &ttr))
		return -1;
	if (ttr != opt.ttr)
		bad(r, "the TTR is not the one that was given");
	at = stop + 1;
	if (!take_number(&at, end, &size))
		return -1;
	used += more;
	p += more;
	n -= (size_t)more;
	more = take_block(r, p, n, size);
	return more <= 0 ? more : used + more;
}

static ssize_t parse_beanstalkd(struct conn *c, struct reply *r, const char *p, size_t n)
{
	size_t len = 0;
	ssize_t used = take_line(p, n, &len), more;
	uint64_t id, size;
	if (used <= 0)
		return used;
	r->text = p;
	r->text_len = len;
	const char *end = p + len, *at;
	if (c->kind == ADD) {
		at = p + 9;
		if (len < 10 || memcmp(p, "INSERTED ", 9))
			r->status = BAD;
		else if (!take_number(&at, end, &id))
			return -1;
		return used;
	}
	if (c->kind == DONE) {
		if (!is(p, len, "DELETED"))
			r->status = BAD;
		return used;
	}
	if (len < 9 || memcmp(p, "RESERVED ", 9)) {
		r->status = is(p, len, "TIMED_OUT") ? TIMED_OUT : BAD;
		return used;
	}
	at = p + 9;
	const char *stop = word_end(at, end);
	r->id = at;
	r->id_len = (size_t)(stop - at);
	if (stop == end || !take_number(&at, stop, &id))
		return -1;
	at = stop + 1;
	if (!take_number(&at, end, &size))
		return -1;
	more = take_block(r, p + used, n - (size_t)used, size);
	return more <= 0 ? more : used + more;
}

static ssize_t parse_redis(struct conn *c, struct reply *r, const char *p, size_t n)
{
	size_t len = 0;
	ssize_t used = take_line(p, n, &len), more;
	uint64_t size;
	const char *at = p + 1;
	if (used <= 0)
		return used;
	r->text = p;
	r->text_len = len;
	if (p[0] == '-') {
		r->status = BAD;
		return used;
	}
	if (c->kind == ADD)
		return p[0] == ':' && take_number(&at, p + len, &size) ? used : -1;
	if (is(p, len, "*-1")) {
		r->status = TIMED_OUT;
		return used;
	}
	if (!is(p, len, "*2"))
		return -1;
	for (int part = 0; part < 2; part++) {
		more = take_line(p + used, n - (size_t)used, &len);
		if (more <= 0)
			return more;
		at = p + used + 1;
		if (p[used] != '$' || !take_number(&at, p + used + len, &size))
			return -1;
		used += more;
		if (part == 0) {
			if (size != c->name_len)
				return -1;
			if (n - (size_t)used < size + 2)
				return 0;
			if (memcmp(p + used, c->name, size))
				bad(r, "popped from another list");
			used += (ssize_t)size + 2;
		} else {
			more = take_block(r, p + used, n - (size_t)used, size);
			if (more <= 0)
				return more;
			used += more;
		}
	}
	return used;
}

static void take_reply(struct conn *c, const struct reply *r)
{
	enum kind kind = c->kind;
	bool last = opt.proto == REDIS ? kind == LEASE : kind == DONE;
	uint64_t took = clock_ns - c->sent[c->head & (ring - 1)];
	c->head++;
	c->inflight--;
	tally.replies++;
	if (r->status == TIMED_OUT && c->role == CONSUMER) { /* fine, but not work done */
		tally.timeouts++;
		c->saw_timeout = true;
		if (opt.mode == SPLIT)
			c->queue->lease_claimed--;
		return;
	}
	record(kind, took);
	tally.commands++;
	if (r->status != GOOD) {
		note_error(kind_names[kind], r->text, r->text_len);
		if (kind == ADD) {
			c->queue->add_failed++;
			if (stage.sliding)
				stage.outstanding--;
		}
		if (!r->id)
			return; /* else the job was leased, if oddly: complete it */
	}
	if (kind == LEASE && opt.proto != REDIS) {
		memcpy(c->ids[c->good], r->id, r->id_len);
		c->id_lens[c->good] = (uint8_t)r->id_len;
	}
	c->good++;
	if (last) {
		tally.jobs++;
		if (stage.sliding && stage.outstanding)
			stage.outstanding--;
	} else if (kind == ADD && (opt.mode == ADDING || stage.preload)) {
		tally.jobs++;
	} else {
		return;
	}
	tally.last = clock_ns;
}

static void parse_replies(struct conn *c)
{
	while (c->in_at < c->in_end && !fatal_status) {
		struct reply r = {.status = GOOD};
		const char *p = c->in + c->in_at;
		size_t n = c->in_end - c->in_at;
		ssize_t used;
		if (!c->inflight) {
			note_error("a reply to nothing", p, n);
			set_fatal(EXIT_REPLIES, "the server sent more replies than it got commands");
			return;
		}
		switch (opt.proto) {
		case WORKQ: used = parse_workq(c, &r, p, n); break;
		case BEANSTALKD: used = parse_beanstalkd(c, &r, p, n); break;
		default: used = parse_redis(c, &r, p, n); break;
		}
		if (used < 0) {
			note_error(kind_names[c->kind], p, n);
			set_fatal(EXIT_REPLIES, "a reply to %s that is not of the protocol",
				  kind_names[c->kind]);
			return;
		}
		if (!used)
			break;
		c->in_at += (size_t)used;
		take_reply(c, &r);
	}
	if (c->in_at == c->in_end)
		c->in_at = c->in_end = 0;
}

/* ---- sockets -------------------------------------------------------------------------------- */

static void lost(struct conn *c, const char *why)
{
	set_fatal(EXIT_CONNECTION, "connection %u lost after %llu replies in all: %s",
		  (unsigned)(c - conns), (unsigned long long)tally.replies, why);
}

static void flush(struct conn *c)
{
	while (c->out_at < c->out_end) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_end - c->out_at, MSG_NOSIGNAL);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN) {
				lost(c, strerror(errno));
				return;
			}
			break;
		}
		c->out_at += (size_t)n;
	}
	if (c->out_at == c->out_end)
		c->out_at = c->out_end = 0;
	bool want = c->out_at < c->out_end;
	if (want != c->want_write) {
		struct epoll_event e = {.events = EPOLLIN | (want ? EPOLLOUT : 0), .data.ptr = c};
		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
		c->want_write = want;
	}
}

static void read_some(struct conn *c)
{
	for (;;) {
		if (c->in_end == c->in_cap) {
			if (c->in_at) {
				memmove(c->in, c->in + c->in_at, c->in_end - c->in_at);
				c->in_end -= c->in_at;
				c->in_at = 0;
			} else {
				c->in_cap *= 2;
				c->in = must_alloc(c->in, c->in_cap);
			}
		}
		size_t space = c->in_cap - c->in_end;
		ssize_t n = recv(c->fd, c->in + c->in_end, space, 0);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				lost(c, strerror(errno));
			return;
		}
		if (!n) {
			lost(c, "the server closed it");
			return;
		}
		clock_ns = now_ns();
		c->in_end += (size_t)n;
		parse_replies(c);
		if ((size_t)n < space || fatal_status)
			return;
	}
}

static int connect_one(const struct addrinfo *list)
{
	int error = ECONNREFUSED;
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0) {
			error = errno;
			continue;
		}
		if (connect(fd, a->ai_addr, a->ai_addrlen) && errno != EINPROGRESS) {
			error = errno;
			close(fd);
			continue;
		}
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		socklen_t size = sizeof error;
		if (poll(&p, 1, 5000) < 1) {
			error = ETIMEDOUT;
		} else {
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
			if (!error) {
				int one = 1;
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
				return fd;
			}
		}
		close(fd);
	}
	errno = error;
	return -1;
}

/* beanstalkd: choose the tube. Not measured, so plain and blocking. */
static bool choose_tube(struct conn *c)
{
	char text[512], want[256];
	size_t got = 0;
	int n = snprintf(text, sizeof text, "use %s\r\nwatch %s\r\nignore default\r\n", c->name,
			 c->name);
	int expected = snprintf(want, sizeof want, "USING %s\r\nWATCHING 2\r\nWATCHING 1\r\n",
				c->name);
	if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		return false;
	while (got < (size_t)expected) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		if (poll(&p, 1, 5000) < 1)
			return false;
		ssize_t r = recv(c->fd, text + got, sizeof text - got, 0);
		if (r <= 0)
			return false;
		got += (size_t)r;
	}
	return got == (size_t)expected && !memcmp(text, want, got);
}

static bool open_connections(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	int bad_name = getaddrinfo(opt.host, opt.port, &hints, &list);
	if (bad_name) {
		set_fatal(EXIT_CONNECTION, "%s: %s", opt.host, gai_strerror(bad_name));
		return false;
	}
	unsigned most = stage.depth > PRELOAD_DEPTH ? stage.depth : PRELOAD_DEPTH;
	if (opt.depth > most)
		most = opt.depth;
	for (ring = 1; ring < most;)
		ring *= 2;
	conns = must_alloc(NULL, opt.conns * sizeof *conns);
	memset(conns, 0, opt.conns * sizeof *conns);
	queues = must_alloc(NULL, opt.queues * sizeof *queues);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; i < opt.conns; i++) {
		struct conn *c = &conns[i];
		/* in split the odd ones produce: queue i/2, so that each queue has both kinds */
		unsigned q = (opt.mode == SPLIT ? i / 2 : i) % opt.queues;
		char name[NAME_MAX_LEN + 16];
		c->queue = &queues[q];
		if (opt.queues > 1)
			snprintf(name, sizeof name, "%s-%u", opt.queue, q);
		else
			snprintf(name, sizeof name, "%s", opt.queue);
		c->name = strdup(name);
		c->name_len = strlen(name);
		c->sent = must_alloc(NULL, ring * sizeof *c->sent);
		c->ids = must_alloc(NULL, (size_t)ring * ID_MAX);
		c->id_lens = must_alloc(NULL, ring);
		c->in_cap = c->out_cap = 65536;
		c->in = must_alloc(NULL, c->in_cap);
		c->out = must_alloc(NULL, c->out_cap);
		c->fd = connect_one(list);
		if (c->fd < 0) {
			set_fatal(EXIT_CONNECTION, "cannot connect to %s:%s: %s", opt.host, opt.port,
				  strerror(errno));
			break;
		}
		if (opt.proto == BEANSTALKD && !choose_tube(c)) {
			set_fatal(EXIT_CONNECTION, "beanstalkd did not take use, watch, ignore");
			break;
		}
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
	}
	freeaddrinfo(list);
	return !fatal_status;
}

/* ---- a stage -------------------------------------------------------------------------------- */

static void start_tally(uint64_t now)
{
	memset(&tally, 0, sizeof tally);
	memset(hists, 0, sizeof hists);
	tally.start = tally.last = now;
	tally.cpu = cpu_seconds();
}

static void wake_producers(void)
{
	static unsigned from;
	from++;
	for (unsigned i = 0; i < opt.conns && stage.paused; i++) {
		struct conn *c = &conns[(from + i) % opt.conns];
		if (!c->paused)
			continue;
		if (stage.outstanding + stage.depth > opt.backlog)
			return;
		c->paused = false;
		stage.paused--;
		fill_window(c);
		flush(c);
	}
}

static void run_stage(uint64_t give_up)
{
	struct epoll_event events[128];
	uint64_t begin = now_ns(), warm, stop, heard = begin, replies = 0;
	bool warming = stage.by_time && opt.warmup > 0;
	warm = begin + (uint64_t)(warming ? opt.warmup * 1e9 : 0);
	stop = stage.by_time ? warm + (uint64_t)(opt.seconds * 1e9) : UINT64_MAX;
	start_tally(begin);
	for (unsigned q = 0; q < opt.queues; q++) {
		memset(&queues[q], 0, sizeof queues[q]);
		queues[q].jobs = stage.jobs / opt.queues + (q < stage.jobs % opt.queues);
	}
	for (unsigned i = 0; i < opt.conns && !fatal_status; i++) {
		struct conn *c = &conns[i];
		c->finished = c->paused = c->saw_timeout = false;
		c->good = 0;
		c->role = stage.preload || opt.mode == ADDING ? PRODUCER
			  : opt.mode == DRAIN                   ? CONSUMER
			  : opt.mode == CYCLE                   ? CYCLER
			  : i % 2                               ? PRODUCER
								: CONSUMER;
		c->kind = DONE;
		make_templates(c, stage.preload);
		advance(c);
		flush(c);
	}
	while (!fatal_status && stage.finished < opt.conns) {
		int n = epoll_wait(epoll_fd, events, 128, 100);
		for (int i = 0; i < n && !fatal_status; i++) {
			struct conn *c = events[i].data.ptr;
			if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
				read_some(c);
				if (!fatal_status)
					advance(c);
			}
			if (!fatal_status && c->out_at < c->out_end)
				flush(c);
			else if (c->want_write)
				flush(c);
		}
		if (stage.paused && stage.outstanding < opt.backlog - opt.backlog / 10)
			wake_producers();
		uint64_t now = now_ns();
		if (warming && now >= warm) {
			warming = false;
			stop += now - warm;
			start_tally(now);
			replies = 0;
			heard = now;
		}
		if (now >= stop) {
			tally.last = now;
			break;
		}
		if (tally.replies != replies) {
			replies = tally.replies;
			heard = now;
		} else if (now - heard > (uint64_t)(opt.stall * 1e9)) {
			set_fatal(EXIT_WATCHDOG, "no reply for %.0f s", opt.stall);
		}
		if (now >= give_up)
			set_fatal(EXIT_WATCHDOG, "not done after %.0f s in all", opt.timeout);
	}
}

/* ---- result --------------------------------------------------------------------------------- */

static void print_string(const char *key, const char *text)
{
	printf("\"%s\":\"", key);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if (*p < 0x20 || *p > 0x7e)
			printf("\\u%04x", *p);
		else
			putchar(*p);
	}
	putchar('"');
}

static void print_result(void)
{
	static struct hist all;
	double seconds = (double)(tally.last - tally.start) / 1e9;
	double cpu = cpu_seconds() - tally.cpu;
	for (int k = 0; k < KINDS; k++) {
		all.n += hists[k].n;
		if (hists[k].max > all.max)
			all.max = hists[k].max;
		for (int i = 0; i < BUCKETS; i++)
			all.bucket[i] += hists[k].bucket[i];
	}
	printf("{\"protocol\":\"%s\",\"mode\":\"%s\",\"connections\":%u,\"depth\":%u,"
	       "\"queues\":%u,\"payload\":%zu,\"preload\":%llu,\"seconds\":%.3f,\"jobs\":%llu,"
	       "\"commands\":%llu,\"jobs_per_s\":%.1f,\"commands_per_s\":%.1f,",
	       proto_names[opt.proto], mode_names[opt.mode], opt.conns, opt.depth, opt.queues,
	       opt.payload, (unsigned long long)opt.preload, seconds,
	       (unsigned long long)tally.jobs, (unsigned long long)tally.commands,
	       seconds > 0 ? (double)tally.jobs / seconds : 0,
	       seconds > 0 ? (double)tally.commands / seconds : 0);
	print_quantiles(&all);
	printf(",\"latency\":{");
	for (int k = 0, some = 0; k < KINDS; k++) {
		if (!hists[k].n)
			continue;
		printf("%s\"%s\":{\"n\":%llu,", some++ ? "," : "", kind_names[k],
		       (unsigned long long)hists[k].n);
		print_quantiles(&hists[k]);
		putchar('}');
	}
	printf("},\"timeouts\":%llu,\"load_cpu\":%.3f,\"errors\":%llu,",
	       (unsigned long long)tally.timeouts, seconds > 0 ? cpu / seconds : 0,
	       (unsigned long long)errors);
	print_string("first_error", first_error);
	putchar(',');
	print_string("fatal", fatal);
	printf("}\n");
	fflush(stdout);
}

/* ---- the command line ----------------------------------------------------------------------- */

static void usage(FILE *to)
{
	fprintf(to,
		"usage: load --protocol workq|beanstalkd|redis --port P [options]\n"
		"  --host H         (127.0.0.1)\n"
		"  -c N             connections (50)\n"
		"  -d D             commands in flight per connection (1)\n"
		"  --payload BYTES  of a job (64)          --result BYTES  of a completion, workq (2)\n"
		"  --mode M         cycle: add, lease, complete on every connection (default)\n"
		"                   split: half of the connections add, half lease and complete\n"
		"                   add:   only add\n"
		"                   drain: lease and complete until the queue is empty\n"
		"  --seconds S      measure for S (5, unless --jobs is given; drain: no limit)\n"
		"  --warmup S       before that, not counted (0)\n"
		"  --jobs N         or: until N jobs are through\n"
		"  --preload N      jobs of lower priority that wait in the queue meanwhile (0)\n"
		"  --backlog N      split: producers pause at N jobs not yet completed (10000)\n"
		"  --queue NAME     (bench)                --queues Q  spread over Q queues (1)\n"
		"  --ttr MS (60000) --ttl MS (600000)      --wait MS  of a lease (10000, drain: 0)\n"
		"  --seed N         of the ids (1)\n"
		"  --stall S        give up after S without a reply (30)\n"
		"  --timeout S      give up after S in all (by size of the task)\n");
}

static void refuse(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "load: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(EXIT_USAGE);
}

static uint64_t whole(const char *name, const char *text, uint64_t least, uint64_t most)
{
	char *end;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || v < least || v > most)
		refuse("%s: a number from %llu to %llu, not '%s'", name, (unsigned long long)least,
		       (unsigned long long)most, text);
	return v;
}

static double real(const char *name, const char *text)
{
	char *end;
	double v = strtod(text, &end);
	if (!*text || *end || !(v >= 0 && v < 1e7))
		refuse("%s: a number of seconds, not '%s'", name, text);
	return v;
}

static int word(const char *name, const char *text, const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(text, words[i]))
			return i;
	refuse("%s: '%s' is unknown", name, text);
	return 0;
}

static void read_options(int argc, char **argv)
{
	enum { PROTO = 256, HOST, PORT, PAYLOAD, RESULT, SECONDS, WARMUP, JOBS, MODE, PRELOAD, BACKLOG,
	       QUEUE, QUEUES, TTR, TTL, WAIT, SEED, STALL, TIMEOUT };
	static const struct option longs[] = {
		{"protocol", 1, 0, PROTO}, {"host", 1, 0, HOST}, {"port", 1, 0, PORT},
		{"connections", 1, 0, 'c'}, {"depth", 1, 0, 'd'}, {"payload", 1, 0, PAYLOAD},
		{"result", 1, 0, RESULT}, {"seconds", 1, 0, SECONDS}, {"warmup", 1, 0, WARMUP},
		{"jobs", 1, 0, JOBS}, {"mode", 1, 0, MODE}, {"preload", 1, 0, PRELOAD},
		{"backlog", 1, 0, BACKLOG}, {"queue", 1, 0, QUEUE}, {"queues", 1, 0, QUEUES},
		{"ttr", 1, 0, TTR}, {"ttl", 1, 0, TTL}, {"wait", 1, 0, WAIT}, {"seed", 1, 0, SEED},
		{"stall", 1, 0, STALL}, {"timeout", 1, 0, TIMEOUT}, {"help", 0, 0, 'h'}, {0, 0, 0, 0},
	};
	bool have_proto = false;
	int o;
	while ((o = getopt_long(argc, argv, "c:d:h", longs, NULL)) != -1) {
		switch (o) {
		case PROTO:
			opt.proto = (enum proto)word("--protocol", optarg, proto_names, 3);
			have_proto = true;
			break;
		case MODE: opt.mode = (enum mode)word("--mode", optarg, mode_names, 4); break;
		case HOST: opt.host = optarg; break;
		case PORT: whole("--port", optarg, 1, 65535); opt.port = optarg; break;
		case 'c': opt.conns = (unsigned)whole("-c", optarg, 1, 60000); break;
		case 'd': opt.depth = (unsigned)whole("-d", optarg, 1, 65536); break;
		case PAYLOAD: opt.payload = whole("--payload", optarg, 0, 1 << 20); break;
		case RESULT: opt.result = whole("--result", optarg, 0, 1 << 20); break;
		case SECONDS: opt.seconds = real("--seconds", optarg); break;
		case WARMUP: opt.warmup = real("--warmup", optarg); break;
		case JOBS: opt.jobs = whole("--jobs", optarg, 1, 1ULL << 40); break;
		case PRELOAD: opt.preload = whole("--preload", optarg, 0, 1ULL << 40); break;
		case BACKLOG: opt.backlog = whole("--backlog", optarg, 1, 1ULL << 40); break;
		case QUEUE:
			if (!*optarg || strlen(optarg) > NAME_MAX_LEN)
				refuse("--queue: a name of 1 to %d bytes", NAME_MAX_LEN);
			opt.queue = optarg;
			break;
		case QUEUES: opt.queues = (unsigned)whole("--queues", optarg, 1, 60000); break;
		case TTR: opt.ttr = whole("--ttr", optarg, 1, 86400000); break;
		case TTL: opt.ttl = whole("--ttl", optarg, 1, 2592000000); break;
		case WAIT: opt.wait = (long)whole("--wait", optarg, 0, 86400000); break;
		case SEED: opt.seed = whole("--seed", optarg, 0, UINT64_MAX); break;
		case STALL: opt.stall = real("--stall", optarg); break;
		case TIMEOUT: opt.timeout = real("--timeout", optarg); break;
		case 'h': usage(stdout); exit(0);
		default: usage(stderr); exit(EXIT_USAGE);
		}
	}
	if (optind < argc || !have_proto || !opt.port) {
		usage(stderr);
		exit(EXIT_USAGE);
	}
	if (opt.jobs && opt.seconds > 0)
		refuse("--jobs or --seconds, not both");
	if (!opt.jobs && opt.seconds <= 0 && opt.mode != DRAIN)
		opt.seconds = 5;
	if (opt.mode == SPLIT && opt.conns < 2 * opt.queues)
		refuse("split needs two connections for each queue");
	if (opt.mode == SPLIT && opt.backlog < opt.depth)
		refuse("--backlog must be at least the depth");
	if (opt.conns < opt.queues)
		refuse("--queues: at most as many as connections");
	if (opt.mode == DRAIN && opt.preload)
		refuse("drain would take the preload too");
	if (opt.wait < 0)
		opt.wait = opt.mode == DRAIN ? 0 : 10000;
	if (opt.stall * 1e3 < (double)opt.wait + 5e3)
		opt.stall = (double)opt.wait / 1e3 + 5;
	if (opt.timeout <= 0)
		opt.timeout = opt.warmup + opt.seconds + 60 + (double)(opt.jobs + opt.preload) / 1e3 +
			      (opt.mode == DRAIN ? 600 : 0);
}

static void on_alarm(int sig)
{
	static const char text[] = "load: watchdog: stuck beyond its time limit\n";
	(void)sig;
	if (write(2, text, sizeof text - 1) < 0) { /* nothing left to do */
	}
	_exit(EXIT_WATCHDOG);
}

int main(int argc, char **argv)
{
	static const char digits[] = "0123456789abcdef";
	read_options(argc, argv);
	for (int i = 0; i < 256; i++) {
		hex_pairs[2 * i] = digits[i >> 4];
		hex_pairs[2 * i + 1] = digits[i & 15];
	}
	seed_random(opt.seed);
	payload = must_alloc(NULL, opt.payload + 1);
	for (size_t i = 0; i < opt.payload; i++)
		payload[i] = (char)('a' + (i * 7 + i / 26) % 26);
	result = must_alloc(NULL, opt.result + 1);
	memset(result, 'r', opt.result);

	/* the loop watches the time itself; this is for what it cannot see, such as a name lookup */
	signal(SIGALRM, on_alarm);
	alarm((unsigned)opt.timeout + 10);
	uint64_t give_up = now_ns() + (uint64_t)(opt.timeout * 1e9);

	if (open_connections() && opt.preload) {
		stage.preload = true;
		stage.depth = PRELOAD_DEPTH;
		stage.jobs = opt.preload;
		run_stage(give_up);
	}
	if (!fatal_status && !(opt.preload && errors)) {
		memset(&stage, 0, sizeof stage);
		stage.depth = opt.depth;
		stage.jobs = opt.jobs;
		stage.by_time = opt.seconds > 0;
		stage.sliding = opt.mode == SPLIT;
		run_stage(give_up);
	}
	print_result();
	if (fatal_status)
		fprintf(stderr, "load: %s\n", fatal);
	if (errors)
		fprintf(stderr, "load: %llu unexpected replies, the first: %s\n",
			(unsigned long long)errors, first_error);
	return fatal_status ? fatal_status : errors ? EXIT_REPLIES : 0;
}
