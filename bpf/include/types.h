/* SPDX-License-Identifier: Dual BSD/GPL */
/*
 * Everything that crosses the border between the kernel side and Go, or
 * between two objects that are loaded apart. Objects that share a map agree on
 * its layout through LAYOUT_VERSION: the kernel itself would join maps of equal
 * size and different layout without a word.
 */
#ifndef STACCATO_TYPES_H
#define STACCATO_TYPES_H

#include "kernel.h"

#define LAYOUT_VERSION 7

/* Slots of the program array. Unwinders other than native follow SLOT_FIRST_FREE. */
enum slot {
	SLOT_NATIVE = 0,
	SLOT_FINISH = 1,
	SLOT_FIRST_FREE = 2,
	SLOTS = 16,
};

#define MAX_KERNEL_FRAMES 127
#define MAX_USER_FRAMES 512
/* Room for all words of a stack; a power of two, for masking. */
#define MAX_WORDS 1024
_Static_assert(MAX_KERNEL_FRAMES + MAX_USER_FRAMES < MAX_WORDS, "a stack fits its buffer");

#define COMM_LEN 16

/*
 * A frame is one 64-bit word (interpreters: more). Kernel frames are plain
 * addresses, which have the top bit set. The others:
 *
 *   bits 60–63  what the word is (enum word_kind)
 *   bits 56–59  flags (enum word_flag)
 *   WORD_ADDRESS: bits 0–55 the address in the process
 *   WORD_CHUNK:   bits 32–55 the chunk, bits 0–31 the offset in it
 */
enum word_kind {
	WORD_ADDRESS = 0,
	WORD_CHUNK = 1,
};
#define WORD_KIND_SHIFT 60

enum word_flag {
	FLAG_RETURN = 1, /* a return address: the call lies before it */
	FLAG_ANON = 2,   /* WORD_ADDRESS in known executable memory without a file */
	FLAG_GUESSED = 4, /* found by a frame pointer that nothing vouches for */
};
#define WORD_FLAG_SHIFT 56
#define WORD_ADDRESS_MASK ((1ULL << 56) - 1)

/* Why the user part of a stack ends where it ends. */
enum stop {
	STOP_END = 0,     /* the outermost frame */
	STOP_NONE,        /* there is no user part: kernel thread, or left out */
	STOP_IDLE,        /* idle task */
	STOP_FP,          /* code without a table, and its frame pointer is none */
	STOP_UNREADABLE,  /* stack memory could not be read */
	STOP_DEPTH,       /* more than MAX_USER_FRAMES */
	STOP_COMPAT,      /* 32-bit code */
	STOP_NAMESPACE,   /* the process is outside the profiler's PID namespace */
	STOP_RULE,        /* a rule of a form that we do not follow */
	STOP_STACK,       /* a rule led out of the stack */
	STOP_GOROUTINE,   /* Go's runtime works on another stack than the goroutine's, not found */
	STOP_NOT_COPIED,  /* unwind tables were missing, and there was no room for a copy of the stack */
	STOPS,
};
#define STOPS_MASK 15
_Static_assert(STOPS <= STOPS_MASK + 1, "reasons fit their counters");

/* Why a sample that ran could not be stored. */
enum loss {
	LOSS_TABLE_FULL = 0,
	LOSS_LOG_FULL,
	LOSS_CHAIN, /* a tail call fell through */
	LOSSES,
};

/*
 * One distinct stack and how often it was seen: an entry of the table
 * stack_traces. Slots are claimed by setting hash_lo; count is added to last,
 * so a slot with count 0 is not to be read.
 */
struct trace {
	__u64 hash_lo, hash_hi;
	__u64 generation; /* program image of the process, see process_generation() */
	__u64 count;
	__u32 pid, tid; /* user-space meaning: process, thread */
	char comm[COMM_LEN];
	char thread_comm[COMM_LEN];
	__u32 offset; /* of the first word in the log: slab << LOG_SLAB_SHIFT | word */
	__u16 n_kernel, n_user; /* words: kernel frames first, innermost first */
	__u8 stop; /* enum stop */
	__u8 kernel_cut; /* the kernel part is not whole */
	__u16 copied; /* words of a struct stack_copy's pieces, which follow the kernel's; then n_user is 0 */
	__u8 pad[4];
};
_Static_assert(sizeof(struct trace) == 88, "trace layout");

