// Starts a program at a given rate:
//
//	spawn PER_SECOND SECONDS PROGRAM [ARGUMENTS]
//
// Prints how many it started.
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double rate = argc > 3 ? atof(argv[1]) : 0;
	double seconds = argc > 3 ? atof(argv[2]) : 0;
	if (rate <= 0 || rate > 10000 || seconds <= 0) {
		fprintf(stderr, "usage: spawn PER_SECOND SECONDS PROGRAM [ARGUMENTS] (at most 10000 per second)\n");
		return 2;
	}
	long started = 0;
	double start = now(), end = start + seconds;
	for (double t = start; t < end; t = now()) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		double due = start + (double)started / rate;
		if (t < due) {
			usleep((useconds_t)((due - t) * 1e6) + 1);
			continue;
		}
		pid_t pid;
		int error = posix_spawn(&pid, argv[3], NULL, NULL, argv + 3, environ);
		if (error != 0) {
			fprintf(stderr, "start %s: %s\n", argv[3], strerror(error));
			return 1;
		}
		started++;
	}
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	printf("%ld\n", started);
	return 0;
}
