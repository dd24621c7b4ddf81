// Threads with names of their own, each burning CPU time in the same function:
//
//	threads COUNT SECONDS
//
// The threads are called worker-0, worker-1, …; main waits for them.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 256 };

static double seconds;

__attribute__((noinline, noclone)) static uint64_t work(uint64_t x)
{
	for (int i = 0; i < 1 << 16; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return x;
}

static void *worker(void *arg)
{
	uint64_t x = (uintptr_t)arg;
	struct timespec t;
	do {
		x = work(x);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	} while ((double)t.tv_sec + (double)t.tv_nsec / 1e9 < seconds);
	return (void *)(uintptr_t)x;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[1]) : 0;
	seconds = argc > 2 ? atof(argv[2]) : 0;
	if (count < 1 || count > MOST || seconds <= 0) {
		fprintf(stderr, "usage: threads COUNT SECONDS (at most %d threads)\n", MOST);
		return 2;
	}
	pthread_t threads[MOST];
	for (int i = 0; i < count; i++) {
		char name[16];
		snprintf(name, sizeof name, "worker-%d", i);
		if (pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)i) != 0 ||
		    pthread_setname_np(threads[i], name) != 0) {
			perror("start thread");
			return 1;
		}
	}
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
