// Short-lived processes: children that use a few milliseconds of CPU time each
// and exit, started at a given rate.
//
//	forks PER_SECOND MILLISECONDS SECONDS
//
// Prints how many children it started.
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t sink;

__attribute__((noinline, noclone)) static uint64_t work(uint64_t x)
{
	for (int i = 0; i < 4096; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return x;
}

__attribute__((noinline, noclone)) static void child(double seconds)
{
	uint64_t x = sink;
	struct timespec t;
	do {
		x = work(x);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	} while ((double)t.tv_sec + (double)t.tv_nsec / 1e9 < seconds);
	sink = x;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double rate = argc > 3 ? atof(argv[1]) : 0;
	double milliseconds = argc > 3 ? atof(argv[2]) : 0;
	double seconds = argc > 3 ? atof(argv[3]) : 0;
	if (rate <= 0 || rate > 10000 || milliseconds <= 0 || seconds <= 0) {
		fprintf(stderr, "usage: forks PER_SECOND MILLISECONDS SECONDS (at most 10000 per second)\n");
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
		pid_t pid = fork();
		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid == 0) {
			child(milliseconds / 1000);
			_exit(0);
		}
		started++;
	}
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	printf("%ld\n", started);
	return 0;
}