/*
 * The log of frame words is cut in slabs, one map value each, because a value
 * of more than 4 MiB needs a kernel of 2022. CPUs share the slabs evenly.
 */
#define LOG_SLAB_SHIFT 19
#define LOG_SLAB_WORDS (1U << LOG_SLAB_SHIFT)
struct log_slab {
	__u64 words[LOG_SLAB_WORDS];
};

/* Per CPU and bank: what became of the program's runs since the bank was emptied. */
struct tally {
	__u64 entries; /* runs of the entry program */
	__u64 idle;    /* of these: the idle task, left out */
	__u64 filtered;
	__u64 stored;
	__u64 lost[LOSSES];
	__u64 truncated[STOPS_MASK + 1]; /* of the stored ones, by enum stop */
	__u64 unmapped; /* user frames stored as plain addresses: no mapping known */
	__u64 copied; /* of the stored ones: with a copy of the user stack */
	__u64 not_copied; /* a copy was due, and there was no room or there were too many */
};

/*
 * Per CPU, never reset: how often the sampling timer fired. The kernel fires
 * it and then may skip the program (another BPF program is running on the CPU),
 * without any counter of its own.
 */
struct timer_tally {
	__u64 event_id; /* of this CPU's perf event; set by user space */
	__u64 fired;
	__u64 fired_idle;  /* of these: while the CPU was idle */
	__u64 fired_other; /* of these: while a thread ran that the filter rejects */
	__u64 entries; /* runs of the entry program, all banks */
	__u64 entries_idle; /* of these: for the idle task */
	__u64 skipped; /* firings outside of idle time that no run followed */
	__u64 skipped_own; /* of these: while a thread of the profiler ran */
	__u32 last_pid; /* the process that ran at the last firing */
	__u32 pad;
};

/* Two values that user space changes while programs run, and one that it watches. */
struct control {
	__u32 bank; /* the bank of tables that programs write: 0 or 1 */
	__u32 window; /* how often the bank was changed */
	__u64 told; /* changes before and after each notice is written */
};

/* How full a bank's slab is, and how many traces point into it. */
struct log_cursor {
	__u64 next; /* word; beyond the slab's size when it was full */
	__u64 traces;
	__u64 pad[6];
};

/*
 * A process whose executable mappings are known. User space is the only
 * writer: an open-addressing table by PID, MAX_PROBES long chains.
 */
struct process {
	__u32 pid;
	__u32 pad;
	__u64 generation;
	__u64 where; /* first entry in mappings << 32 | number; 0: not valid */
};
#define PROCESS_PROBES 16

/*
 * Chunk numbers stand for pieces of at most 4 MiB of an executable file:
 * mappings that are larger have several entries.
 */
#define CHUNK_SHIFT 22

struct mapping {
	__u64 start, end;
	__u32 chunk, base;
};

/* What the kernel side tells user space at once. */
enum notice_type {
	NOTICE_FORK = 1,
	NOTICE_EXEC,
	NOTICE_EXIT,
	NOTICE_UNKNOWN, /* a sample of a process without mappings */
	NOTICE_MISS,    /* a sample at an address outside the known mappings */
	NOTICE_TABLE,   /* a chunk's unwind table is wanted */
};

struct notice {
	__u32 type;
	__u32 pid;
	__u64 generation;
	__u64 time; /* CLOCK_MONOTONIC, ns */
	__u64 address; /* NOTICE_MISS; NOTICE_TABLE: the chunk << 12 */
	__u32 parent; /* NOTICE_FORK: PID of the parent process */
	__u32 pad;
};

