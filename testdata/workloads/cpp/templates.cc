// Functions whose names only C++ makes: templates, operators, lambdas,
// anonymous namespaces. Each burns a share of the CPU time.
//
//	templates SECONDS
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

namespace {

volatile uint64_t sink;

double cpu_seconds()
{
	timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

__attribute__((noinline)) uint64_t hidden(uint64_t x)
{
	for (int i = 0; i < 4096; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return x;
}

} // namespace

namespace shapes {

template <typename T, int N>
struct Grid {
	std::vector<T> cells = std::vector<T>(N);

	__attribute__((noinline)) T operator()(const std::string &name, T seed)
	{
		for (auto &cell : cells)
			seed = cell = seed * 31 + static_cast<T>(name.size());
		sink = hidden(sink);
		return seed;
	}
};

template <typename... Args>
__attribute__((noinline)) uint64_t sum(Args... args)
{
	sink = hidden(sink);
	return (static_cast<uint64_t>(args) + ... + 0);
}

} // namespace shapes

int main(int argc, char **argv)
{
	double limit = argc > 1 ? std::atof(argv[1]) : 0;
	if (limit <= 0) {
		std::fprintf(stderr, "usage: templates SECONDS\n");
		return 2;
	}
	shapes::Grid<uint64_t, 512> grid;
	auto lambda = [](uint64_t x) __attribute__((noinline)) {
		sink = hidden(x);
		return x + 1;
	};
	while (cpu_seconds() < limit) {
		sink = grid("grid", sink);
		sink = shapes::sum(1, 2L, 'c', 4u);
		sink = lambda(sink);
	}
	return 0;
}
