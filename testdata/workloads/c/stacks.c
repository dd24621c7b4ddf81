// Stacks of known shape that are hard to walk:
//
//	stacks SHAPE SECONDS [PLUGIN]
//
// All end in spin, but for plt, vdso, dlopen and exec. Made without frame pointers they
// need unwind tables. PLUGIN is c/plugin.c as a library, for plt and dlopen.
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static volatile uint64_t sink;
static double end;
static const char *plugin, *self;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Uses CPU time. What follows its call keeps that from becoming a jump, here and
// below.
NOINLINE static uint64_t spin(void)
{
	uint64_t x = sink;
	do
		for (int i = 0; i < 1 << 17; i++)
			x = x * 6364136223846793005u + 1442695040888963407u;
	while (now() < end);
	return x;
}

// For ever at one place, without calls.
NOINLINE static uint64_t frozen(void)
{
	while (sink < UINT64_MAX)
		sink++;
	return sink;
}

static uint64_t (*innermost)(void) = spin;

// Called by the C library.
NOINLINE static int compare(const void *a, const void *b)
{
	sink += innermost();
	return *(const int *)a - *(const int *)b;
}

NOINLINE static uint64_t sorted(void)
{
	int numbers[] = {3, 1, 2};
	qsort(numbers, 3, sizeof *numbers, compare);
	return sink + numbers[0];
}

// The size of the frame is known at run time alone.
NOINLINE static uint64_t variable(size_t n)
{
	char text[n];
	memset(text, 1, n);
	sink += text[n / 2];
	uint64_t x = innermost();
	return x + text[n - 1];
}

// The stack pointer is aligned to more than callers promise, and then moved by
// an amount that only the program knows.
NOINLINE static uint64_t realigned(size_t n)
{
	alignas(64) volatile char text[256];
	char *more = alloca(n);
	memset(more, 2, n);
	text[sink & 255] = more[n / 2];
	uint64_t x = innermost();
	return x + text[3] + more[1];
}

NOINLINE static void in_handler(int number)
{
	sink += innermost();
	sink += number;
}

static void use_own_stack(void)
{
	stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
	if (stack.ss_sp == NULL || sigaltstack(&stack, NULL) != 0) {
		perror("stack for signals");
		exit(1);
	}
	struct sigaction action = {.sa_handler = in_handler, .sa_flags = SA_ONSTACK};
	if (sigaction(SIGALRM, &action, NULL) != 0) {
		perror("handle SIGALRM");
		exit(1);
	}
}

// A signal comes while the program computes.
NOINLINE static uint64_t interrupted(void)
{
	uint64_t x = 1;
	use_own_stack();
	struct timespec soon = {.tv_nsec = 2000000};
	timer_t timer;
	if (timer_create(CLOCK_MONOTONIC, NULL, &timer) != 0 ||
	    timer_settime(timer, 0, &(struct itimerspec){.it_value = soon}, NULL) != 0) {
		perror("set timer");
		exit(1);
	}
	while (now() < end)
		for (int i = 0; i < 1 << 12; i++)
			x = x * 6364136223846793005u + sink;
	return x;
}

// All of them in one stack.
NOINLINE static int compare_deep(const void *a, const void *b)
{
	use_own_stack();
	innermost = frozen;
	raise(SIGALRM);
	return *(const int *)a - *(const int *)b;
}

NOINLINE static uint64_t sorted_deep(void)
{
	int numbers[] = {3, 1, 2};
	qsort(numbers, 3, sizeof *numbers, compare_deep);
	return sink + numbers[0];
}

NOINLINE static uint64_t deep(void)
{
	innermost = sorted_deep;
	return realigned(300) + 1;
}

NOINLINE static uint64_t deepest(void)
{
	innermost = deep;
	return variable(5000) + 1;
}

NOINLINE static uint64_t clocks(void)
{
	struct timespec t;
	double last;
	do {
		for (int i = 0; i < 1000; i++)
			clock_gettime(CLOCK_MONOTONIC, &t);
		last = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
	} while (last < end);
	return t.tv_nsec;
}

typedef int (*function)(int);

static void *load(void)
{
	void *library = dlopen(plugin, RTLD_LAZY);
	if (library == NULL) {
		fprintf(stderr, "stacks: %s\n", dlerror());
		exit(1);
	}
	return library;
}

// The plugin calls a function of its own by its PLT, often.
NOINLINE static uint64_t by_plt(void)
{
	function often = (function)dlsym(load(), "often");
	do
		sink += often(100000);
	while (now() < end);
	return sink;
}

// Each time the dynamic linker looks for that function anew.
NOINLINE static uint64_t reload(void)
{
	do {
		void *library = load();
		function often = (function)dlsym(library, "often");
		sink += often(1);
		dlclose(library);
	} while (now() < end);
	return sink;
}

// Children that share the stack until they become something else.
NOINLINE static uint64_t children(void)
{
	int status;
	do {
		pid_t pid = vfork();
		if (pid == 0) {
			execl(self, self, "variable", "0.005", NULL);
			_exit(1);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			exit(1);
		sink++;
	} while (now() < end);
	return sink;
}

// Children that stay the same program.
NOINLINE static uint64_t forked(void)
{
	do {
		pid_t pid = fork();
		if (pid == 0) {
			end = now() + 0.03;
			sink += sorted();
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			exit(1);
	} while (now() < end);
	return sink;
}

// Something else in its place.
NOINLINE static uint64_t replaced(void)
{
	uint64_t x = spin();
	execl(self, self, "variable", "0.2", NULL);
	return x;
}

int main(int argc, char **argv)
{
	const char *shape = argc > 2 ? argv[1] : "";
	double seconds = argc > 2 ? atof(argv[2]) : 0;
	plugin = argc > 3 ? argv[3] : "";
	self = "/proc/self/exe";
	end = now() + seconds;
	uint64_t x = 0;
	if (seconds <= 0)
		;
	else if (strcmp(shape, "sorted") == 0)
		x = sorted() | 1;
	else if (strcmp(shape, "variable") == 0)
		x = variable(1000) | 1;
	else if (strcmp(shape, "realigned") == 0)
		x = realigned(200) | 1;
	else if (strcmp(shape, "interrupted") == 0)
		x = interrupted() | 1;
	else if (strcmp(shape, "deepest") == 0)
		x = deepest() | 1;
	else if (strcmp(shape, "clocks") == 0)
		x = clocks() | 1;
	else if (strcmp(shape, "plt") == 0)
		x = by_plt() | 1;
	else if (strcmp(shape, "reload") == 0)
		x = reload() | 1;
	else if (strcmp(shape, "children") == 0)
		x = children() | 1;
	else if (strcmp(shape, "forked") == 0)
		x = forked() | 1;
	else if (strcmp(shape, "replaced") == 0)
		x = replaced() | 1;
	if (x == 0) {
		fprintf(stderr, "usage: stacks SHAPE SECONDS [PLUGIN]\n");
		return 2;
	}
	sink = x;
	return 0;
}
