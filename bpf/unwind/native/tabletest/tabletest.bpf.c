//go:build ignore

/* SPDX-License-Identifier: Dual BSD/GPL */
/* Looks up rules for a list of places, for tests of unwind tables. */
#include "table.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define QUERIES (1U << 16)

struct query {
	__u32 chunk, offset;
	__u32 found; /* enum found */
	__u32 pad;
	struct rule rule;
};

enum found *use_found;

__u32 n_queries;
__u32 window;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, QUERIES);
	__type(key, __u32);
	__type(value, struct query);
} queries SEC(".maps");

static long answer(__u32 i, void *unused)
{
	struct query *q = bpf_map_lookup_elem(&queries, &i);
	struct rule r = {};

	if (!q)
		return 1;
	q->found = find_rule(q->chunk, q->offset, window, &r);
	q->rule = r;
	return 0;
}

SEC("syscall")
int look_up(void *ctx)
{
	bpf_loop(n_queries, answer, NULL, 0);
	return 0;
}
