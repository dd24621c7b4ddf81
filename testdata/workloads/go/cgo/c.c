#include <stdint.h>

#include "_cgo_export.h"

/* Uses RBP for other things, as most C does. */
__attribute__((noinline)) static uint64_t middle(uint64_t x, int depth)
{
	for (int i = 0; i < 1000; i++)
		x = x * 6364136223846793005 + i;
	x += backToGo(x, depth);
	for (int i = 0; i < 1000; i++)
		x = x * 6364136223846793005 + i;
	return x;
}

uint64_t outer(uint64_t x, int depth)
{
	return middle(x, depth) + depth;
}
