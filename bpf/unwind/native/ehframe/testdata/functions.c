// Functions whose call frame information has what is rare elsewhere. They are
// compiled and linked, and never run.

void use(void *);
void stop(void) __attribute__((noreturn));

// A frame of a size known at run time alone: the CFA is the frame pointer's.
int variable(int n) {
	char bytes[n];
	use(bytes);
	return bytes[0];
}

// An aligned stack: gcc finds the CFA in memory.
int aligned(int n) {
	char bytes[n];
	int array[16] __attribute__((aligned(64)));
	use(bytes);
	use(array);
	return bytes[0] + array[0];
}

// More than 2^16 bytes of frame.
int large(void) {
	char bytes[540000];
	use(bytes);
	return bytes[0];
}

// An early return, after which the state of before is restored, and an end
// that does not return.
int early(int *p) {
	char bytes[32];
	if (!p)
		return 0;
	use(bytes);
	use(p);
	if (p[0])
		return bytes[0];
	stop();
}

int leaf(int n) { return n + 1; }

void use(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }

void stop(void) {
	for (;;)
		__asm__ volatile("");
}
