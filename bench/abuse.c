/*
 * Bad clients by the thousand, and one good one that measures what they do to it.
 *
 *   abuse good  --port P -c 10 --rate 100 --seconds 5
 *       C connections, each of which adds, leases and completes a job RATE times a second, checks
 *       every reply, and tells the latencies of the commands. Paced, not closed: a cycle that is
 *       due while the one before is not over counts from when it was due. With --hold it connects,
 *       and begins at SIGUSR1.
 *   abuse spam  --port P -c 1000 --file F [--rate BYTES] [--no-read] [--receive BYTES] [--once]
 *               [--churn] [--cpu SHARE] [--together] --seconds 5
 *       C connections that send a file over and over (@@@@@@@@@@@@ in it is a number of its own
 *       every time), at most BYTES a second each, read and forget the answers or do not read at
 *       all, and connect anew when they are closed. An empty file: they just stand.
 *
 * One thread, epoll. The result is one line of JSON on standard output; "ready" on standard error
 * once all connections stand. Exit status: 0 fine, 1 usage, 2 no server, 4 unexpected replies.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 1, EXIT_SERVER = 2, EXIT_REPLIES = 4 };
enum { EVENTS = 256, READ_BYTES = 1 << 18, MARK = 12 };
/* Clients that know nothing of one another do not send in the same moment: with a rate, one tick of
 * ten is a connection's; with --together one tick is all connections'. */
enum { TICK_NS = 1000000, PHASES = 10, CONNECTS_PER_TICK = 20 };

static struct {
	const char *host, *file;
	int port, connections, no_read, receive, once, churn, hold, together;
	double rate, seconds, cpu;
	long churns;
} opt = { .host = "127.0.0.1", .connections = 10, .rate = 0, .seconds = 5 };

struct connection {
	int fd, step, busy, writable;
	uint64_t due, began, allowed_from;
	size_t at, sent_in_all;
	char *text; /* its own copy of the file, if numbers stand in it */
	char id[37];
	char want[256], got[256];
	size_t want_size, got_size;
	unsigned index;
};

static int epoll;
static struct connection *all;
static volatile sig_atomic_t stop_asked;

static char *text;
static size_t text_size;
static size_t *marks;
static size_t mark_count;
static uint64_t number;
static unsigned long long run; /* in the names of its queues: no run meets another's jobs */

static struct {
	uint64_t connects, failed, closed, sent, received, cycles, late, refused;
	uint64_t unexpected;
	char first[160];
	char last[96];
} tally;

static uint32_t *latencies;
static size_t latency_count, latency_room;

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

static void fail(int status, const char *what)
{
	fprintf(stderr, "abuse: %s: %s\n", what, strerror(errno));
	exit(status);
}

static void on_signal(int number_)
{
	(void)number_;
	stop_asked = 1;
}

/* ---- connections -------------------------------------------------------------------------- */

static void want_events(struct connection *c, int add, int writing)
{
	struct epoll_event e = { .data.ptr = c };
	e.events = EPOLLRDHUP | (opt.no_read ? 0u : (uint32_t)EPOLLIN) |
		   (writing ? (uint32_t)EPOLLOUT : 0u);
	epoll_ctl(epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd, &e);
	c->writable = writing;
}

static void stamp(struct connection *c)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < mark_count; i++) {
		uint64_t n = ++number;
		for (int d = MARK - 1; d >= 0; d--, n >>= 4)
			c->text[marks[i] + (size_t)d] = digits[n & 15];
	}
}

static int open_connection(struct connection *c)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port) };
	inet_pton(AF_INET, opt.host, &to.sin_addr);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -1;
	if (opt.receive)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &opt.receive, sizeof opt.receive);
	if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) {
		close(c->fd);
		c->fd = -1;
		return -1;
	}
	int one = 1;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	tally.connects++;
	c->at = 0;
	c->sent_in_all = 0;
	c->allowed_from = now();
	if (mark_count)
		stamp(c);
	return 0;
}

static void shut(struct connection *c)
{
	close(c->fd);
	c->fd = -1;
	tally.closed++;
}

/* ---- the good client ---------------------------------------------------------------------- */

static void unexpected(struct connection *c)
{
	if (!tally.unexpected++)
		snprintf(tally.first, sizeof tally.first, "step %d: %.*s", c->step,
			 (int)(c->got_size < 100 ? c->got_size : 100), c->got);
}