/* When a notice about a process was last sent, so that it is not sent at each sample. */
struct asked {
	__u64 key;
	__u64 time;
};
#define ASKED_SLOTS 4096
#define ASK_AGAIN_NS 200000000ULL

/*
 * The thread's registers in user mode, as far as they are known: set from the
 * sample for the innermost frame, then moved from frame to frame.
 */
struct registers {
	__u64 pc, sp, fp;
	__u64 rbx; /* amd64 */
	__u64 lr;  /* arm64 */
};

/* amd64: registers by DWARF's numbers, 0 to 15. arm64: the first is x28. */
#define GENERAL_REGISTERS 16

/*
 * What user space needs to walk the stack of a thread whose process or unwind
 * tables the kernel side does not know yet: its registers, and its stack from
 * sp up to a page that cannot be read. And where its frame pointers lead out of
 * that, a piece there: Go runs its own code on other stacks than goroutines'.
 */
#define COPY_WORDS 2048
#define COPY_MORE_WORDS 512
/* A CPU copies one stack each COPY_EVERY_NS, and COPY_BURST at once. */
#define COPY_EVERY_NS 2000000ULL
#define COPY_BURST 512
#define COPY_PAGE_WORDS 512
struct stack_copy {
	struct registers regs;
	__u64 general[GENERAL_REGISTERS];
	__u64 more_at; /* address of the other piece, which follows the first n_words */
	__u64 n_words;
	__u64 time; /* CLOCK_MONOTONIC, ns */
	__u64 words[COPY_WORDS + COPY_MORE_WORDS + COPY_PAGE_WORDS]; /* the last are for the verifier */
	__u64 paid; /* not copied out: time up to which copies were made, ns */
};
#define COPY_HEAD_WORDS (8 + GENERAL_REGISTERS)
_Static_assert(sizeof(struct stack_copy) == 8 * (COPY_HEAD_WORDS + COPY_WORDS + COPY_MORE_WORDS + COPY_PAGE_WORDS + 1),
	       "copy layout");

/* Words of the stack that are read at once, see read_stack(); a power of two. */
#define AHEAD_WORDS 64

/*
 * What travels through the tail calls of one sample. One per CPU: perf_event
 * programs do not nest on a CPU.
 */
struct unwind_state {
	__u64 generation;
	__u32 pid, tid;
	char comm[COMM_LEN];
	char thread_comm[COMM_LEN];
	__u32 bank;
	__u32 window;
	__u32 cpu;
	__u32 n_kernel, n_user;
	__u32 n_frames; /* user frames so far; one frame may be several words */
	__u8 stop;
	__u8 kernel_cut;
	__u8 started; /* the unwinder chain has begun */
	__u8 pad;
	__u32 mappings, n_mappings; /* in the map mappings; 0, 0: not known */
	struct mapping last; /* the mapping that the last address lay in */
	__u64 stack_low, stack_high; /* user reads stay in here */
	struct registers regs;
	/*
	 * The other registers as they were in the innermost frame, or in the last
	 * that a signal interrupted. Rules of other frames name them only in
	 * hand-written code, which then calls nothing that changes them.
	 */
	__u64 general[GENERAL_REGISTERS];
	__u8 have_rbx; /* regs.rbx is known */
	__u8 have_lr;  /* regs.lr is the current frame's */
	__u8 known;    /* the current frame lies in the mapping last */
	__u8 unsure;   /* something is not known yet: the stack is worth a copy */
	__u32 frame_flags; /* of the current frame, enum word_flag */
	__u32 wanted;      /* the first chunk met that has no table yet, or 0 */
	__u32 copied;      /* words of the CPU's struct stack_copy; 0: none */
	__u32 unmapped;
	__u32 calls; /* tail calls made by the unwinders */
	__u32 ahead_bytes; /* of ahead, as far as it was read */
	__u64 ahead_at; /* where in the process ahead begins */
	__u64 ahead[AHEAD_WORDS]; /* a piece of the thread's stack */
	__u64 words[MAX_WORDS];
};

#endif
