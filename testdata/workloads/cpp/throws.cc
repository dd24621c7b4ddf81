// Throws exceptions and catches them:
//
//	throws SECONDS
//
// The stack is main, catches, passes (DEPTH times), throws, and the C++ library.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

volatile int sink;

[[gnu::noinline]] int throws(int x)
{
	if (x >= 0)
		throw std::runtime_error("number " + std::to_string(x));
	return x;
}

[[gnu::noinline]] int passes(int depth, int x)
{
	std::string text(32, static_cast<char>(x)); // to be destroyed on the way
	return (depth > 0 ? passes(depth - 1, x) : throws(x)) + text[1];
}

[[gnu::noinline]] void catches(int x)
{
	try {
		sink = passes(10, x);
	} catch (const std::exception &e) {
		sink = e.what()[0];
	}
}

} // namespace

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 0;
	if (seconds <= 0) {
		fprintf(stderr, "usage: throws SECONDS\n");
		return 2;
	}
	using clock = std::chrono::steady_clock;
	auto end = clock::now() + std::chrono::duration<double>(seconds);
	for (int i = 0; clock::now() < end; i++)
		catches(i);
	return 0;
}
