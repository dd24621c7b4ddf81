//go:build ignore

/* SPDX-License-Identifier: Dual BSD/GPL */
/*
 * Entry of a CPU sample: a perf event of this CPU has overflowed. Decides
 * whether the sample is wanted, takes the kernel's part of the stack, and
 * hands the user's part to the unwinders.
 */
#include "process.h"
#include "task.h"
#include "timer.h"
#include "unwind.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile bool with_idle = false;  /* keep samples of the idle task */
const volatile bool with_threads = false; /* tell threads apart */
const volatile bool no_kernel = false;
const volatile bool no_user = false;

/*
 * A register at the moment of the sample. Volatile, because the verifier wants
 * each read to name ctx and a fixed offset, and the compiler would compute
 * pointers into ctx to save branches.
 */
#define SAMPLED(reg) (*(volatile __u64 *)&ctx->regs.reg)

#if defined(__TARGET_ARCH_x86)

static __always_inline bool in_kernel(struct bpf_perf_event_data *ctx)
{
	return (ctx->regs.cs & 3) == 0;
}

/* Takes registers from the sample or from what entry to the kernel saved. */
#define TAKE_REGISTERS(s, from, pc_name)                                        \
	do {                                                                    \
		(s)->regs.pc = from(pc_name);                                   \
		(s)->regs.sp = from(sp);                                        \
		(s)->regs.fp = from(bp);                                        \
		(s)->regs.rbx = from(bx);                                       \
		(s)->general[0] = from(ax);                                     \
		(s)->general[1] = from(dx);                                     \
		(s)->general[2] = from(cx);                                     \
		(s)->general[4] = from(si);                                     \
		(s)->general[5] = from(di);                                     \
		(s)->general[8] = from(r8);                                     \
		(s)->general[9] = from(r9);                                     \
		(s)->general[10] = from(r10);                                   \
		(s)->general[11] = from(r11);                                   \
		(s)->general[12] = from(r12);                                   \
		(s)->general[13] = from(r13);                                   \
		(s)->general[14] = from(r14);                                   \
		(s)->general[15] = from(r15);                                   \
	} while (0)

#define SAVED(reg) (regs->reg)

/* Registers of the thread in user mode; false for 32-bit code. */
static __always_inline bool user_registers(struct bpf_perf_event_data *ctx, struct task_struct *task,
					   bool kernel, struct unwind_state *s)
{
	__u64 cs = SAMPLED(cs);

	if (kernel) {
		struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

		TAKE_REGISTERS(s, SAVED, ip);
		cs = regs->cs;
	} else {
		TAKE_REGISTERS(s, SAMPLED, ip);
	}
	s->have_rbx = 1;
	s->have_lr = 0;
	return (cs & 0xffff) != 0x23; /* __USER32_CS */
}

#else

#define PSR_MODE_MASK 0xf
#define PSR_MODE32_BIT 0x10

static __always_inline bool in_kernel(struct bpf_perf_event_data *ctx)
{
	return (ctx->regs.pstate & PSR_MODE_MASK) != 0;
}

static __always_inline bool user_registers(struct bpf_perf_event_data *ctx, struct task_struct *task,
					   bool kernel, struct unwind_state *s)
{
	__u64 pstate = SAMPLED(pstate);

	s->regs.pc = SAMPLED(pc);
	s->regs.sp = SAMPLED(sp);
	s->regs.fp = SAMPLED(regs[29]);
	s->regs.lr = SAMPLED(regs[30]);
	s->general[GO_REGISTER] = SAMPLED(regs[28]);
	if (kernel) {
		struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

		s->regs.pc = regs->user_regs.pc;
		s->regs.sp = regs->user_regs.sp;
		s->regs.fp = regs->user_regs.regs[29];
		s->regs.lr = regs->user_regs.regs[30];
		s->general[GO_REGISTER] = regs->user_regs.regs[28];
		pstate = regs->user_regs.pstate;
	}
	s->have_rbx = 0;
	s->have_lr = 1;
	return !(pstate & PSR_MODE32_BIT);
}

