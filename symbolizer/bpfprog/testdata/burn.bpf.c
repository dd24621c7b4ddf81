// Programs of different kinds that use time, most of it in one line. Tests
// compile and load them: cc -g -O2 -target bpf -c.
typedef unsigned int u32;
typedef unsigned long long u64;
#define SEC(name) __attribute__((section(name), used))

static u64 (*const now)(void) = (void *)5; // bpf_ktime_get_ns

// burn is a subprogram: it has machine code of its own.
__attribute__((noinline)) u64 burn(u64 x)
{
	for (int i = 0; i < 4000; i++)
		x = (x * 6364136223846793005u + i) * (x >> 7) + (x >> 13) * x; // hot line
	return x;
}

SEC("socket")
int burn_socket(void *context)
{
	return burn(now()) & 1;
}

SEC("xdp")
int burn_xdp(void *context)
{
	return burn(now()) == 1 ? 1 : 2; // drop or pass
}

SEC("raw_tp/sys_enter")
int burn_raw_tp(void *context)
{
	return burn(now()) & 0;
}

SEC("tracepoint/raw_syscalls/sys_enter")
int burn_tracepoint(void *context)
{
	return burn(now()) & 0;
}

SEC("perf_event")
int burn_perf(void *context)
{
	return burn(now()) & 0;
}

char terms[] SEC("license") = "GPL";
