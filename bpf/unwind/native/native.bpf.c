//go:build ignore

/* SPDX-License-Identifier: Dual BSD/GPL */
/*
 * Unwinds native code by frame pointers: on both architectures a frame keeps
 * the caller's frame pointer at [fp] and the return address at [fp + 8].
 *
 * Every read is guarded first: reading an address that is not mapped costs a
 * page fault, some hundred times the price of a good read, and code that uses
 * the register for something else would make us pay it at nearly every sample.
 */
#include "process.h"
#include "unwind.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile bool have_bpf_loop = true;

#if defined(__TARGET_ARCH_arm64)
/* The upper bits of a return address may hold its authentication code. */
#define ADDRESS_BITS ((1ULL << 48) - 1)
#else
#define ADDRESS_BITS WORD_ADDRESS_MASK
#endif

/* Packs the frame at s->regs.pc; false when it lies in no known mapping. */
static __always_inline bool push_native(struct unwind_state *s, __u64 flags)
{
	__u64 pc = s->regs.pc;
	/* A call at the very end of a mapping returns behind it. */
	__u64 look = pc - (flags & FLAG_RETURN ? 1 : 0);
	bool known = find_mapping(s, look);

	s->n_frames++;
	if (known && s->last.chunk) {
		push_word(s, (__u64)WORD_CHUNK << WORD_KIND_SHIFT | flags << WORD_FLAG_SHIFT |
				     (__u64)(s->last.chunk & 0xffffff) << 32 |
				     (__u32)(s->last.base + (__u32)(pc - s->last.start)));
		return true;
	}
	if (known)
		flags |= FLAG_ANON;
	else
		s->unmapped++;
	push_word(s, (__u64)WORD_ADDRESS << WORD_KIND_SHIFT | flags << WORD_FLAG_SHIFT |
			     (pc & WORD_ADDRESS_MASK));
	return known;
}

#define PAGE 4096ULL
/*
 * Reads two words of the stack, from an address that is a multiple of 8. Calls
 * of the helper cost several times what walking a frame does otherwise, so it
 * reads ahead: callers' frames are mostly near. Never into the next page, which
 * may be missing.
 */
static __always_inline bool read_stack(struct unwind_state *s, __u64 address, __u64 *first, __u64 *second)
{
	__u64 offset = address - s->window_at;

	if (offset >= s->window_bytes || offset + 16 > s->window_bytes) {
		__u64 n = PAGE - (address & (PAGE - 1));

		if (n > sizeof(s->window))
			n = sizeof(s->window);
		if (n < 16)
			n = 16; /* half of it lies in the next page */
		s->window_bytes = 0;
		if (bpf_probe_read_user(s->window, n, (const void *)address))
			return false;
		s->window_at = address;
		s->window_bytes = n;
		offset = 0;
	}
	*first = s->window[offset / 8 & (WINDOW_WORDS - 1)];
	*second = s->window[(offset / 8 + 1) & (WINDOW_WORDS - 1)];
	return true;
}

/* Moves to the caller and pushes it. Returns 1 when the walk is over. */
static __always_inline int step(struct unwind_state *s)
{
	__u64 saved, ra;
	__u64 fp = s->regs.fp;

	if (!fp) {
		s->stop = STOP_END;
		return 1;
	}
	/* The stack grows down: each caller's frame lies above, in the same stack. */
	if ((fp & 7) || fp < s->stack_low || fp >= s->stack_high) {
		s->stop = STOP_FP;
		return 1;
	}
	if (s->n_frames >= MAX_USER_FRAMES) {
		s->stop = STOP_DEPTH;
		return 1;
	}
	if (!read_stack(s, fp, &saved, &ra)) {
		s->stop = STOP_UNREADABLE;
		return 1;
	}
	if (!ra) {
		s->stop = STOP_END;
		return 1;
	}
	s->regs.pc = ra & ADDRESS_BITS;
	s->regs.fp = saved;
	s->stack_low = fp + 16;
	push_native(s, FLAG_RETURN);
	return 0;
}

static long step_in_loop(__u32 i, struct unwind_state **state)
{
	struct unwind_state *s = *state;

	return step(s);
}

/* Without bpf_loop: steps in one program, which then calls itself again. */
#define STEPS_PER_CALL 20
#define MAX_CALLS 28
_Static_assert(STEPS_PER_CALL * MAX_CALLS >= MAX_USER_FRAMES, "enough calls for the deepest stack");

SEC("perf_event")
int unwind_native(struct bpf_perf_event_data *ctx)
{
	struct unwind_state *s = state_of_this_cpu();

	if (!s)
		return 0;
	if (!s->started) {
		s->started = 1;
		s->stop = STOP_DEPTH;
		if (!push_native(s, 0) && s->n_mappings)
			ask(ctx, s, NOTICE_MISS, s->regs.pc);
	}
	if (have_bpf_loop) {
		bpf_loop(MAX_USER_FRAMES, step_in_loop, &s, 0);
	} else {
		for (int i = 0; i < STEPS_PER_CALL; i++) {
			if (step(s))
				goto finish;
		}
		if (s->calls++ < MAX_CALLS)
			go_to(ctx, SLOT_NATIVE);
	}
finish:
	go_to(ctx, SLOT_FINISH);
	return chain_broken(s);
}
