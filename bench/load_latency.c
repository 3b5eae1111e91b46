/* Latencies in log buckets of 1/64, so within 1.6 %. */
#include "load.h"

#include <stdio.h>

void record(struct hist *h, uint64_t ns)
{
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

void print_quantiles(const struct hist *h)
{
	printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f",
	       quantile_us(h, 0.5), quantile_us(h, 0.99), quantile_us(h, 0.999),
	       (double)h->max / 1e3);
}
