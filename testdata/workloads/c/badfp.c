// A frame pointer that points nowhere: into memory that is not mapped, a
// little above the stack pointer, where an unwinder that trusts the register
// reads and faults.
//
//	badfp SECONDS
//
// The program runs a thread on a stack of its own that ends at a hole, so that
// the hole is less than a page above the frames.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { STACK = 256 * 1024, HOLE = 64 * 1024 };

static double seconds;
static char *hole;

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Spins with the frame pointer register pointing into the hole, and puts the
// register back before the compiler's code uses it again.
__attribute__((noinline, noclone)) static void spin(uint64_t rounds, void *bad)
{
#if defined(__x86_64__)
	uint64_t saved;
	__asm__ volatile("movq %%rbp, %[saved]\n\t"
			 "movq %[bad], %%rbp\n"
			 "1:\n\t"
			 "subq $1, %[rounds]\n\t"
			 "jnz 1b\n\t"
			 "movq %[saved], %%rbp"
			 : [rounds] "+&r"(rounds), [saved] "=&r"(saved)
			 : [bad] "r"(bad)
			 : "cc", "memory");
#elif defined(__aarch64__)
	uint64_t saved;
	__asm__ volatile("mov %[saved], x29\n\t"
			 "mov x29, %[bad]\n"
			 "1:\n\t"
			 "subs %[rounds], %[rounds], #1\n\t"
			 "b.ne 1b\n\t"
			 "mov x29, %[saved]"
			 : [rounds] "+&r"(rounds), [saved] "=&r"(saved)
			 : [bad] "r"(bad)
			 : "cc", "memory");
#else
#error "which register is the frame pointer?"
#endif
}

static void *run(void *arg)
{
	double end = cpu_seconds() + seconds;
	while (cpu_seconds() < end)
		spin(1 << 24, hole + 64);
	return arg;
}

int main(int argc, char **argv)
{
	seconds = argc > 1 ? atof(argv[1]) : 0;
	if (seconds <= 0) {
		fprintf(stderr, "usage: badfp SECONDS\n");
		return 2;
	}
	char *memory = mmap(NULL, STACK + HOLE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (memory == MAP_FAILED) {
		perror("map stack");
		return 1;
	}
	hole = memory + STACK;
	if (munmap(hole, HOLE) != 0) {
		perror("unmap hole");
		return 1;
	}
	pthread_attr_t attributes;
	pthread_t thread;
	if (pthread_attr_init(&attributes) != 0 ||
	    pthread_attr_setstack(&attributes, memory, STACK) != 0 ||
	    pthread_create(&thread, &attributes, run, NULL) != 0) {
		fprintf(stderr, "badfp: cannot start a thread on its own stack\n");
		return 1;
	}
	pthread_join(thread, NULL);
	return 0;
}
