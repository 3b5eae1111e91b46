/* The words of the three servers: commands as bytes, bytes as replies. */
#include "load.h"

#include <stdio.h>
#include <string.h>

#define MAX_LINE 65536
#define SIZE_DIGITS 7 /* of the largest payload */

static char *payload, *result;

/* ---- chance and ids ---------------------------------------------------------------------- */

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

void prepare_texts(void)
{
	static const char digits[] = "0123456789abcdef";
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
}

/* ---- commands ---------------------------------------------------------------------------- */

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

static char *append_number(char *at, uint64_t n)
{
	char digits[20];
	size_t len = 0;
	do
		digits[sizeof digits - ++len] = (char)('0' + n % 10);
	while (n /= 10);
	return append(at, digits + sizeof digits - len, len);
}

void make_templates(struct conn *c)
{
	long wait = opt.wait;
	int n = 0, m = 0, k = 0;
	switch (opt.proto) {
	case WORKQ:
		n = snprintf(c->add_head, sizeof c->add_head, " %s %lu %lu ", c->name, opt.ttr,
			     opt.ttl);
		m = snprintf(c->lease_cmd, sizeof c->lease_cmd, "lease %s %ld\r\n", c->name, wait);
		k = snprintf(c->done_tail, sizeof c->done_tail, " %zu\r\n", opt.result);
		break;
	case BEANSTALKD:
		n = snprintf(c->add_head, sizeof c->add_head, " 0 %lu ", (opt.ttr + 999) / 1000);
		m = snprintf(c->lease_cmd, sizeof c->lease_cmd, "reserve-with-timeout %ld\r\n",
			     (wait + 999) / 1000);
		k = snprintf(c->done_tail, sizeof c->done_tail, "\r\n");
		break;
	case REDIS: {
		char seconds[32];
		/* a timeout of 0 would wait for ever */
		int s = snprintf(seconds, sizeof seconds, "%.3f", wait ? (double)wait / 1e3 : 0.001);
		n = snprintf(c->add_head, sizeof c->add_head,
			     "*3\r\n$5\r\nLPUSH\r\n$%zu\r\n%s\r\n$", c->name_len, c->name);
		m = snprintf(c->lease_cmd, sizeof c->lease_cmd,
			     "*3\r\n$5\r\nBRPOP\r\n$%zu\r\n%s\r\n$%d\r\n%s\r\n", c->name_len,
			     c->name, s, seconds);
		break;
	}
	}
	c->add_head_len = (size_t)n;
	c->lease_len = (size_t)m;
	c->done_tail_len = (size_t)k;
}

/* A payload says its size in its first bytes, if sizes differ and it has the room; else all
 * payloads are the same, or the beginning of the same. */
static char *append_payload(char *at, size_t size)
{
	memcpy(at, payload, size);
	if (opt.sized && size >= SIZE_DIGITS) {
		size_t left = size;
		for (int i = SIZE_DIGITS - 1; i >= 0; i--, left /= 10)
			at[i] = (char)('0' + left % 10);
	}
	return at + size;
}

static bool is_payload(const char *p, uint64_t size)
{
	uint64_t said = 0;
	if (size < opt.payload_min || size > opt.payload)
		return false;
	if (!opt.sized || size < SIZE_DIGITS)
		return !memcmp(p, payload, size);
	for (int i = 0; i < SIZE_DIGITS; i++)
		said = said * 10 + (uint64_t)(p[i] - '0');
	return said == size && !memcmp(p + SIZE_DIGITS, payload + SIZE_DIGITS, size - SIZE_DIGITS);
}

/* A low job goes after all others: -1 is below 0 in workq, 2000 above 1000 in beanstalkd. */
static void put_add(struct conn *c, bool low)
{
	size_t size = opt.payload;
	unsigned priority = 0;
	if (opt.sized)
		size = opt.payload_min + next_random() % (opt.payload - opt.payload_min + 1);
	if (opt.priorities > 1)
		priority = (unsigned)(next_random() % opt.priorities);
	char *at = room(c, 128 + c->add_head_len + size);
	if (opt.proto == WORKQ) {
		at = append(at, "add ", 4);
		put_uuid(at);
		at += 36;
	} else if (opt.proto == BEANSTALKD) {
		at = append(at, "put ", 4);
		at = append_number(at, low ? 2000 : 1000 + priority);
	}
	at = append(at, c->add_head, c->add_head_len);
	at = append_number(at, size);
	if (opt.proto == WORKQ && low) {
		at = append(at, " -priority=-1", 13);
	} else if (opt.proto == WORKQ && opt.priorities > 1) {
		at = append(at, " -priority=", 11);
		at = append_number(at, priority);
	}
	at = append(at, "\r\n", 2);
	at = append_payload(at, size);
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

void put_command(struct conn *c, enum kind kind, unsigned i, bool low)
{
	if (kind == ADD)
		put_add(c, low);
	else if (kind == LEASE)
		put_lease(c);
	else
		put_done(c, i);
}

/* ---- replies ----------------------------------------------------------------------------- */

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
	if (!is_payload(p, size))
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

ssize_t parse_reply(struct conn *c, struct reply *r, const char *p, size_t n)
{
	switch (opt.proto) {
	case WORKQ: return parse_workq(c, r, p, n);
	case BEANSTALKD: return parse_beanstalkd(c, r, p, n);
	default: return parse_redis(c, r, p, n);
	}
}
