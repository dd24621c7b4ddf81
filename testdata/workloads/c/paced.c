// A program with a rhythm: every 10 ms it spends 3 ms in one function, 4 ms in
// another one, and sleeps for the rest. Deadlines are absolute, so the rhythm
// stays in step with the kernel's clock for as long as it runs.
//
//	paced SECONDS
//	{"three":4.2857,"four":5.7143}
//
// Prints the CPU time of each in seconds, by its own clock.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PERIOD = 10000000, THREE = 3000000, FOUR = 4000000 }; // nanoseconds

static volatile uint64_t sink;

static int64_t nanoseconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// Looks at the clock every 10 µs or so: the functions are nearly always found in
// their own code. Each adds its own number, so that they are not made one.
#define UNTIL(name, number)                                              \
	__attribute__((noinline, noclone)) static void name(int64_t end) \
	{                                                                \
		uint64_t x = sink;                                       \
		do                                                       \
			for (int i = 0; i < 8000; i++)                   \
				x = x * 6364136223846793005u + number;   \
		while (nanoseconds(CLOCK_MONOTONIC) < end);              \
		sink = x;                                                \
	}

UNTIL(three, 1)
UNTIL(four, 2)

static void sleep_until(int64_t time)
{
	struct timespec t = {.tv_sec = time / 1000000000, .tv_nsec = time % 1000000000};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

int main(int argc, char **argv)
{
	double limit = argc > 1 ? atof(argv[1]) : 0;
	if (limit <= 0) {
		fprintf(stderr, "usage: paced SECONDS\n");
		return 2;
	}
	int64_t used[2] = {0, 0};
	int64_t start = nanoseconds(CLOCK_MONOTONIC), end = start + (int64_t)(limit * 1e9);

	for (; start < end; start += PERIOD) {
		sleep_until(start);
		int64_t before = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
		three(start + THREE);
		int64_t between = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
		four(start + THREE + FOUR);
		used[0] += between - before;
		used[1] += nanoseconds(CLOCK_THREAD_CPUTIME_ID) - between;
	}
	printf("{\"three\":%.6f,\"four\":%.6f}\n", (double)used[0] / 1e9, (double)used[1] / 1e9);
	return 0;
}
