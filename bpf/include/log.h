/* SPDX-License-Identifier: Dual BSD/GPL */
/* The log of frame words: how full it is, and who is told. */
#ifndef STACCATO_LOG_H
#define STACCATO_LOG_H

#include "types.h"
#include <bpf/bpf_helpers.h>

const volatile __u32 log_slabs = 1; /* slabs of a bank's log; a power of two */
const volatile __u32 log_words = LOG_SLAB_WORDS; /* used of each slab; smaller only in tests */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2); /* loader: 2 banks × slabs */
	__type(key, __u32);
	__type(value, struct log_cursor);
} log_cursors SEC(".maps");

/* Wakes user space: a bank fills up with copies of stacks, and is to be read. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* loader: a page */
} alarms SEC(".maps");

/* Up to where copies of stacks may fill a slab: they leave a quarter to the other stacks. */
static __always_inline __u32 copies_end(void)
{
	return log_words - log_words / 4;
}

/* The cursor of the i-th slab that a sample tries; *slab is the slab's number. */
static __always_inline struct log_cursor *cursor_of(struct unwind_state *s, __u32 i, __u32 *slab)
{
	__u32 at;

	/* CPUs begin in different slabs, and move on when theirs is full. */
	*slab = (s->cpu + i) & (log_slabs - 1);
	at = s->bank * log_slabs + *slab;
	return bpf_map_lookup_elem(&log_cursors, &at);
}

/*
 * n words from first on were reserved for a copy. Two CPUs fill the room for copies
 * in 0.1 s at 999 Hz, and user space looks only every 0.15 s while nothing happens.
 */
static __always_inline void alarm_when_filling(__u64 first, __u32 n)
{
	__u32 quarter = copies_end() / 4;

	if (first < quarter && first + n >= quarter)
		bpf_ringbuf_output(&alarms, &n, sizeof(n), BPF_RB_FORCE_WAKEUP);
}

#endif