#endif

#define STACK_SPAN (8ULL << 20)

SEC("perf_event")
int sample_cpu(struct bpf_perf_event_data *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 zero = 0, cpu = bpf_get_smp_processor_id();
	struct control *control = bpf_map_lookup_elem(&controls, &zero);
	struct timer_tally *timer = bpf_map_lookup_elem(&timer_tallies, &cpu);
	struct unwind_state *s = state_of_this_cpu();
	struct task_struct *leader;
	struct tally *t;
	__u32 bank;
	bool kernel;

	if (!control || !timer || !s)
		return 0; /* cannot happen: these maps have the entry */
	/* Read once: a flip between here and finish must not split the sample. */
	bank = *(volatile __u32 *)&control->bank & 1;
	t = tally_of(bank, cpu);
	if (!t)
		return 0;
	t->entries++;
	timer->entries++;

	if (!task->pid) {
		timer->entries_idle++;
		if (!with_idle) {
			t->idle++;
			return 0;
		}
	}
	if (has_filter() && !wanted(task)) {
		t->filtered++;
		return 0;
	}

	s->bank = bank;
	s->cpu = cpu;
	s->n_kernel = 0;
	s->n_user = 0;
	s->n_frames = 0;
	s->unmapped = 0;
	s->calls = 0;
	s->ahead_bytes = 0;
	s->wanted = 0;
	s->copied = 0;
	s->unsure = 0;
	s->frame_flags = 0;
	s->window = control->window;
	s->started = 0;
	s->kernel_cut = 0;
	s->stop = STOP_NONE;
	s->pid = process_id(task);
	s->tid = with_threads ? thread_id(task) : 0;
	s->generation = process_generation(task);
	leader = task->group_leader;
	bpf_core_read(s->comm, COMM_LEN, &leader->comm);
	bpf_core_read(s->thread_comm, COMM_LEN, &task->comm);

	if (!task->pid) {
		/* One idle task a CPU, all alike to the reader. */
		s->generation = 0;
		s->stop = STOP_IDLE;
		__builtin_memset(s->comm, 0, COMM_LEN);
		__builtin_memset(s->thread_comm, 0, COMM_LEN);
		goto finish;
	}

	kernel = in_kernel(ctx);
	if (kernel && !no_kernel) {
		/* Only here: for a user-mode sample the helper would return an error. */
		long n = bpf_get_stack(ctx, s->words, MAX_KERNEL_FRAMES * sizeof(__u64), 0);

		if (n > 0)
			s->n_kernel = n / sizeof(__u64);
		if (s->n_kernel >= MAX_KERNEL_FRAMES || n <= 0)
			s->kernel_cut = 1;
	}

	/* Kernel threads, and processes that have given up their memory, have no user part. */
	if (no_user || !task->mm || (task->flags & (PF_KTHREAD | PF_USER_WORKER)))
		goto finish;
	/* In exec, registers are the old program's and memory may be the new one's. */
	if (bpf_core_field_exists(task->in_execve) && BPF_CORE_READ_BITFIELD(task, in_execve))
		goto finish;
	if (!s->pid) {
		s->stop = STOP_NAMESPACE;
		goto finish;
	}
	if (!user_registers(ctx, task, kernel, s)) {
		s->stop = STOP_COMPAT;
		goto finish;
	}
	s->stack_low = s->regs.sp - BELOW_STACK;
	s->stack_high = s->regs.sp + STACK_SPAN;
	if (!find_process(s))
		ask(ctx, s, NOTICE_UNKNOWN, 0);
	go_to(ctx, SLOT_NATIVE);
	return chain_broken(s);

finish:
	go_to(ctx, SLOT_FINISH);
	return chain_broken(s);
}
