//go:build ignore

/* SPDX-License-Identifier: Dual BSD/GPL */
/*
 * Unwinds native code by tables (include/table.h), and by frame pointers where
 * there is none: in generated and in hand-written code.
 *
 * Every read is guarded first: reading an address that is not mapped costs a
 * page fault, some hundred times the price of a good read.
 */
#include "process.h"
#include "table.h"
#include "unwind.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile bool have_bpf_loop = true;

/* For the Go side. */
enum rule_kind *use_rule_kind;
enum rule_register *use_rule_register;
enum rule_saved *use_rule_saved;

#if defined(__TARGET_ARCH_arm64)
/* The upper bits of a return address may hold its authentication code. */
#define ADDRESS_BITS ((1ULL << 48) - 1)
/* The kernel's struct rt_sigframe: from sp to the saved x0; sp and pc follow x30. */
#define SIGNAL_REGISTERS 312
#define SIGNAL_GO (SIGNAL_REGISTERS + 28 * 8)
#define SIGNAL_FP (SIGNAL_REGISTERS + 29 * 8)
#define SIGNAL_LR (SIGNAL_REGISTERS + 30 * 8)
#define SIGNAL_SP (SIGNAL_REGISTERS + 31 * 8)
#define SIGNAL_PC (SIGNAL_REGISTERS + 32 * 8)
#else
#define ADDRESS_BITS WORD_ADDRESS_MASK
/*
 * The kernel's struct rt_sigframe: from sp to the saved r8. Up to r15, then
 * rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip.
 */
#define SIGNAL_REGISTERS 40
#define SIGNAL_DI (SIGNAL_REGISTERS + 8 * 8)
#define SIGNAL_SI (SIGNAL_REGISTERS + 9 * 8)
#define SIGNAL_FP (SIGNAL_REGISTERS + 10 * 8)
#define SIGNAL_BX (SIGNAL_REGISTERS + 11 * 8)
#define SIGNAL_DX (SIGNAL_REGISTERS + 12 * 8)
#define SIGNAL_AX (SIGNAL_REGISTERS + 13 * 8)
#define SIGNAL_CX (SIGNAL_REGISTERS + 14 * 8)
#define SIGNAL_SP (SIGNAL_REGISTERS + 15 * 8)
#define SIGNAL_PC (SIGNAL_REGISTERS + 16 * 8)
#endif

#define STACK_SPAN (8ULL << 20)

/* A frame pointer that nobody knows: 0 would be that of the outermost frame. */
#define LOST_FP 1

/* Packs the frame at s->regs.pc, and finds the mapping it lies in. */
static __always_inline void push_native(struct unwind_state *s, __u64 flags)
{
	__u64 pc = s->regs.pc;
	/* A call at the very end of a mapping returns behind it. */
	__u64 look = pc - (flags & FLAG_RETURN ? 1 : 0);
	bool known = find_mapping(s, look);

	s->n_frames++;
	s->known = known;
	s->frame_flags = flags;
	if (known && s->last.chunk) {
		push_word(s, (__u64)WORD_CHUNK << WORD_KIND_SHIFT | flags << WORD_FLAG_SHIFT |
				     (__u64)(s->last.chunk & 0xffffff) << 32 |
				     (__u32)(s->last.base + (__u32)(pc - s->last.start)));
		return;
	}
	if (known) {
		flags |= FLAG_ANON;
	} else {
		s->unmapped++;
		s->unsure = 1;
	}
	push_word(s, (__u64)WORD_ADDRESS << WORD_KIND_SHIFT | flags << WORD_FLAG_SHIFT |
			     (pc & WORD_ADDRESS_MASK));
}

#define PAGE 4096ULL
/*
 * Reads a word of the stack. Calls of the helper cost several times what
 * walking a frame does otherwise, so it reads ahead: callers' frames are mostly
 * near. Never into the next page, which may be missing.
 */
static __always_inline bool read_stack(struct unwind_state *s, __u64 address, __u64 *word)
{
	__u64 offset = address - s->ahead_at;

	if ((address & 7) || address < s->stack_low || address >= s->stack_high) {
		s->stop = STOP_STACK;
		return false;
	}
	if (offset >= s->ahead_bytes) {
		__u64 n = PAGE - (address & (PAGE - 1));

		if (n > sizeof(s->ahead))
			n = sizeof(s->ahead);
		s->ahead_bytes = 0;
		if (bpf_probe_read_user(s->ahead, n, (const void *)address)) {
			s->stop = STOP_UNREADABLE;
			return false;
		}
		s->ahead_at = address;
		s->ahead_bytes = n;
		offset = 0;
	}
	*word = s->ahead[offset / 8 & (AHEAD_WORDS - 1)];
	return true;
}

