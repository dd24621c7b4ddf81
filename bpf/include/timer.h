/* SPDX-License-Identifier: Dual BSD/GPL */
#ifndef STACCATO_TIMER_H
#define STACCATO_TIMER_H

#include "maps.h"

/* By CPU: the sampling timer's firings, and the runs they led to. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* loader: CPUs */
	__type(key, __u32);
	__type(value, struct timer_tally);
} timer_tallies SEC(".maps");

#endif
