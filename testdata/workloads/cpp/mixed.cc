// A bit of everything that C++ programs do: hash maps, ordered maps, regular
// expressions, sorting, exceptions through a few frames, allocation.
//
//	mixed SECONDS
//
// Prints how many rounds it made per second of CPU time, so that a profiler's
// effect on it can be seen.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <regex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

static uint64_t state = 88172645463325252u;

static uint64_t next()
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

__attribute__((noinline)) static size_t count_words()
{
	std::unordered_map<std::string, int> words;
	for (int i = 0; i < 2000; i++)
		words["word" + std::to_string(next() % 300)]++;
	return words.size();
}

__attribute__((noinline)) static size_t order_keys()
{
	std::map<uint64_t, uint64_t> keys;
	for (int i = 0; i < 2000; i++)
		keys[next() % 1000] += i;
	return keys.size();
}

__attribute__((noinline)) static size_t match_lines()
{
	static const std::regex pattern("([a-z]+)-([0-9]+)(;|$)");
	size_t found = 0;
	for (int i = 0; i < 60; i++) {
		std::string line = "alpha-" + std::to_string(next() % 1000) + ";beta-" + std::to_string(next() % 10);
		for (std::sregex_iterator it(line.begin(), line.end(), pattern), end; it != end; ++it)
			found++;
	}
	return found;
}

__attribute__((noinline)) static void fail_deep(int depth)
{
	if (depth == 0)
		throw std::runtime_error("deep");
	fail_deep(depth - 1);
	asm volatile("" ::: "memory"); // no tail call
}

__attribute__((noinline)) static size_t throw_and_catch()
{
	size_t caught = 0;
	for (int i = 0; i < 40; i++) {
		try {
			fail_deep(10);
		} catch (const std::exception &e) {
			caught += e.what()[0] == 'd';
		}
	}
	return caught;
}

__attribute__((noinline)) static uint64_t sort_numbers()
{
	std::vector<uint64_t> v(4000);
	for (auto &x : v)
		x = next();
	std::sort(v.begin(), v.end());
	return v[v.size() / 2];
}

static double cpu_seconds()
{
	timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double limit = argc > 1 ? atof(argv[1]) : 0;
	if (limit <= 0) {
		fprintf(stderr, "usage: mixed SECONDS\n");
		return 2;
	}
	timespec begin, now;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	volatile uint64_t sink = 0;
	uint64_t rounds = 0;
	do {
		sink = sink + count_words() + order_keys() + match_lines() + throw_and_catch() + sort_numbers();
		rounds++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - begin.tv_sec + (now.tv_nsec - begin.tv_nsec) / 1e9 < limit);
	printf("%.2f\n", rounds / cpu_seconds());
	return 0;
}