/* Goes on at a return address. Returns 1 when the walk is over. */
static __always_inline int called_from(struct unwind_state *s, __u64 address, __u64 flags)
{
	address &= ADDRESS_BITS;
	if (!address) {
		s->stop = STOP_END;
		return 1;
	}
	if (s->n_frames >= MAX_USER_FRAMES) {
		s->stop = STOP_DEPTH;
		return 1;
	}
	s->regs.pc = address;
	s->stack_low = s->regs.sp - BELOW_STACK;
	push_native(s, flags);
	return 0;
}

/*
 * Moves to the caller by the frame pointer: on both architectures a frame
 * keeps the caller's at [fp] and the return address at [fp + 8]. The caller's
 * frame is size bytes above.
 */
static __always_inline int step_by_frame_pointer(struct unwind_state *s, __s32 size, __u64 flags)
{
	__u64 fp = s->regs.fp, caller_fp, ra;

	if (!fp) {
		/* A chain of frame pointers ends so. Other code has any number in this register. */
		s->stop = flags & ~s->frame_flags & FLAG_GUESSED ? STOP_FP : STOP_END;
		return 1;
	}
	/* The stack grows down: each caller's frame lies above, in the same stack. */
	if (!read_stack(s, fp, &caller_fp) || !read_stack(s, fp + 8, &ra)) {
		if (s->stop == STOP_STACK)
			s->stop = STOP_FP;
		return 1;
	}
	s->regs.fp = caller_fp;
	s->regs.sp = fp + size;
	s->have_rbx = 0;
	s->have_lr = 0;
	return called_from(s, ra, flags | FLAG_RETURN);
}

/* Where the caller's value of fp or rbx is; 0: in the register itself. */
static __always_inline __u64 saved_at(struct unwind_state *s, __u8 saved, __s16 offset, __u64 cfa)
{
	__u64 at = 0;

	if (saved == SAVED_CFA)
		at = cfa + offset;
	else if (saved == SAVED_FP)
		at = s->regs.fp + offset;
#if defined(__TARGET_ARCH_arm64)
	/* Go's place of it, below sp; in its code fp points there, but at a function's ends. */
	if (at == s->regs.sp - BELOW_STACK)
		return s->frame_flags & FLAG_RETURN || s->regs.fp == at ? at : 0;
#endif
	/* Compilers do not say when the end of a function has popped it. */
	return at < s->regs.sp ? 0 : at;
}

/* A signal has interrupted the caller, whose registers the kernel has saved. */
static __always_inline int step_by_signal(struct unwind_state *s)
{
	__u64 at = s->regs.sp, pc = 0, sp = 0;
	__u32 last = s->n_kernel + s->n_user - 1;

	/* Nobody has called the code that handlers return to: it begins there. */
	if (last < MAX_WORDS)
		s->words[last] &= ~((__u64)FLAG_RETURN << WORD_FLAG_SHIFT);
	if (!read_stack(s, at + SIGNAL_PC, &pc) || !read_stack(s, at + SIGNAL_SP, &sp) ||
	    !read_stack(s, at + SIGNAL_FP, &s->regs.fp))
		return 1;
#if defined(__TARGET_ARCH_arm64)
	if (!read_stack(s, at + SIGNAL_LR, &s->regs.lr) || !read_stack(s, at + SIGNAL_GO, &s->general[GO_REGISTER]))
		return 1;
	s->have_lr = 1;
#else
	for (int i = 0; i < 8; i++) {
		if (!read_stack(s, at + SIGNAL_REGISTERS + 8 * i, &s->general[8 + i]))
			return 1;
	}
	if (!read_stack(s, at + SIGNAL_DI, &s->general[5]) || !read_stack(s, at + SIGNAL_SI, &s->general[4]) ||
	    !read_stack(s, at + SIGNAL_BX, &s->regs.rbx) || !read_stack(s, at + SIGNAL_DX, &s->general[1]) ||
	    !read_stack(s, at + SIGNAL_AX, &s->general[0]) || !read_stack(s, at + SIGNAL_CX, &s->general[2]))
		return 1;
	s->have_rbx = 1;
#endif
	/* Handlers may have a stack of their own. */
	s->regs.sp = sp;
	s->stack_high = sp + STACK_SPAN;
	return called_from(s, pc, 0);
}

