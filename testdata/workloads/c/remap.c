/*
 * remap SECONDS FILES MAPS: maps and unmaps executable pages as fast as it can: of
 * FILES copies of itself, or, with 0, without a file; MAPS at a time. It prints how
 * many times.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, MOST = 4096 };

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static int fds[MOST];
	static void *maps[MOST];
	if (argc != 4)
		return 2;
	double end = now() + atof(argv[1]);
	int files = atoi(argv[2]), n = atoi(argv[3]);
	if (files > MOST || n > MOST)
		return 2;
	for (int i = 0; i < files; i++) {
		char name[] = "/tmp/remap-XXXXXX";
		int self = open("/proc/self/exe", O_RDONLY);
		fds[i] = mkstemp(name);
		unlink(name);
		if (self < 0 || fds[i] < 0 || sendfile(fds[i], self, NULL, 1 << 30) < PAGE) {
			perror("copy");
			return 1;
		}
		close(self);
	}
	long times = 0;
	for (int file = 0; now() < end;) {
		for (int i = 0; i < n; i++) {
			int fd = files ? fds[file++ % files] : -1;
			maps[i] = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | (files ? 0 : MAP_ANONYMOUS), fd, 0);
			if (maps[i] == MAP_FAILED) {
				perror("mmap");
				return 1;
			}
		}
		for (int i = 0; i < n; i++)
			munmap(maps[i], PAGE);
		times += n;
	}
	printf("%ld\n", times);
	return 0;
}
