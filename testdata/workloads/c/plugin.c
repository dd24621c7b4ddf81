// A library for stacks to load: often(N) calls tiny N times, by way of its
// procedure linkage table.
//
// Built with -shared -fPIC -Wl,-z,lazy.
int tiny(int x);

__attribute__((noinline, noclone)) int tiny(int x) { return x + 1; }

int often(int n);

int often(int n)
{
	int sum = 0;
	for (int i = 0; i < n; i++)
		sum += tiny(i);
	return sum;
}
