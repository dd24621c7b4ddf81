// Three functions that take about 60, 30 and 10 percent of the CPU time, and
// what they really took, as JSON:
//
//	split SECONDS
//	{"sixty":0.5998,"thirty":0.3002,"ten":0.1000}
//
// Each function calls another one in its loop: without a call GCC would give
// it no frame of its own, even with -fno-omit-frame-pointer.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile uint64_t sink;

// Called now and then by each of the three: GCC leaves the frame pointer out of
// functions that call nothing, whatever it is told.
__attribute__((noinline, noclone)) static uint64_t keep(uint64_t x)
{
	return x ^ (x >> 33);
}

// The work is done in the functions themselves, so that they are the leaves.
// The result depends on each pass, so that none can be left out. Three bodies
// of the same text must not be merged into one, so each adds its own number.
#define BURN(name, number)                                                 \
	__attribute__((noinline, noclone)) static void name(uint64_t rounds) \
	{                                                                  \
		uint64_t x = sink;                                         \
		for (uint64_t i = 0; i < rounds; i++) {                    \
			for (int j = 0; j < 64; j++)                       \
				x = x * 6364136223846793005u + number;     \
			x = keep(x);                                       \
		}                                                          \
		sink = x;                                                  \
	}

BURN(sixty, 1)
BURN(thirty, 2)
BURN(ten, 3)

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double limit = argc > 1 ? atof(argv[1]) : 0;
	if (limit <= 0) {
		fprintf(stderr, "usage: split SECONDS\n");
		return 2;
	}
	double used[3] = {0, 0, 0}, now = cpu_seconds(), end = now + limit;

	while (now < end) {
		double before = now;
		sixty(60000);
		now = cpu_seconds();
		used[0] += now - before;

		before = now;
		thirty(30000);
		now = cpu_seconds();
		used[1] += now - before;

		before = now;
		ten(10000);
		now = cpu_seconds();
		used[2] += now - before;
	}
	double all = used[0] + used[1] + used[2];
	printf("{\"sixty\":%.6f,\"thirty\":%.6f,\"ten\":%.6f}\n",
	       used[0] / all, used[1] / all, used[2] / all);
	return 0;
}
