// Functions that take about 60, 30 and 10 percent of the CPU time, or 99 and 1,
// and what they really took, as JSON:
//
//	split SECONDS
//	{"sixty":0.5998,"thirty":0.3002,"ten":0.1000}
//	split SECONDS rare
//	{"ninetynine":0.9901,"one":0.0099}
//
// Each function calls another one in its loop: without a call GCC would give
// it no frame of its own, even with -fno-omit-frame-pointer.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile uint64_t sink;

// Called now and then by each of them: GCC leaves the frame pointer out of
// functions that call nothing, whatever it is told.
__attribute__((noinline, noclone)) static uint64_t keep(uint64_t x)
{
	return x ^ (x >> 33);
}

// The work is done in the functions themselves, so that they are the leaves.
// The result depends on each pass, so that none can be left out. Bodies
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
BURN(ninetynine, 4)
BURN(one, 5)

struct part {
	const char *name;
	void (*burn)(uint64_t rounds);
	uint64_t rounds;
	double used;
};

static struct part usual[] = {{"sixty", sixty, 60000, 0}, {"thirty", thirty, 30000, 0}, {"ten", ten, 10000, 0}};
static struct part rare[] = {{"ninetynine", ninetynine, 99000, 0}, {"one", one, 1000, 0}};

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double limit = argc > 1 ? atof(argv[1]) : 0;
	if (limit <= 0 || argc > 3 || (argc == 3 && strcmp(argv[2], "rare") != 0)) {
		fprintf(stderr, "usage: split SECONDS [rare]\n");
		return 2;
	}
	struct part *parts = argc == 3 ? rare : usual;
	int n = argc == 3 ? 2 : 3;
	double start = cpu_seconds(), now = start;

	while (now < start + limit) {
		for (int i = 0; i < n; i++) {
			double before = now;
			parts[i].burn(parts[i].rounds);
			now = cpu_seconds();
			parts[i].used += now - before;
		}
	}
	for (int i = 0; i < n; i++)
		printf("%c\"%s\":%.6f", i ? ',' : '{', parts[i].name, parts[i].used / (now - start));
	printf("}\n");
	return 0;
}
