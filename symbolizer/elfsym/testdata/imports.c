// Calls functions of the C library directly and through a pointer, which makes
// the linker choose different stubs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	void *(*volatile allocate)(size_t) = malloc;
	char *copy = allocate(strlen(argv[0]) + 1);
	strcpy(copy, argv[0]);
	printf("%s %d %s\n", copy, memcmp(copy, argv[0], argc), strchr(copy, '/'));
	free(copy);
	return atoi(getenv("PATH")) + (int)(size_t)malloc(argc);
}
