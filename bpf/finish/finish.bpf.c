//go:build ignore

/* SPDX-License-Identifier: Dual BSD/GPL */
/*
 * End of every sample: counts the stack in the table of the sample's bank, and
 * on its first sight writes its words to the bank's log.
 */
#include "hash.h"
#include "log.h"
#include "unwind.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u64 seed_lo = 0;
const volatile __u64 seed_hi = 0;
const volatile __u32 table_mask = 0; /* entries of a bank's table - 1 */
const volatile bool write_samples = false; /* stored ones: the kernel writes them to the event's ring, too */

#define TABLE_PROBES 16

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2); /* loader: 2 banks × table */
	__type(key, __u32);
	__type(value, struct trace);
} stack_traces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2); /* loader: 2 banks × slabs */
	__type(key, __u32);
	__type(value, struct log_slab);
} stack_frames SEC(".maps");

static __always_inline __u64 text_word(const char *text, int i)
{
	return ((const __u64 *)text)[i];
}

/* Everything that makes two stacks different goes in, all words of all frames. */
static __always_inline struct hash identity(struct unwind_state *s)
{
	struct hash h = {seed_lo, seed_hi};
	__u32 n = s->n_kernel + s->n_user;

	if (s->copied)
		hash_word(&h, bpf_ktime_get_ns() << 8 | s->cpu); /* there is no other like it */

	hash_word(&h, (__u64)s->pid << 32 | s->tid);
	hash_word(&h, s->generation);
	hash_word(&h, text_word(s->comm, 0));
	hash_word(&h, text_word(s->comm, 1));
	hash_word(&h, text_word(s->thread_comm, 0));
	hash_word(&h, text_word(s->thread_comm, 1));
	hash_word(&h, (__u64)s->n_kernel << 32 | s->n_user << 16 | s->stop << 8 | s->kernel_cut);
	for (__u32 i = 0; i < MAX_WORDS; i++) {
		if (i >= n)
			break;
		hash_word(&h, s->words[i]);
	}
	hash_finish(&h);
	/* 0 marks a free slot. */
	h.lo |= !h.lo;
	return h;
}

#define NO_ROOM 0xffffffffU
#define SLAB_TRIES 4

/*
 * Reserves n words of the log for a stack that is in the log of slab *slab from
 * then on; returns the first, or NO_ROOM. limit is up to where a slab may be
 * filled.
 */
static __always_inline __u64 reserve(struct unwind_state *s, __u32 n, __u32 limit, __u32 *slab)
{
	for (__u32 i = 0; i < SLAB_TRIES; i++) {
		struct log_cursor *cursor = cursor_of(s, i, slab);
		__u64 first;

		if (!cursor)
			return NO_ROOM;
		if (cursor->next + n > limit)
			continue;
		first = __sync_fetch_and_add(&cursor->next, n);
		if (first + n <= log_words)
			return first;
	}
	return NO_ROOM;
}

/*
 * Writes the stack's words to the log; returns their place, or NO_ROOM. A
 * global function, because the verifier goes through those once, and through
 * others once for each turn of the caller's loop.
 */
__noinline __u32 append(void)
{
	struct unwind_state *s = state_of_this_cpu();
	struct log_slab *log;
	__u32 n, slab = 0, at;
	__u64 first;

	if (!s)
		return NO_ROOM;
	n = s->n_kernel + s->n_user;
	first = reserve(s, n, log_words, &slab);
	if (first == NO_ROOM)
		return NO_ROOM;
	at = s->bank * log_slabs + slab;
	log = bpf_map_lookup_elem(&stack_frames, &at);
	if (!log)
		return NO_ROOM;
	for (__u32 i = 0; i < MAX_WORDS; i++) {
		if (i >= n)
			break;
		log->words[(first + i) & (LOG_SLAB_WORDS - 1)] = s->words[i];
	}
	return slab << LOG_SLAB_SHIFT | (__u32)first;
}

