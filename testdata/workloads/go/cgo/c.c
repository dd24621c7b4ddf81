#include <stdint.h>

#include "_cgo_export.h"

/* Has numbers in RBX and RBP, as most C does: while it runs, and while Go does. */
__attribute__((noinline)) static uint64_t middle(uint64_t x, int depth)
{
	uint64_t y = x ^ 0x5555555555555555;

	for (int i = 0; i < 1000; i++) {
		x = x * 6364136223846793005 + i;
		y = y * 6364136223846793005 + x;
	}
	x += backToGo(x ^ y, depth);
	for (int i = 0; i < 1000; i++) {
		x = x * 6364136223846793005 + i;
		y = y * 6364136223846793005 + x;
	}
	return x ^ y;
}

uint64_t outer(uint64_t x, int depth)
{
	return middle(x, depth) + depth;
}
