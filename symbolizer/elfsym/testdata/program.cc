// What the tests of elfsym build: functions of every binding, aliases,
// overlaps and symbols without a size.
#include <cstdio>
#include <string>
#include <vector>

static int local_function(int x) { return x * 3; }
extern "C" int global_function(int x) { return local_function(x) + 1; }
extern "C" int global_alias(int) __attribute__((alias("global_function")));
extern "C" int _underscored_alias(int) __attribute__((weak, alias("global_function")));

namespace space {
template <typename T> struct box {
	T value;
	__attribute__((noinline)) T get(const std::vector<T> &) const { return value; }
};
}

asm(R"(
	.text
	.globl outer
	.type outer, @function
outer:
	nop
	nop
	.globl inner
	.type inner, @function
inner:
	nop
	.size inner, . - inner
	nop
label_in_outer:
	nop
	.size outer, . - outer
	.globl no_size
no_size:
	nop
	nop
	.globl framed
framed:
	.cfi_startproc
	nop
	nop
	.cfi_endproc
	nop
	.type hidden, @function
hidden:
	.cfi_startproc
	nop
	.cfi_endproc
	.size hidden, . - hidden
)");

int main(int argc, char **argv) {
	space::box<std::string> b{argv[0]};
	std::vector<std::string> none;
	printf("%s %d\n", b.get(none).c_str(), global_function(argc));
}
