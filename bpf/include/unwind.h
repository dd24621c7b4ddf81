/* SPDX-License-Identifier: Dual BSD/GPL */
/* What unwinders share: pushing frames, going on to the next program. */
#ifndef STACCATO_UNWIND_H
#define STACCATO_UNWIND_H

#include "maps.h"

#if defined(__TARGET_ARCH_arm64)
/* Go keeps a frame's saved frame pointer in the word below the stack pointer. */
#define BELOW_STACK 8
/* The general register that points to the present g in Go's code: x28. */
#define GO_REGISTER 0
#else
#define BELOW_STACK 0
#define GO_REGISTER 14 /* r14 */
#endif

/* Go on in the program of a slot. Returns only if there is none. */
static __always_inline void go_to(void *ctx, __u32 slot)
{
	bpf_tail_call(ctx, &progs, slot);
}

/* The chain is broken: count the sample, so that it does not vanish. */
static __always_inline int chain_broken(struct unwind_state *s)
{
	struct tally *t = tally_of(s->bank, s->cpu);

	if (t)
		t->lost[LOSS_CHAIN]++;
	return 0;
}

static __always_inline void push_word(struct unwind_state *s, __u64 word)
{
	__u32 at = s->n_kernel + s->n_user;

	if (at >= MAX_WORDS)
		return;
	s->words[at] = word;
	s->n_user++;
}

#endif
