/* SPDX-License-Identifier: Dual BSD/GPL */
/*
 * Maps that several objects share. The loader creates each once and gives it
 * to every object that names it. Sizes marked "loader" are set at load time.
 */
#ifndef STACCATO_MAPS_H
#define STACCATO_MAPS_H

#include "types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* Differs between objects only if they were built from different headers. */
const volatile __u32 layout_version = LAYOUT_VERSION;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} progs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct unwind_state);
} unwind_states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack_copy);
} stack_copies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} controls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2); /* loader: 2 banks × CPUs */
	__type(key, __u32);
	__type(value, struct tally);
} tallies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
} notices SEC(".maps");

/*
 * Tells user space something. It looks at the count to see without a system call
 * whether there is anything: counted before, so that nothing that is in the ring
 * is overlooked, and after, so that what was not there yet is looked for again.
 */
static __always_inline void tell(void *ctx, struct notice *n)
{
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&controls, &zero);

	if (!c)
		return;
	__sync_fetch_and_add(&c->told, 1);
	bpf_perf_event_output(ctx, &notices, BPF_F_CURRENT_CPU, n, sizeof(*n));
	__sync_fetch_and_add(&c->told, 1);
}

const volatile __u32 n_cpus = 1;

static __always_inline struct tally *tally_of(__u32 bank, __u32 cpu)
{
	__u32 i = bank * n_cpus + cpu;

	return bpf_map_lookup_elem(&tallies, &i);
}

static __always_inline struct unwind_state *state_of_this_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&unwind_states, &zero);
}

static __always_inline struct stack_copy *copy_of_this_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&stack_copies, &zero);
}

#endif
