/* SPDX-License-Identifier: Dual BSD/GPL */
/* Who a task is, in the profiler's PID namespace, and whether it is wanted. */
#ifndef STACCATO_TASK_H
#define STACCATO_TASK_H

#include "maps.h"

/*
 * Inode number of the PID namespace the profiler runs in; 0 for the initial
 * one, whose PIDs need no translation.
 */
const volatile __u32 namespace_inode = 0;

#define MAX_NAMESPACE_LEVEL 32 /* MAX_PID_NS_LEVEL of the kernel */

/* A task has one number in each namespace from the initial one to its own. */
static __always_inline __u32 pid_in_namespace(struct task_struct *task)
{
	struct pid *pid = task->thread_pid;
	const void *numbers = (const void *)pid + bpf_core_field_offset(struct pid, numbers);
	__u32 level = 0;

	bpf_core_read(&level, sizeof(level), &pid->level);
	for (__u32 i = 1; i <= MAX_NAMESPACE_LEVEL && i <= level; i++) {
		const void *at = numbers + i * bpf_core_type_size(struct upid);
		struct pid_namespace *ns = NULL;
		__u32 inode = 0;
		int nr = 0;

		bpf_probe_read_kernel(&ns, sizeof(ns), at + bpf_core_field_offset(struct upid, ns));
		bpf_core_read(&inode, sizeof(inode), &ns->ns.inum);
		if (inode != namespace_inode)
			continue;
		bpf_probe_read_kernel(&nr, sizeof(nr), at + bpf_core_field_offset(struct upid, nr));
		return nr;
	}
	return 0;
}

/* The process's PID for user space; 0 when it is outside our namespace. */
static __always_inline __u32 process_id(struct task_struct *task)
{
	if (!namespace_inode)
		return task->tgid;
	return pid_in_namespace(task->group_leader);
}

static __always_inline __u32 thread_id(struct task_struct *task)
{
	if (!namespace_inode)
		return task->pid;
	return pid_in_namespace(task);
}

/*
 * One number for one program image of one PID: when the process was started,
 * and, in the low 10 bits, how often it called exec. It grows with time, so
 * user space can tell which of two images is the later one.
 */
static __always_inline __u64 process_generation(struct task_struct *task)
{
	return (task->group_leader->start_boottime & ~0x3ffULL) | (task->self_exec_id & 0x3ff);
}

/* Filters: each that is on must accept the task. */
const volatile bool filter_by_pid = false;
const volatile bool filter_by_name = false;
const volatile bool filter_by_user = false;
const volatile bool filter_by_cgroup = false;
const volatile char wanted_name[COMM_LEN] = {};
const volatile __u32 wanted_user = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} wanted_pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} wanted_cgroup SEC(".maps");

static __always_inline bool wanted(struct task_struct *task)
{
	if (filter_by_pid) {
		__u32 pid = process_id(task);

		if (!bpf_map_lookup_elem(&wanted_pids, &pid))
			return false;
	}
	if (filter_by_user && (__u32)bpf_get_current_uid_gid() != wanted_user)
		return false;
	if (filter_by_name) {
		struct task_struct *leader = task->group_leader;

		for (int i = 0; i < COMM_LEN; i++) {
			if (leader->comm[i] != wanted_name[i])
				return false;
			if (!wanted_name[i])
				break;
		}
	}
	if (filter_by_cgroup && bpf_current_task_under_cgroup(&wanted_cgroup, 0) != 1)
		return false;
	return true;
}

static __always_inline bool has_filter(void)
{
	return filter_by_pid || filter_by_user || filter_by_name || filter_by_cgroup;
}

#endif
