// Recursion to a given depth, and CPU time used at its bottom:
//
//	deep DEPTH SECONDS
//
// The stack is start-up code, main, DEPTH times recurse, bottom, work.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile uint64_t sink;

__attribute__((noinline, noclone)) static uint64_t work(uint64_t x)
{
	for (int i = 0; i < 1 << 16; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return x;
}

__attribute__((noinline, noclone)) static uint64_t bottom(double seconds)
{
	uint64_t x = sink;
	struct timespec t;
	do {
		x = work(x);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	} while ((double)t.tv_sec + (double)t.tv_nsec / 1e9 < seconds);
	return x;
}

// What follows the call keeps it from becoming a jump.
__attribute__((noinline, noclone)) static uint64_t recurse(int depth, double seconds)
{
	if (depth <= 1)
		return bottom(seconds) + 1;
	uint64_t x = recurse(depth - 1, seconds);
	sink = x;
	return x + 1;
}

int main(int argc, char **argv)
{
	int depth = argc > 2 ? atoi(argv[1]) : 0;
	double seconds = argc > 2 ? atof(argv[2]) : 0;
	if (depth < 1 || seconds <= 0) {
		fprintf(stderr, "usage: deep DEPTH SECONDS\n");
		return 2;
	}
	sink = recurse(depth, seconds);
	return 0;
}
