/* The command line of load. */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const proto_names[] = {"workq", "beanstalkd", "redis"};
const char *const mode_names[] = {"cycle", "split", "add", "drain"};
const char *const kind_names[] = {"add", "lease", "complete"};

struct options opt = {
	.host = "127.0.0.1", .queue = "bench", .conns = 50, .depth = 1, .queues = 1,
	.priorities = 1, .payload = 64, .result = 2, .backlog = 10000, .seed = 1, .ttr = 60000,
	.ttl = 600000, .wait = -1, .stall = 30,
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: load --protocol workq|beanstalkd|redis --port P [options]\n"
		"  --host H         (127.0.0.1)\n"
		"  -c N             connections (50)\n"
		"  -d D             commands in flight per connection (1)\n"
		"  --payload BYTES  of a job (64)          --result BYTES  of a completion, workq (2)\n"
		"  --sizes A-B      or: of A to B bytes, of each job another\n"
		"  --priorities N   each job has one of N, by chance (1); not for redis\n"
		"  --mode M         cycle: add, lease, complete on every connection (default)\n"
		"                   split: half of the connections add, half lease and complete\n"
		"                   add:   only add\n"
		"                   drain: lease and complete until the queue is empty\n"
		"  --seconds S      measure for S (5, unless --jobs is given; drain: no limit)\n"
		"  --warmup S       before that, not counted (0)\n"
		"  --jobs N         or: until N jobs are through\n"
		"  --rate R         cycle, add: R jobs a second in all; one that cannot begin in time\n"
		"                   counts from when it was due (as many as can be)\n"
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

/* A and B of "A-B". */
static void span(const char *name, const char *text, size_t most)
{
	char first[32];
	const char *dash = strchr(text, '-');
	if (!dash || (size_t)(dash - text) >= sizeof first)
		refuse("%s: two numbers like 1-2000, not '%s'", name, text);
	memcpy(first, text, (size_t)(dash - text));
	first[dash - text] = 0;
	opt.payload_min = whole(name, first, 0, most);
	opt.payload = whole(name, dash + 1, opt.payload_min, most);
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

void read_options(int argc, char **argv)
{
	enum { PROTO = 256, HOST, PORT, PAYLOAD, RESULT, SECONDS, WARMUP, JOBS, MODE, PRELOAD, BACKLOG,
	       QUEUE, QUEUES, TTR, TTL, WAIT, SEED, STALL, TIMEOUT, SIZES, PRIORITIES, RATE };
	static const struct option longs[] = {
		{"protocol", 1, 0, PROTO}, {"host", 1, 0, HOST}, {"port", 1, 0, PORT},
		{"connections", 1, 0, 'c'}, {"depth", 1, 0, 'd'}, {"payload", 1, 0, PAYLOAD},
		{"result", 1, 0, RESULT}, {"seconds", 1, 0, SECONDS}, {"warmup", 1, 0, WARMUP},
		{"jobs", 1, 0, JOBS}, {"mode", 1, 0, MODE}, {"preload", 1, 0, PRELOAD},
		{"backlog", 1, 0, BACKLOG}, {"queue", 1, 0, QUEUE}, {"queues", 1, 0, QUEUES},
		{"ttr", 1, 0, TTR}, {"ttl", 1, 0, TTL}, {"wait", 1, 0, WAIT}, {"seed", 1, 0, SEED},
		{"sizes", 1, 0, SIZES}, {"priorities", 1, 0, PRIORITIES}, {"rate", 1, 0, RATE},
		{"stall", 1, 0, STALL}, {"timeout", 1, 0, TIMEOUT}, {"help", 0, 0, 'h'}, {0, 0, 0, 0},
	};
	bool have_proto = false, have_payload = false;
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
		case PAYLOAD:
			opt.payload = whole("--payload", optarg, 0, 1 << 20);
			have_payload = true;
			break;
		case SIZES:
			span("--sizes", optarg, 1 << 20);
			opt.sized = true;
			break;
		case PRIORITIES:
			opt.priorities = (unsigned)whole("--priorities", optarg, 1, 1000);
			break;
		case RESULT: opt.result = whole("--result", optarg, 0, 1 << 20); break;
		case SECONDS: opt.seconds = real("--seconds", optarg); break;
		case WARMUP: opt.warmup = real("--warmup", optarg); break;
		case JOBS: opt.jobs = whole("--jobs", optarg, 1, 1ULL << 40); break;
		case PRELOAD: opt.preload = whole("--preload", optarg, 0, 1ULL << 40); break;
		case RATE: opt.rate = whole("--rate", optarg, 1, 10000000); break;
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
	if (have_payload && opt.sized)
		refuse("--payload or --sizes, not both");
	if (!opt.sized)
		opt.payload_min = opt.payload;
	if (opt.proto == REDIS && opt.priorities > 1)
		refuse("--priorities: a list of Redis has none");
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
	if (opt.rate && opt.mode != CYCLE && opt.mode != ADDING)
		refuse("--rate: of cycle and add only");
	if (opt.wait < 0)
		opt.wait = opt.mode == DRAIN ? 0 : 10000;
	if (opt.stall * 1e3 < (double)opt.wait + 5e3)
		opt.stall = (double)opt.wait / 1e3 + 5;
	if (opt.rate && opt.stall < 2.0 * opt.depth / (double)opt.rate + 5)
		opt.stall = 2.0 * opt.depth / (double)opt.rate + 5;
	if (opt.timeout <= 0)
		opt.timeout = opt.warmup + opt.seconds + 60 + (double)(opt.jobs + opt.preload) / 1e3 +
			      (opt.rate ? (double)opt.jobs / (double)opt.rate : 0) +
			      (opt.mode == DRAIN ? 600 : 0);
}