/*
 * Where Go's runtime keeps things, in bytes: struct g, struct m and struct gobuf
 * of its runtime2.go. The first are as they have been since Go 1.5, and known to
 * Go's linker and to debuggers.
 */
#define GO_G_STACK_END 8
#define GO_G_M 48
#define GO_G_SP 56 /* g.sched */
#define GO_G_PC 64
#define GO_G_LR 88
#define GO_G_FP 96
#define GO_M_G0 0
#define GO_M_CURG 184
#define GO_OLD 8 /* before Go 1.25 lr, fp and curg were so much further */

static __always_inline bool read_go(__u64 address, __u64 *word)
{
	return address && !(address & 7) && !bpf_probe_read_user(word, sizeof(*word), (const void *)address);
}

/* The goroutine that a thread of Go's runtime runs: one that says so itself. */
static __always_inline bool find_goroutine(__u64 m, __u64 offset, __u64 *g)
{
	__u64 owner;

	return read_go(m + offset, g) && read_go(*g + GO_G_M, &owner) && owner == m;
}

/*
 * A goroutine's stack was full, and runtime.morestack has gone to the thread's
 * own, without leaving a trace there. While the goroutine is this thread's, it
 * waits in the function that wanted to grow it; later it may be anywhere.
 */
static __always_inline int step_to_goroutine(struct unwind_state *s)
{
	__u64 g0 = s->general[GO_REGISTER], m, g, sp, pc, fp, old = 0;

	s->stop = STOP_GOROUTINE;
	if (!read_go(g0 + GO_G_M, &m) || !read_go(m + GO_M_G0, &g) || g != g0)
		return 1;
	if (!find_goroutine(m, GO_M_CURG, &g)) {
		old = GO_OLD;
		if (!find_goroutine(m, GO_M_CURG + GO_OLD, &g)) {
			s->stop = STOP_END;
			return 1;
		}
	}
	if (!read_go(g + GO_G_SP, &sp) || !read_go(g + GO_G_PC, &pc) || !read_go(g + GO_G_FP + old, &fp))
		return 1;
	s->have_lr = 0;
#if defined(__TARGET_ARCH_arm64)
	/* The function has no frame yet. */
	if (!read_go(g + GO_G_LR + old, &s->regs.lr))
		return 1;
	s->have_lr = 1;
#endif
	s->regs.sp = sp;
	s->stack_high = sp + STACK_SPAN;
	s->regs.fp = fp;
	s->have_rbx = 0;
	return called_from(s, pc, FLAG_RETURN);
}

/*
 * A goroutine calls C: runtime.asmcgocall has gone to the thread's own stack. There
 * it has put the goroutine, and how far below the end of its stack the frame is; if
 * it was on the thread's stack before, 0, and where the frame is. On amd64 the frame
 * pointer says it more simply.
 */
static __always_inline int step_from_c(struct unwind_state *s)
{
	__u64 g, sp, end, m;

	/* It has a frame pointer only while it is on its own stack, and then has called nobody. */
	if (!(s->frame_flags & FLAG_RETURN) && s->regs.fp == s->regs.sp - BELOW_STACK)
		return 0;
	if (!read_stack(s, s->regs.sp, &g) || !read_stack(s, s->regs.sp + 8, &sp))
		return 1;
	if (g) {
		if (!read_go(g + GO_G_STACK_END, &end) || !read_go(g + GO_G_M, &m) || !m) {
			/* At the ends of its stay there it is on one stack or the other. */
			if (!(s->frame_flags & FLAG_RETURN))
				return 0;
			s->stop = STOP_GOROUTINE;
			return 1;
		}
		sp = end - sp;
	}
	s->regs.sp = sp;
	s->regs.fp = sp - BELOW_STACK;
	s->stack_low = s->regs.fp;
	s->stack_high = sp + STACK_SPAN;
	return 0;
}

