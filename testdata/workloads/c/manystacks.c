// Many different stacks, quickly: random paths through eight functions to a
// depth of 24 calls: 8^24 possible ones, or as many of them as STACKS says.
//
//	manystacks SECONDS [STACKS]
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DEPTH = 24 };

static volatile uint64_t sink;
static uint64_t state = 88172645463325252u;

static inline uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t descend(int depth);

#define STEP(name, number)                                                  \
	__attribute__((noinline, noclone)) static uint64_t name(int depth)  \
	{                                                                   \
		return descend(depth - 1) * (2 * number + 1) + number;      \
	}

STEP(path_a, 1)
STEP(path_b, 2)
STEP(path_c, 3)
STEP(path_d, 4)
STEP(path_e, 5)
STEP(path_f, 6)
STEP(path_g, 7)
STEP(path_h, 8)

__attribute__((noinline, noclone)) static uint64_t leaf(void)
{
	uint64_t x = state;
	for (int i = 0; i < 2000; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return x;
}

static inline __attribute__((always_inline)) uint64_t choose(int depth)
{
	static uint64_t (*const paths[8])(int) = {
		path_a, path_b, path_c, path_d, path_e, path_f, path_g, path_h,
	};
	return paths[next_random() & 7](depth);
}

// A frame of descend lies between any two of the path functions.
__attribute__((noinline, noclone)) static uint64_t descend(int depth)
{
	uint64_t x = depth <= 0 ? leaf() : choose(depth);
	sink = x;
	return x + 1;
}

int main(int argc, char **argv)
{
	double limit = argc > 1 ? atof(argv[1]) : 0;
	uint64_t stacks = argc > 2 ? strtoull(argv[2], NULL, 10) : UINT64_MAX;
	if (limit <= 0 || stacks == 0) {
		fprintf(stderr, "usage: manystacks SECONDS [STACKS]\n");
		return 2;
	}
	struct timespec t;
	uint64_t pass = 0;
	do {
		for (int i = 0; i < 100; i++, pass++) {
			// The path follows from where it begins.
			if (argc > 2)
				state = (pass % stacks + 1) * 0x9e3779b97f4a7c15u;
			sink = descend(DEPTH);
		}
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	} while ((double)t.tv_sec + (double)t.tv_nsec / 1e9 < limit);
	return 0;
}