static void note(uint64_t ns)
{
	if (latency_count == latency_room) {
		latency_room = latency_room ? 2 * latency_room : 1 << 16;
		latencies = realloc(latencies, latency_room * sizeof *latencies);
		if (!latencies)
			fail(EXIT_USAGE, "memory");
	}
	uint64_t us = ns / 1000;
	latencies[latency_count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static const char payload[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void say(struct connection *c)
{
	char line[400];
	int size = 0;
	if (c->step == 0) {
		snprintf(c->id, sizeof c->id, "900d0000-0000-4000-8%03x-%012llx", c->index & 0xfff,
			 (unsigned long long)++number);
		size = snprintf(line, sizeof line, "add %s good-%llx-%u 60000 5000 64\r\n%s\r\n", c->id,
				run, c->index, payload);
		c->want_size = (size_t)snprintf(c->want, sizeof c->want, "+OK\r\n");
	} else if (c->step == 1) {
		size = snprintf(line, sizeof line, "lease good-%llx-%u 5000\r\n", run, c->index);
		c->want_size = (size_t)snprintf(c->want, sizeof c->want,
						"+OK 1\r\n%s good-%llx-%u 60000 64\r\n%s\r\n",
						c->id, run, c->index, payload);
	} else {
		size = snprintf(line, sizeof line, "complete %s 2\r\nok\r\n", c->id);
		c->want_size = (size_t)snprintf(c->want, sizeof c->want, "+OK\r\n");
	}
	c->got_size = 0;
	if (write(c->fd, line, (size_t)size) != size)
		fail(EXIT_SERVER, "write");
}

static void good_begin(struct connection *c, uint64_t at)
{
	c->busy = 1;
	c->step = 0;
	c->began = at;
	say(c);
}

static const char full[] = "-SERVER-ERROR Out of memory\r\n";

static void good_read(struct connection *c, uint64_t interval)
{
	ssize_t size = read(c->fd, c->got + c->got_size, sizeof c->got - c->got_size);
	if (size <= 0) {
		if (size < 0 && errno == EAGAIN)
			return;
		snprintf(tally.first, sizeof tally.first, "the connection was closed");
		tally.unexpected++;
		stop_asked = 1;
		epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
		return;
	}
	c->got_size += (size_t)size;
	if (c->got_size < c->want_size && c->got[0] == '+')
		return;
	uint64_t t = now();
	if (c->step == 0 && c->got_size == sizeof full - 1 && !memcmp(c->got, full, c->got_size)) {
		tally.refused++; /* that is what it is for; there is nothing to lease then */
		c->step = 2;
	} else if (c->got_size != c->want_size || memcmp(c->got, c->want, c->want_size)) {
		unexpected(c);
		if (tally.unexpected > 10)
			stop_asked = 1;
	}
	note(t - c->began);
	if (c->step < 2) {
		c->step++;
		c->began = t;
		say(c);
		return;
	}
	tally.cycles++;
	c->busy = 0;
	c->due += interval;
	if (c->due <= t) {
		tally.late++;
		good_begin(c, c->due);
	}
}

static void good(void)
{
	uint64_t interval = (uint64_t)(1e9 / opt.rate), start;
	sigset_t held;
	sigemptyset(&held);
	sigaddset(&held, SIGUSR1);
	sigprocmask(SIG_BLOCK, &held, NULL);
	for (int i = 0; i < opt.connections; i++) {
		struct connection *c = &all[i];
		c->index = (unsigned)i;
		if (open_connection(c))
			fail(EXIT_SERVER, "connect");
		want_events(c, 1, 0);
	}
	fprintf(stderr, "ready\n");
	if (opt.hold) { /* until we are told */
		int which;
		sigwait(&held, &which);
	}
	start = now();
	for (int i = 0; i < opt.connections; i++) {
		struct connection *c = &all[i];
		c->due = start + 20000000 + interval * (uint64_t)i / (uint64_t)opt.connections;
	}
	uint64_t end = start + (uint64_t)(opt.seconds * 1e9);
	struct epoll_event events[EVENTS];
	while (!stop_asked) {
		uint64_t t = now(), next = end;
		if (t >= end)
			break;
		for (int i = 0; i < opt.connections; i++) {
			struct connection *c = &all[i];
			if (c->busy)
				continue;
			if (c->due <= t)
				good_begin(c, t);
			else if (c->due < next)
				next = c->due;
		}
		struct timespec wait = { .tv_sec = (time_t)((next - t) / 1000000000u),
					 .tv_nsec = (long)((next - t) % 1000000000u) };
		int count = epoll_pwait2(epoll, events, EVENTS, &wait, NULL);
		for (int i = 0; i < count; i++)
			good_read(events[i].data.ptr, interval);
	}
	/* Who still waits at the end has waited so long at least. */
	for (int i = 0; i < opt.connections; i++)
		if (all[i].busy)
			note(now() - all[i].began);
}

/* ---- the bad ones ------------------------------------------------------------------------- */

static void spam_write(struct connection *c)
{
	const char *from = c->text ? c->text : text;
	while (text_size) {
		if (c->at == text_size) {
			if (opt.once)
				break;
			c->at = 0;
			if (mark_count)
				stamp(c);
		}
		size_t may = text_size - c->at;
		if (opt.rate > 0) {
			double since = (double)(now() - c->allowed_from) / 1e9;
			double allowed = since * opt.rate - (double)c->sent_in_all;
			if (allowed < 1)
				break;
			if (may > (size_t)allowed)
				may = (size_t)allowed;
		}
		ssize_t size = send(c->fd, from + c->at, may, MSG_NOSIGNAL);
		if (size <= 0) {
			if (size < 0 && errno == EAGAIN) {
				if (!c->writable)
					want_events(c, 0, 1);
				return;
			}
			break; /* its end is read */
		}
		c->at += (size_t)size;
		c->sent_in_all += (size_t)size;
		tally.sent += (uint64_t)size;
		if (opt.rate <= 0 && c->at == text_size && !opt.once) {
			if (!c->writable)
				want_events(c, 0, 1);
			return; /* the others have their turn */
		}
	}
	if (c->writable)
		want_events(c, 0, 0);
}

static int spam_read(struct connection *c)
{
	static char bytes[READ_BYTES];
	ssize_t size = read(c->fd, bytes, sizeof bytes);
	if (size > 0) {
		tally.received += (uint64_t)size;
		size_t keep = (size_t)size < sizeof tally.last - 1 ? (size_t)size
								   : sizeof tally.last - 1;
		if (bytes[0] == '-') {
			memcpy(tally.last, bytes, keep);
			tally.last[keep] = 0;
		}
		return !(opt.churn && (!text_size || c->at == text_size));
	}
	return size < 0 && errno == EAGAIN;
}

static void spam_connect(struct connection *c)
{
	if (open_connection(c)) {
		tally.failed++;
		return;
	}
	want_events(c, 1, 0);
	if (opt.rate <= 0)
		spam_write(c);
}

static void read_file(void)
{
	FILE *in = fopen(opt.file, "rb");
	if (!in)
		fail(EXIT_USAGE, opt.file);
	fseek(in, 0, SEEK_END);
	text_size = (size_t)ftell(in);
	rewind(in);
	text = malloc(text_size + 1);
	if (!text || fread(text, 1, text_size, in) != text_size)
		fail(EXIT_USAGE, opt.file);
	fclose(in);
	text[text_size] = 0;
	char *at = text;
	while ((at = memmem(at, text_size - (size_t)(at - text), "@@@@@@@@@@@@", MARK))) {
		marks = realloc(marks, (mark_count + 1) * sizeof *marks);
		if (!marks)
			fail(EXIT_USAGE, "memory");
		marks[mark_count++] = (size_t)(at - text);
		at += MARK;
	}
	for (int i = 0; mark_count && i < opt.connections; i++) {
		all[i].text = malloc(text_size + 1);
		if (!all[i].text)
			fail(EXIT_USAGE, "memory");
		memcpy(all[i].text, text, text_size + 1);
	}
}

static void spam(void)
{
	read_file();
	int standing = 0, phase = 0;
	uint64_t start = now(), cpu_start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t end = start + (uint64_t)(opt.seconds * 1e9), next_tick = 0;
	struct epoll_event events[EVENTS];
	for (int i = 0; i < opt.connections; i++)
		all[i].fd = -1;
	while (!stop_asked) {
		uint64_t t = now();
		if (t >= end || (opt.churns && tally.closed >= (uint64_t)opt.churns))
			break;
		if (t >= next_tick) {
			next_tick = t + TICK_NS;
			phase = (phase + 1) % PHASES;
			int opened = 0, closed = 0;
			for (int i = 0; i < opt.connections; i++) {
				if (all[i].fd < 0) {
					closed++;
					if (opened++ < CONNECTS_PER_TICK)
						spam_connect(&all[i]);
				} else if (opt.rate > 0 && !all[i].writable &&
					   (opt.together ? 0 : i % PHASES) == phase)
					spam_write(&all[i]);
			}
			if (!closed && !standing) {
				standing = 1;
				fprintf(stderr, "ready\n");
			}
		}
		/* No more than the share of a core that it may have. */
		if (opt.cpu > 0) {
			uint64_t used = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
			double owed = (double)used / opt.cpu - (double)(now() - start);
			if (owed > 0) {
				struct timespec rest = { .tv_nsec = (long)(owed > 2e7 ? 2e7 : owed) };
				nanosleep(&rest, NULL);
			}
		}
		int count = epoll_wait(epoll, events, EVENTS, 1);
		for (int i = 0; i < count; i++) {
			struct connection *c = events[i].data.ptr;
			int stands = 1;
			if (events[i].events & EPOLLIN)
				stands = spam_read(c);
			else if (events[i].events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
				stands = 0;
			if (stands && events[i].events & EPOLLOUT)
				spam_write(c);
			if (!stands) {
				shut(c);
				if (opt.churn)
					spam_connect(c);
			}
		}
	}
}

/* ---- the whole ---------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static unsigned quantile(double share)
{
	if (!latency_count)
		return 0;
	size_t at = (size_t)((double)(latency_count - 1) * share + 0.5);
	return latencies[at];
}

static void print_text(const char *name, const char *value)
{
	printf(",\"%s\":\"", name);
	for (; *value; value++)
		if (*value == '\r' || *value == '\n')
			putchar(' ');
		else if (*value == '"' || *value == '\\' || (unsigned char)*value < 32 ||
			 (unsigned char)*value > 126)
			putchar('?');
		else
			putchar(*value);
	putchar('"');
}

int main(int count, char **words)
{
	enum { PORT = 256, RATE, SECONDS, FILE_, NO_READ, RECEIVE, ONCE, CHURN, CPU, CHURNS, HOLD,
	       TOGETHER };
	static const struct option options[] = {
		{"port", 1, 0, PORT}, {"rate", 1, 0, RATE}, {"seconds", 1, 0, SECONDS},
		{"file", 1, 0, FILE_}, {"no-read", 0, 0, NO_READ}, {"receive", 1, 0, RECEIVE},
		{"once", 0, 0, ONCE}, {"churn", 0, 0, CHURN}, {"churns", 1, 0, CHURNS},
		{"cpu", 1, 0, CPU}, {"hold", 0, 0, HOLD},
		{"together", 0, 0, TOGETHER}, {0, 0, 0, 0},
	};
	if (count < 2 || (strcmp(words[1], "good") && strcmp(words[1], "spam"))) {
		fprintf(stderr, "usage: abuse good|spam --port P …; see the head of abuse.c\n");
		return EXIT_USAGE;
	}
	int is_good = !strcmp(words[1], "good");
	if (is_good)
		opt.rate = 100;
	for (int letter; (letter = getopt_long(count - 1, words + 1, "c:", options, NULL)) != -1;)
		switch (letter) {
		case 'c': opt.connections = atoi(optarg); break;
		case PORT: opt.port = atoi(optarg); break;
		case RATE: opt.rate = atof(optarg); break;
		case SECONDS: opt.seconds = atof(optarg); break;
		case FILE_: opt.file = optarg; break;
		case NO_READ: opt.no_read = 1; break;
		case RECEIVE: opt.receive = atoi(optarg); break;
		case ONCE: opt.once = 1; break;
		case CHURN: opt.churn = 1; break;
		case CHURNS: opt.churns = atol(optarg); break;
		case HOLD: opt.hold = 1; break;
		case TOGETHER: opt.together = 1; break;
		case CPU: opt.cpu = atof(optarg); break;
		default: return EXIT_USAGE;
		}
	if (!opt.port || opt.connections < 1 || (!is_good && !opt.file)) {
		fprintf(stderr, "abuse: --port, -c and, to spam, --file are needed\n");
		return EXIT_USAGE;
	}
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	all = calloc((size_t)opt.connections, sizeof *all);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!all || epoll < 0)
		fail(EXIT_USAGE, "memory");
	uint64_t start = now();
	run = start & 0xffffffffu;
	number = start; /* ids of their own in every run */
	if (is_good)
		good();
	else
		spam();
	double took = (double)(now() - start) / 1e9;
	double cpu = (double)now_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9;
	printf("{\"seconds\":%.3f,\"cpu\":%.3f,\"connects\":%llu,\"connects_failed\":%llu,"
	       "\"closed\":%llu,\"sent\":%llu,\"received\":%llu",
	       took, cpu / took, (unsigned long long)tally.connects,
	       (unsigned long long)tally.failed, (unsigned long long)tally.closed,
	       (unsigned long long)tally.sent, (unsigned long long)tally.received);
	print_text("last_error", tally.last);
	if (is_good) {
		qsort(latencies, latency_count, sizeof *latencies, by_size);
		printf(",\"commands\":%zu,\"cycles\":%llu,\"late\":%llu,\"refused\":%llu,\"p50_us\":%u,\"p99_us\":%u,"
		       "\"p999_us\":%u,\"max_us\":%u,\"errors\":%llu",
		       latency_count, (unsigned long long)tally.cycles,
		       (unsigned long long)tally.late, (unsigned long long)tally.refused,
		       quantile(0.5), quantile(0.99),
		       quantile(0.999), quantile(1), (unsigned long long)tally.unexpected);
		print_text("first_error", tally.first);
	}
	printf("}\n");
	return tally.unexpected ? EXIT_REPLIES : 0;
}