static __always_inline bool base_of(struct unwind_state *s, const struct rule *r, __u64 *base)
{
	switch (r->reg) {
	case REGISTER_SP:
		*base = s->regs.sp;
		return true;
	case REGISTER_FP:
		*base = s->regs.fp;
		return true;
	case REGISTER_RBX:
		*base = s->regs.rbx;
		return s->have_rbx;
	}
	*base = s->general[(r->reg - REGISTER_GENERAL) & (GENERAL_REGISTERS - 1)];
	return true;
}

/* Moves to the caller by a rule. Returns 1 when the walk is over. */
static __always_inline int step_by_rule(struct unwind_state *s, const struct rule *r)
{
	__u64 cfa, ra, fp_at, rbx_at, fp = s->regs.fp, rbx = s->regs.rbx;

	if (r->kind == RULE_GOROUTINE && s->frame_flags & FLAG_RETURN)
		return step_to_goroutine(s);
	switch (r->kind) {
	case RULE_STOP:
		s->stop = STOP_END;
		return 1;
	case RULE_FP:
		/* It may lead to another stack: Go runs its own code on those of threads. */
		s->stack_low = s->regs.fp;
		s->stack_high = s->regs.fp + STACK_SPAN;
		return step_by_frame_pointer(s, r->cfa, 0);
	case RULE_CGO:
		if (step_from_c(s))
			return 1;
		break;
	case RULE_SIGNAL:
		return step_by_signal(s);
	case RULE_OTHER:
		s->stop = STOP_RULE;
		return 1;
	}
	if (!base_of(s, r, &cfa)) {
		s->stop = STOP_RULE;
		return 1;
	}
	cfa += r->cfa;
	if (r->kind == RULE_DEREF) {
		if (!read_stack(s, cfa, &cfa))
			return 1;
		cfa += r->extra;
	} else if (r->kind == RULE_PLT && (s->regs.pc & 15) >= r->extra) {
		cfa += 8;
	}
	if (cfa < s->regs.sp || cfa - s->regs.sp >= STACK_SPAN) {
		s->stop = STOP_STACK;
		return 1;
	}
	/* The lowest address first: reading ahead then covers the others. */
	rbx_at = saved_at(s, r->rbx, r->rbx_at, cfa);
	fp_at = saved_at(s, r->fp, r->fp_at, cfa);
	if (rbx_at && !read_stack(s, rbx_at, &rbx))
		return 1;
	if (fp_at && !read_stack(s, fp_at, &fp))
		return 1;
	if (r->ra) {
		if (!read_stack(s, cfa + r->ra, &ra))
			return 1;
	} else if (s->have_lr) {
		ra = s->regs.lr;
#if !defined(__TARGET_ARCH_arm64)
	} else if (!(s->frame_flags & FLAG_RETURN)) {
		/* As in vfork, whose stack the child overwrites. */
		ra = s->general[r->extra & (GENERAL_REGISTERS - 1)];
#endif
	} else {
		s->stop = STOP_RULE;
		return 1;
	}
	if (r->rbx == SAVED_LOST)
		s->have_rbx = 0;
	else if (rbx_at)
		s->have_rbx = 1;
	s->have_lr = 0;
	s->regs.rbx = rbx;
	s->regs.fp = r->fp == SAVED_LOST ? LOST_FP : fp;
	s->regs.sp = cfa;
	if (r->kind != RULE_INJECTED)
		return called_from(s, ra, FLAG_RETURN);
#if defined(__TARGET_ARCH_arm64)
	/* Above the frame the handler has put the caller's link register, in 16 bytes. */
	if (!read_stack(s, cfa, &s->regs.lr))
		return 1;
	s->have_lr = 1;
	s->regs.sp = cfa + 16;
#endif
	return called_from(s, ra, 0);
}

/*
 * Moves to the caller of the current frame. Returns 1 when the walk is over. A
 * global function, because the verifier goes through those once.
 */
__noinline int step(void)
{
	struct unwind_state *s = state_of_this_cpu();
	struct rule r = {};
	__u64 look;

	if (!s)
		return 1;
	if (s->known && s->last.chunk) {
		look = s->regs.pc - (s->frame_flags & FLAG_RETURN ? 1 : 0);
		switch (find_rule(s->last.chunk, s->last.base + (__u32)(look - s->last.start), s->window, &r)) {
		case FOUND:
			return step_by_rule(s, &r);
		case FOUND_NO_TABLE:
			if (!s->wanted)
				s->wanted = s->last.chunk;
			s->unsure = 1;
			break;
		case FOUND_NOTHING:
			break;
		}
	}
	return step_by_frame_pointer(s, 16, FLAG_GUESSED);
}

