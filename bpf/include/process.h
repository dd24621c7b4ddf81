/* SPDX-License-Identifier: Dual BSD/GPL */
/* The executable mappings of processes, as user space uploaded them. */
#ifndef STACCATO_PROCESS_H
#define STACCATO_PROCESS_H

#include "maps.h"

const volatile __u32 process_mask = 0; /* entries of processes - 1 */
const volatile __u32 mappings_size = 1; /* entries of mappings */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* loader */
	__type(key, __u32);
	__type(value, struct process);
} processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* loader */
	__type(key, __u32);
	__type(value, struct mapping);
} mappings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ASKED_SLOTS);
	__type(key, __u32);
	__type(value, struct asked);
} asked SEC(".maps");

/* The same number as in bpf/tables.go. */
static __always_inline __u32 process_hash(__u32 pid)
{
	return (pid * 0x9e3779b1U) >> 15;
}

/*
 * Fills in s->mappings. Reads a table that user space may be writing: a
 * process's slot is rewritten only with where set to 0 around it, so what is
 * read with a non-zero where belongs together.
 */
static __always_inline bool find_process(struct unwind_state *s)
{
	__u32 h = process_hash(s->pid);

	s->mappings = 0;
	s->n_mappings = 0;
	s->last.end = 0;
	for (int i = 0; i < PROCESS_PROBES; i++) {
		__u32 at = (h + i) & process_mask;
		struct process *p = bpf_map_lookup_elem(&processes, &at);
		__u64 where;

		if (!p || !p->pid)
			return false;
		if (p->pid != s->pid)
			continue;
		where = *(volatile __u64 *)&p->where;
		if (!where || p->generation != s->generation)
			return false;
		s->mappings = where >> 32;
		s->n_mappings = (__u32)where;
		return true;
	}
	return false;
}

/* At most 2^MAPPING_STEPS mappings of a process can be told apart. */
#define MAPPING_STEPS 14

/* Makes s->last the mapping that holds the address, or returns false. */
static __always_inline bool find_mapping(struct unwind_state *s, __u64 address)
{
	__u32 low, n;

	if (address >= s->last.start && address < s->last.end)
		return true;
	low = s->mappings;
	n = s->n_mappings;
	if (!n)
		return false;
	/* The last entry that starts at or below the address is in [low, low+n). */
	for (int i = 0; i < MAPPING_STEPS; i++) {
		__u32 half = n / 2;
		__u32 mid = low + half;
		struct mapping *m;

		if (n <= 1)
			break;
		m = bpf_map_lookup_elem(&mappings, &mid);
		if (!m)
			return false;
		if (m->start <= address) {
			low = mid;
			n -= half;
		} else {
			n = half;
		}
	}
	struct mapping *m = bpf_map_lookup_elem(&mappings, &low);

	if (!m || address < m->start || address >= m->end)
		return false;
	s->last = *m;
	return true;
}

/* Tells user space about a process or address it should look at, not too often. */
static __always_inline void ask(void *ctx, struct unwind_state *s, __u32 type, __u64 address)
{
	__u64 key = s->generation ^ ((__u64)s->pid << 32) ^ ((__u64)type << 60) ^ (address >> 12);
	__u32 at = ((key * 0x9e3779b97f4a7c15ULL) >> 40) & (ASKED_SLOTS - 1);
	struct asked *a = bpf_map_lookup_elem(&asked, &at);
	__u64 now = bpf_ktime_get_ns();

	if (!a || (a->key == key && now - a->time < ASK_AGAIN_NS))
		return;
	a->key = key;
	a->time = now;
	struct notice n = {
		.type = type,
		.pid = s->pid,
		.generation = s->generation,
		.time = now,
		.address = address,
	};
	tell(ctx, &n);
}

#endif
