//go:build ignore

/* SPDX-License-Identifier: Dual BSD/GPL */
/*
 * Births, execs and deaths of processes, with the number by which samples know
 * the program image. Children of wanted processes become wanted here, before
 * their first instruction.
 */
#include "task.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile bool follow_children = false;

/* Children that wanted_pids had no room for. */
__u64 children_lost = 0;

static __always_inline void notify(void *ctx, __u32 type, struct task_struct *task, __u32 parent)
{
	struct notice n = {
		.type = type,
		.pid = process_id(task),
		.generation = process_generation(task),
		.time = bpf_ktime_get_ns(),
		.parent = parent,
	};

	if (n.pid)
		tell(ctx, &n);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 pid, from, one = 1;

	if (child->pid != child->tgid)
		return 0; /* a thread */
	from = process_id(parent);
	if (filter_by_pid) {
		pid = process_id(child);
		if (!follow_children || !bpf_map_lookup_elem(&wanted_pids, &from))
			/* The number may have been that of a process that was wanted. */
			bpf_map_delete_elem(&wanted_pids, &pid);
		else if (bpf_map_update_elem(&wanted_pids, &pid, &one, BPF_ANY))
			__sync_fetch_and_add(&children_lost, 1);
	}
	notify(ctx, NOTICE_FORK, child, from);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task)
{
	notify(ctx, NOTICE_EXEC, task, 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	if (task->signal->live.counter)
		return 0; /* other threads live on */
	/*
	 * It stays wanted: on newer kernels this comes before its memory is given
	 * back, which may take long. User space takes it off the list later.
	 */
	notify(ctx, NOTICE_EXIT, task, 0);
	return 0;
}