static long step_in_loop(__u32 i, void *unused)
{
	int over = step();

	/* The verifier wants to see that it is 0 or 1; the compiler knows it. */
	barrier_var(over);
	return over != 0;
}

/* Without bpf_loop: steps in one program, which then calls itself again. */
#define STEPS_PER_CALL 20
#define MAX_CALLS 28
_Static_assert(STEPS_PER_CALL * MAX_CALLS >= MAX_USER_FRAMES, "enough calls for the deepest stack");

/* Whether one more stack may be copied now. */
static __always_inline bool may_copy(struct stack_copy *c)
{
	__u64 now = bpf_ktime_get_ns(), paid = c->paid;

	if (now > COPY_BURST * COPY_EVERY_NS && paid < now - COPY_BURST * COPY_EVERY_NS)
		paid = now - COPY_BURST * COPY_EVERY_NS;
	if (paid > now)
		return false;
	c->paid = paid + COPY_EVERY_NS;
	return true;
}

/*
 * Copies memory from an address on to the byte at of the copy, page by page. It
 * returns how many bytes, at most limit.
 */
static __always_inline __u64 copy_pages(struct stack_copy *c, __u64 at, __u64 from, __u64 limit)
{
	__u64 done = 0;

	for (int i = 0; i <= COPY_WORDS / COPY_PAGE_WORDS; i++) {
		__u64 n = PAGE - ((from + done) & (PAGE - 1));
		__u64 to = at + done;

		if (done >= limit || to > 8 * (COPY_WORDS + COPY_MORE_WORDS) || n > PAGE)
			break;
		if (bpf_probe_read_user((char *)c->words + to, n, (const void *)(from + done)))
			break;
		done += n;
	}
	return done < limit ? done : limit;
}

#define FRAMES_FOLLOWED 32
#define GO_STACK_SPAN (1ULL << 20)
/* How far below a frame pointer the stack pointer may be. */
#define BELOW_FRAME 1024

/*
 * Where frame pointers lead from the copied piece to, or 0. Most code has none,
 * so what they lead to must look like a frame.
 */
static __always_inline __u64 leads_to(struct stack_copy *c, __u64 sp, __u64 copied)
{
	__u64 fp = c->regs.fp, frame[2];

	for (int i = 0; i < FRAMES_FOLLOWED; i++) {
		__u64 offset = fp - sp;

		if (offset >= copied || (offset & 7))
			break;
		fp = c->words[offset / 8 & (COPY_WORDS - 1)];
	}
	if (!fp || (fp & 7) || fp - sp < copied || bpf_probe_read_user(frame, sizeof(frame), (const void *)fp))
		return 0;
	if ((frame[0] & 7) || (frame[0] && (frame[0] <= fp || frame[0] - fp > GO_STACK_SPAN)) || frame[1] < PAGE ||
	    frame[1] > WORD_ADDRESS_MASK)
		return 0;
	return fp;
}

#if !defined(__TARGET_ARCH_arm64)
/*
 * C that Go has called has lost the frame pointer, as a rule. But runtime.asmcgocall
 * has left in its frame how far below the end of the goroutine's stack the caller's
 * is, and the goroutine: two words that are next to each other.
 */
struct departure {
	__u64 words; /* copied */
	__u64 fp;    /* of asmcgocall, 0 when it was not found */
	__u64 looks; /* at what might be goroutines */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct departure);
} departures SEC(".maps");

#define MAX_LOOKS 32
#define LOOK_WORDS 16

/* Whether the two words are those. Returns 1 when there is no need to look on. */
__noinline int is_departure(__u64 below, __u64 g)
{
	__u32 zero = 0;
	struct departure *d = bpf_map_lookup_elem(&departures, &zero);
	__u64 low, high, m, other;

	if (!d || d->looks++ >= MAX_LOOKS)
		return 1;
	if (!read_go(g, &low) || !read_go(g + GO_G_STACK_END, &high) || below > high - low || !read_go(g + GO_G_M, &m))
		return 0;
	if ((!find_goroutine(m, GO_M_CURG, &other) || other != g) &&
	    (!find_goroutine(m, GO_M_CURG + GO_OLD, &other) || other != g))
		return 0;
	d->fp = high - below;
	return 1;
}

