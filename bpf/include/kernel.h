/* SPDX-License-Identifier: Dual BSD/GPL */
/*
 * The kernel's types, as far as our programs use them. The structs carry only
 * the fields we read; the loader finds where those are in the running kernel
 * (CO-RE), so the order and the gaps here mean nothing.
 */
#ifndef STACCATO_KERNEL_H
#define STACCATO_KERNEL_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

/* From the kernel's user API (linux/bpf.h): numbers that never change. */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_CGROUP_ARRAY = 8,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
};

#define BPF_F_MMAPABLE (1U << 10)
#define BPF_F_CURRENT_CPU 0xffffffffULL
#define BPF_RB_FORCE_WAKEUP 2
#define BPF_ANY 0

/* Process flags from linux/sched.h. */
#define PF_KTHREAD 0x00200000
#define PF_USER_WORKER 0x00004000

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	__u32 inum;
};

struct pid_namespace {
	struct ns_common ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	__u32 level;
	struct upid numbers[1];
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct mm_struct;

struct task_struct {
	__u32 flags;
	int pid;
	int tgid;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct signal_struct *signal;
	__u64 start_boottime;
	__u64 self_exec_id;
	unsigned int in_execve : 1;
	char comm[16];
};

struct hrtimer {
	void *function;
};

struct hw_perf_event {
	struct hrtimer hrtimer;
};

struct perf_event {
	struct hw_perf_event hw;
	__u64 id;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp, pc, pstate;
};
struct pt_regs {
	struct user_pt_regs user_regs;
};
#else
#error "unknown architecture"
#endif

#pragma clang attribute pop

/* What a perf_event program gets; layouts of the kernel's user API. */
#if defined(__TARGET_ARCH_x86)
struct perf_regs {
	__u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	__u64 ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#else
struct perf_regs {
	__u64 regs[31];
	__u64 sp, pc, pstate;
};
#endif

struct bpf_perf_event_data {
	struct perf_regs regs;
	__u64 sample_period;
	__u64 addr;
};

#endif
