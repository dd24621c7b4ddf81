//go:build ignore

/* SPDX-License-Identifier: Dual BSD/GPL */
/*
 * Keeps what lies below the stack pointer, which the kernel does not write with
 * samples, and goes on to the unwinder: for tests that compare with others.
 */
#include "unwind.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define WORDS_BELOW 64
#define MOST 8192

struct below {
	__u32 cpu;
	__u32 n_words; /* 0: they could not be read */
	__u64 pc, sp;
	__u64 words[WORDS_BELOW]; /* the last ends at sp */
};

struct below *use_below;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32); /* how many were taken; those beyond MOST are not kept */
} n_belows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MOST);
	__type(key, __u32);
	__type(value, struct below);
} belows SEC(".maps");

SEC("perf_event")
int keep_below(struct bpf_perf_event_data *ctx)
{
	struct unwind_state *s = state_of_this_cpu();
	__u32 zero = 0, i;
	__u32 *n = bpf_map_lookup_elem(&n_belows, &zero);
	struct below *b;

	if (!s || !n)
		return 0;
	i = __sync_fetch_and_add(n, 1);
	b = bpf_map_lookup_elem(&belows, &i);
	if (b) {
		b->cpu = s->cpu;
		b->pc = s->regs.pc;
		b->sp = s->regs.sp;
		if (!bpf_probe_read_user(b->words, sizeof(b->words), (const void *)(s->regs.sp - sizeof(b->words))))
			b->n_words = WORDS_BELOW;
	}
	go_to(ctx, SLOT_FIRST_FREE);
	return chain_broken(s);
}
