// Many processes that do next to nothing:
//
//	idle PROCESSES SECONDS
//
// One in a hundred, and at least one, is busy. However many these are, together
// they use one CPU, the last one. Each of the others wakes once a second for a
// moment, as daemons do. Prints "ready" when all are there.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t sink;

__attribute__((noinline, noclone)) static void work(int rounds)
{
	uint64_t x = sink;
	for (int i = 0; i < rounds; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	sink = x;
}

static void busy(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0) {
		perror("sched_setaffinity");
		_exit(1);
	}
	for (;;)
		work(1000000);
}

// The first moment is another one for each process.
static void idle(long number)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	for (t.tv_nsec = number * 7919 % 1000 * 1000000;; t.tv_sec++) {
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		work(10000);
	}
}

int main(int argc, char **argv)
{
	long processes = argc > 2 ? atol(argv[1]) : 0;
	double seconds = argc > 2 ? atof(argv[2]) : 0;
	if (processes < 1 || processes > 30000 || seconds <= 0) {
		fprintf(stderr, "usage: idle PROCESSES SECONDS (at most 30000 processes)\n");
		return 2;
	}
	pid_t parent = getpid();
	for (long i = 0; i < processes; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		if (i % 100 == 0)
			busy();
		idle(i);
	}
	puts("ready");
	fflush(stdout);
	usleep((useconds_t)(seconds * 1e6));
	return 0;
}