/* The same for the kernel's words and the copy of the user stack. */
__noinline __u32 append_copy(void)
{
	struct unwind_state *s = state_of_this_cpu();
	struct stack_copy *c = copy_of_this_cpu();
	struct log_slab *log;
	__u32 n, slab = 0, at;
	__u64 first, bytes;

	if (!s || !c)
		return NO_ROOM;
	n = s->n_kernel + COPY_HEAD_WORDS + s->copied;
	first = reserve(s, n, copies_end(), &slab);
	if (first == NO_ROOM)
		return NO_ROOM;
	alarm_when_filling(first, n);
	at = s->bank * log_slabs + slab;
	log = bpf_map_lookup_elem(&stack_frames, &at);
	if (!log)
		return NO_ROOM;
	for (__u32 i = 0; i < MAX_KERNEL_FRAMES; i++) {
		if (i >= s->n_kernel)
			break;
		log->words[(first + i) & (LOG_SLAB_WORDS - 1)] = s->words[i];
	}
	at = (first + s->n_kernel) & (LOG_SLAB_WORDS - 1);
	bytes = 8 * (COPY_HEAD_WORDS + (__u64)s->copied);
	if (at > LOG_SLAB_WORDS - COPY_HEAD_WORDS - COPY_WORDS - COPY_MORE_WORDS ||
	    bytes > 8 * (COPY_HEAD_WORDS + COPY_WORDS + COPY_MORE_WORDS))
		return NO_ROOM;
	if (bpf_probe_read_kernel(&log->words[at], bytes, c))
		return NO_ROOM;
	return slab << LOG_SLAB_SHIFT | (__u32)first;
}

/* So that user space can see the table fill up and read it in time. */
static __always_inline void count_trace(struct unwind_state *s)
{
	__u32 slab;
	struct log_cursor *cursor = cursor_of(s, 0, &slab);

	if (cursor)
		__sync_fetch_and_add(&cursor->traces, 1);
}

SEC("perf_event")
int finish(struct bpf_perf_event_data *ctx)
{
	struct unwind_state *s = state_of_this_cpu();
	__u32 place = NO_ROOM;
	struct tally *t;
	struct hash h;

	if (!s)
		return 0;
	t = tally_of(s->bank, s->cpu);
	if (!t)
		return 0;
	if (s->copied) {
		place = append_copy();
		if (place == NO_ROOM) {
			/* What the walk has found is what there is, and where it ended means nothing. */
			s->copied = 0;
			s->stop = STOP_NOT_COPIED;
			t->not_copied++;
		} else {
			s->n_user = 0;
		}
	}
	h = identity(s);
	for (__u32 i = 0; i < TABLE_PROBES; i++) {
		__u32 at = s->bank * (table_mask + 1) + (((__u32)h.lo + i) & table_mask);
		struct trace *trace = bpf_map_lookup_elem(&stack_traces, &at);
		__u64 found;

		if (!trace)
			return 0;
		found = *(volatile __u64 *)&trace->hash_lo;
		if (!found) {
			if (place == NO_ROOM) {
				place = append();
				if (place == NO_ROOM) {
					t->lost[LOSS_LOG_FULL]++;
					return 0;
				}
			}
			found = __sync_val_compare_and_swap(&trace->hash_lo, 0, h.lo);
			if (!found) {
				trace->generation = s->generation;
				trace->pid = s->pid;
				trace->tid = s->tid;
				__builtin_memcpy(trace->comm, s->comm, COMM_LEN);
				__builtin_memcpy(trace->thread_comm, s->thread_comm, COMM_LEN);
				trace->offset = place;
				trace->n_kernel = s->n_kernel;
				trace->n_user = s->n_user;
				trace->stop = s->stop;
				trace->kernel_cut = s->kernel_cut;
				trace->copied = s->copied;
				*(volatile __u64 *)&trace->hash_hi = h.hi;
				count_trace(s);
				goto count;
			}
		}
		/*
		 * hash_hi still 0: another CPU is filling this slot, perhaps with
		 * the same stack. Take the next slot; the reader merges.
		 */
		if (found == h.lo && *(volatile __u64 *)&trace->hash_hi == h.hi)
			goto count;
		continue;
count:
		__sync_fetch_and_add(&trace->count, 1);
		t->stored++;
		t->truncated[s->stop & STOPS_MASK]++;
		t->unmapped += s->unmapped;
		if (s->copied)
			t->copied++;
		return write_samples;
	}
	t->lost[LOSS_TABLE_FULL]++;
	return 0;
}
