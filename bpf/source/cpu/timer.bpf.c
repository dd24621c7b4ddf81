//go:build ignore

/* SPDX-License-Identifier: Dual BSD/GPL */
/*
 * Counts how often the sampling timer fired. The kernel skips perf_event
 * programs while the CPU runs some other kinds of BPF program or is inside a
 * bpf() call on a map, and counts that nowhere; what fired and did not enter
 * the sampling program is what was skipped. (A tp_btf program like this one is
 * not skipped and skips nobody.)
 */
#include "task.h"
#include "timer.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The profiler's PID: what is skipped there is our own doing. */
const volatile __u32 own_pid = 0;

/* Address of the kernel's perf_swevent_hrtimer: other timers are not ours. */
const volatile __u64 timer_function = 0;

SEC("tp_btf/hrtimer_expire_entry")
int BPF_PROG(timer_fired, struct hrtimer *timer, void *now)
{
	__u32 cpu;
	__u64 id = 0, skipped;
	const void *event;
	struct timer_tally *t;
	struct task_struct *task;

	if ((__u64)timer->function != timer_function)
		return 0;
	cpu = bpf_get_smp_processor_id();
	t = bpf_map_lookup_elem(&timer_tallies, &cpu);
	if (!t)
		return 0;
	/* Other profilers' events have timers with the same function. */
	event = (const void *)timer - bpf_core_field_offset(struct perf_event, hw.hrtimer);
	bpf_probe_read_kernel(&id, sizeof(id), event + bpf_core_field_offset(struct perf_event, id));
	if (id != t->event_id)
		return 0;
	task = bpf_get_current_task_btf();
	/* The firing before this one has had its run, or will have none. */
	skipped = t->fired - t->fired_idle - (t->entries - t->entries_idle);
	if (skipped > t->skipped) {
		if (t->last_pid == own_pid)
			t->skipped_own += skipped - t->skipped;
		t->skipped = skipped;
	}
	t->last_pid = process_id(task);
	t->fired++;
	if (!task->pid)
		t->fired_idle++;
	else if (has_filter() && !wanted(task))
		t->fired_other++;
	return 0;
}
