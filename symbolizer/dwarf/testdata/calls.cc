// The tests know these lines by number.
volatile int sink;

inline __attribute__((always_inline)) int inner(int a, int b) {
	return a * b + sink;
}

struct shape {
	int width, height;
	inline __attribute__((always_inline)) int size() {
		return inner(width, height);
	}
};

// Called from another function, and not inlined.

__attribute__((noinline)) int outer(int n) {
	return shape{n, n + 1}.size();
}

#ifndef SECOND
int main(int argc, char **) {
	sink = outer(argc);
}
#else
int main() {
	sink = outer(3) + outer(4);
}
#endif

#ifdef LARGE // some hundred KB of debugging information
#include <regex>
bool large(const std::string &s) {
	return std::regex_search(s, std::regex("(a|b)+c"));
}
#endif