static long look_for_departure(__u32 i, void *unused)
{
	struct stack_copy *c = copy_of_this_cpu();
	__u32 zero = 0, first = i * LOOK_WORDS & (COPY_WORDS - 1);
	struct departure *d = bpf_map_lookup_elem(&departures, &zero);

	if (!c || !d)
		return 1;
	for (__u32 at = first; at < first + LOOK_WORDS; at++) {
		__u64 below = c->words[at], g = c->words[at + 1];

		if (at + 1 >= d->words)
			return 1;
		if (!below || (below & 7) || below >= STACK_SPAN || g < PAGE || (g & 7) || g > WORD_ADDRESS_MASK)
			continue;
		if (is_departure(below, g))
			return 1;
	}
	return 0;
}

/* Where Go's code has called the C code whose stack was copied, or 0. */
static __always_inline __u64 departed_from(__u64 copied)
{
	__u32 zero = 0;
	struct departure *d = bpf_map_lookup_elem(&departures, &zero);

	if (!d || !have_bpf_loop)
		return 0;
	d->words = copied / 8;
	d->fp = 0;
	d->looks = 0;
	bpf_loop(COPY_WORDS / LOOK_WORDS, look_for_departure, NULL, 0);
	return d->fp;
}
#else
/* The walk over copies does not follow it there. */
static __always_inline __u64 departed_from(__u64 copied)
{
	return 0;
}
#endif

/*
 * Copies the stack from sp on, and a piece of it or of another that frame pointers, or
 * Go's runtime, lead to.
 */
static __always_inline void copy_stack(struct unwind_state *s)
{
	struct stack_copy *c = copy_of_this_cpu();
	__u64 sp, done, more, page;

	if (!c)
		return;
	if (!may_copy(c)) {
		struct tally *t = tally_of(s->bank, s->cpu);

		if (t)
			t->not_copied++;
		s->stop = STOP_NOT_COPIED;
		return;
	}
	sp = (c->regs.sp & ~7ULL) - BELOW_STACK;
	done = copy_pages(c, 0, sp, 8 * COPY_WORDS);
	c->n_words = done / 8;
	c->time = bpf_ktime_get_ns();
	more = leads_to(c, sp, done);
	if (!more)
		more = departed_from(done);
	c->more_at = 0;
	if (more) {
		page = more & ~(PAGE - 1);
		c->more_at = more - BELOW_FRAME > page ? more - BELOW_FRAME : page;
		done += copy_pages(c, done, c->more_at, 8 * COPY_MORE_WORDS);
	}
	s->copied = done / 8;
	if (!s->copied)
		s->stop = STOP_UNREADABLE; /* where the walk ended means nothing */
}

/* Keeps the registers for a copy that the walk may turn out to need. */
static __always_inline void keep_registers(struct unwind_state *s)
{
	struct stack_copy *c = copy_of_this_cpu();

	if (!c)
		return;
	c->regs = s->regs;
	__builtin_memcpy(c->general, s->general, sizeof(c->general));
}

SEC("perf_event")
int unwind_native(struct bpf_perf_event_data *ctx)
{
	struct unwind_state *s = state_of_this_cpu();

	if (!s)
		return 0;
	if (!s->started) {
		s->started = 1;
		s->stop = STOP_DEPTH;
		keep_registers(s);
		push_native(s, 0);
		if (!s->known && s->n_mappings)
			ask(ctx, s, NOTICE_MISS, s->regs.pc);
	}
	if (have_bpf_loop) {
		bpf_loop(MAX_USER_FRAMES, step_in_loop, NULL, 0);
	} else {
		for (int i = 0; i < STEPS_PER_CALL; i++) {
			if (step())
				goto finish;
		}
		if (s->calls++ < MAX_CALLS)
			go_to(ctx, SLOT_NATIVE);
	}
finish:
	if (s->unsure)
		copy_stack(s);
	if (s->wanted)
		ask(ctx, s, NOTICE_TABLE, (__u64)s->wanted << 12); /* ask() tells pages apart */
	go_to(ctx, SLOT_FINISH);
	return chain_broken(s);
}
