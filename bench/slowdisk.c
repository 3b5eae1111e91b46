/* A disk that takes longer: preloaded into a server (LD_PRELOAD), it adds SLOWDISK_US microseconds
 * to every fsync and fdatasync, once the real one has returned. What a ratio of servers owes to the
 * disk is seen by turning this.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static int slowly(const char *name, int fd)
{
	int (*real)(int);
	*(void **)&real = dlsym(RTLD_NEXT, name);
	int status = real(fd), problem = errno;
	const char *text = getenv("SLOWDISK_US");
	long us = text ? atol(text) : 0;
	struct timespec left = {us / 1000000, us % 1000000 * 1000};
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
	errno = problem;
	return status;
}

int fsync(int fd)
{
	return slowly("fsync", fd);
}

int fdatasync(int fd)
{
	return slowly("fdatasync", fd);
}
