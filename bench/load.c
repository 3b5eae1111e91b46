/*
 * load: a load generator for workq, beanstalkd and Redis lists.
 *
 * One thread, epoll, no dependencies. It is a closed loop: a connection sends its next command (or,
 * at depth D, its next D commands) when the replies to the last have been read in full. What it
 * cannot see is the time a command would have waited had clients not waited for each other. With a
 * rate it can: each connection has its times to begin, and what begins late counts from then.
 *
 *   load --protocol workq|beanstalkd|redis --port P [--mode cycle|split|add|drain] [options]
 *
 * The result is one line of JSON on standard output. Exit status: 0 fine, 1 usage, 2 no server or a
 * connection lost, 3 watchdog (nothing came for too long), 4 unexpected replies.
 */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ULL
#define PRELOAD_DEPTH 64
#define MAX_ERRORS 100

/* ---- small things ------------------------------------------------------------------------ */

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

void *must_alloc(void *old, size_t size)
{
	void *p = realloc(old, size);
	if (!p) {
		fprintf(stderr, "load: out of memory\n");
		exit(EXIT_USAGE);
	}
	return p;
}

/* ---- connections ------------------------------------------------------------------------- */

static struct conn *conns;
static struct queue *queues;
static unsigned ring; /* power of two, at least the depth */
static int epoll_fd, timer_fd;

/* one stage: the preload, or the measurement */
static struct {
	bool preload, sliding, by_time;
	unsigned depth;
	uint64_t jobs;        /* 0: no limit */
	uint64_t outstanding; /* split: added but not completed */
	unsigned finished, paused, idle;
	uint64_t interval; /* between a connection's batches, ns; 0: no rate */
} stage;

static struct {
	uint64_t jobs, commands, timeouts, start, last, replies;
	double cpu;
} tally;

static uint64_t clock_ns; /* the time of the current read */
static struct hist hists[KINDS];
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

/* ---- what a connection does next --------------------------------------------------------- */

/* Since: what latencies count from. */
static void put_batch(struct conn *c, enum kind kind, unsigned n, uint64_t since)
{
	c->kind = kind;
	for (unsigned i = 0; i < n; i++) {
		put_command(c, kind, i, stage.preload);
		c->sent[(c->head + c->inflight++) & (ring - 1)] = since;
	}
}

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
		put_batch(c, ADD, n, now_ns());
	} else if (!c->inflight) {
		finish(c);
	}
}

static void next_adds(struct conn *c)
{
	uint64_t since = now_ns();
	if (stage.interval) {
		if (since < c->due) {
			c->idle = true;
			stage.idle++;
			return;
		}
		since = c->due;
		c->due += stage.interval;
	}
	unsigned n = claim(&c->queue->claimed, c->queue->jobs, stage.depth);
	if (n)
		put_batch(c, ADD, n, since);
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
		put_batch(c, LEASE, n, now_ns());
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
		put_batch(c, DONE, good, now_ns());
	} else if (c->role == CONSUMER) {
		next_leases(c);
	} else if (c->kind == ADD && good) {
		put_batch(c, LEASE, good, now_ns());
	} else {
		next_adds(c);
	}
}

/* ---- replies ----------------------------------------------------------------------------- */

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
	record(&hists[kind], took);
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
		if (!c->inflight) {
			note_error("a reply to nothing", p, n);
			set_fatal(EXIT_REPLIES, "the server sent more replies than it got commands");
			return;
		}
		ssize_t used = parse_reply(c, &r, p, n);
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

/* ---- sockets ----------------------------------------------------------------------------- */

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
	timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	struct epoll_event timer = {.events = EPOLLIN, .data.ptr = NULL};
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &timer);
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

/* ---- a stage ----------------------------------------------------------------------------- */

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

/* With a rate: begins what is due, and sets the timer to what is due next. */
static void begin_due(void)
{
	static uint64_t set;
	uint64_t now = now_ns(), next = UINT64_MAX;
	for (unsigned i = 0; i < opt.conns && stage.idle && !fatal_status; i++) {
		struct conn *c = &conns[i];
		if (!c->idle)
			continue;
		if (c->due <= now) {
			c->idle = false;
			stage.idle--;
			next_adds(c);
			flush(c);
		} else if (c->due < next) {
			next = c->due;
		}
	}
	if (next == set || next == UINT64_MAX)
		return;
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(next / NS),
					       .tv_nsec = (long)(next % NS)}};
	timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	set = next;
}

static void run_stage(uint64_t give_up)
{
	struct epoll_event events[128];
	uint64_t begin = now_ns(), warm, stop, heard = begin, replies = 0;
	bool warming = stage.by_time && opt.warmup > 0;
	warm = begin + (uint64_t)(warming ? opt.warmup * 1e9 : 0);
	stop = stage.by_time ? warm + (uint64_t)(opt.seconds * 1e9) : UINT64_MAX;
	start_tally(begin);
	if (opt.rate && !stage.preload)
		stage.interval = (uint64_t)(1e9 * stage.depth * opt.conns / (double)opt.rate);
	for (unsigned q = 0; q < opt.queues; q++) {
		memset(&queues[q], 0, sizeof queues[q]);
		queues[q].jobs = stage.jobs / opt.queues + (q < stage.jobs % opt.queues);
	}
	for (unsigned i = 0; i < opt.conns && !fatal_status; i++) {
		struct conn *c = &conns[i];
		c->finished = c->paused = c->idle = c->saw_timeout = false;
		c->good = 0;
		c->due = begin + stage.interval * i / opt.conns;
		c->role = stage.preload || opt.mode == ADDING ? PRODUCER
			  : opt.mode == DRAIN                   ? CONSUMER
			  : opt.mode == CYCLE                   ? CYCLER
			  : i % 2                               ? PRODUCER
								: CONSUMER;
		c->kind = DONE;
		make_templates(c);
		advance(c);
		flush(c);
	}
	while (!fatal_status && stage.finished < opt.conns) {
		if (stage.interval)
			begin_due();
		int n = epoll_wait(epoll_fd, events, 128, 100);
		for (int i = 0; i < n && !fatal_status; i++) {
			struct conn *c = events[i].data.ptr;
			if (!c) {
				uint64_t times;
				if (read(timer_fd, &times, sizeof times) < 0 && errno != EAGAIN)
					set_fatal(EXIT_USAGE, "the timer: %s", strerror(errno));
				continue;
			}
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

/* ---- result ------------------------------------------------------------------------------ */

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
	       "\"queues\":%u,\"payload\":%zu,\"payload_min\":%zu,\"priorities\":%u,"
	       "\"preload\":%llu,\"rate\":%llu,\"seconds\":%.3f,\"jobs\":%llu,"
	       "\"commands\":%llu,\"jobs_per_s\":%.1f,\"commands_per_s\":%.1f,",
	       proto_names[opt.proto], mode_names[opt.mode], opt.conns, opt.depth, opt.queues,
	       opt.payload, opt.payload_min, opt.priorities, (unsigned long long)opt.preload,
	       (unsigned long long)opt.rate, seconds,
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

/* ---- main -------------------------------------------------------------------------------- */

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
	read_options(argc, argv);
	prepare_texts();

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
