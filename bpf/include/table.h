/* SPDX-License-Identifier: Dual BSD/GPL */
/*
 * Unwind tables: what to do at an address of an executable to get to the
 * caller. User space compiles them from the file's call frame information
 * (bpf/unwind/native/compile.go writes what is read here).
 *
 * A table is of one chunk. It lies in one slab, as 32-bit words:
 *
 *   lookup  for each KiB of the chunk the number of its first row, and that
 *           of the row behind the last
 *   rows    sorted: offset in the chunk (low 16 bits) << 16 | number of a rule
 *   rules   RULE_WORDS each, see struct rule
 */
#ifndef STACCATO_TABLE_H
#define STACCATO_TABLE_H

#include "types.h"
#include <bpf/bpf_helpers.h>

#define TABLE_SLAB_WORDS (1U << 20)
#define TABLE_SLABS 64
#define TABLE_CHUNKS 65536
/* A KiB has at most 1,024 rows, so 11 halvings find one. */
#define ROW_STEPS 11

struct table_slab {
	__u32 words[TABLE_SLAB_WORDS];
};

/*
 * Where the table of a chunk is. That is one word, so that programs see the
 * table that there was or the one that takes its place, and never half of each:
 *
 *   bits 0–6   its slab + 1; 0: none is loaded
 *   bits 7–26  the first word of lookup in the slab; rows follow it
 *   bits 27–39 KiB that lookup covers
 *   bits 40–59 words from the first of lookup to the first of rules
 */
struct table {
	__u64 place;
	__u32 used; /* window in which it was used last */
	__u32 version; /* counts all tables that were loaded */
};
#define PLACE_SLAB(place) ((__u32)((place) & 0x7f))
#define PLACE_LOOKUP(place) ((__u32)((place) >> 7 & (TABLE_SLAB_WORDS - 1)))
#define PLACE_BUCKETS(place) ((__u32)((place) >> 27 & 0x1fff))
#define PLACE_RULES(place) ((__u32)((place) >> 40 & (TABLE_SLAB_WORDS - 1)))

enum rule_kind {
	RULE_NONE = 0, /* no information: padding, data, hand-written code */
	RULE_CFA,      /* the CFA is a register + cfa */
	RULE_DEREF,    /* the CFA is what lies at a register + cfa, + extra */
	RULE_PLT,      /* the CFA is a register + cfa, + 8 late in a PLT entry */
	RULE_SIGNAL,   /* the kernel's signal frame: all registers are in it */
	RULE_FP,       /* follow the frame pointer, which is one here; the caller's frame is at it + cfa */
	RULE_STOP,     /* the outermost frame */
	RULE_OTHER,    /* a form that we do not follow */
	RULE_GOROUTINE, /* Go's stack of a thread, come to from a goroutine's that must grow */
	RULE_CGO,      /* Go's stack of a thread, come to from a goroutine's that calls C */
	RULE_INJECTED, /* RULE_CFA, where a signal handler of Go's has stopped the caller */
};

enum rule_register {
	REGISTER_SP = 0,
	REGISTER_FP,
	REGISTER_RBX,
	REGISTER_GENERAL, /* + DWARF's number */
};

/* Where the caller's value of a register is. */
enum rule_saved {
	SAVED_SAME = 0, /* still in the register */
	SAVED_CFA,      /* at the CFA + offset */
	SAVED_FP,       /* at the frame pointer + offset */
	SAVED_LOST,
};

#define RULE_WORDS 4

struct rule {
	__u8 kind;      /* enum rule_kind */
	__u8 reg;       /* enum rule_register */
	__u8 fp, rbx;   /* enum rule_saved */
	__s32 cfa;      /* bytes */
	/* bytes; RULE_PLT: the late part's low address bits; ra 0: DWARF's number of a register */
	__s16 extra;
	__s16 ra;       /* the return address is at the CFA + ra; 0: in a register, on arm64 lr */
	__s16 fp_at, rbx_at; /* offsets of fp and rbx, bytes */
};
_Static_assert(sizeof(struct rule) == 4 * RULE_WORDS, "rule layout");

struct slab_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct table_slab));
};

/* Made by user space as they are needed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TABLE_SLABS);
	__type(key, __u32);
	__array(values, struct slab_map);
} table_slabs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TABLE_CHUNKS);
	__type(key, __u32);
	__type(value, struct table);
} tables SEC(".maps");

/*
 * Rules that this CPU has looked up: most samples are taken in the same places.
 * Entries are told by the table's version, which no two tables have.
 */
#define CACHED_RULES 512
struct cached_rule {
	__u64 place;
	__u32 version, offset;
	struct rule rule;
};
struct rule_cache {
	struct cached_rule rules[CACHED_RULES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rule_cache);
} rule_caches SEC(".maps");

enum found { FOUND, FOUND_NOTHING, FOUND_NO_TABLE };

/*
 * The rule for an offset in a chunk. The words of a table stay as they are until
 * no program runs any more that has seen its place.
 */
static __always_inline enum found find_rule(__u32 chunk, __u32 offset, __u32 window, struct rule *rule)
{
	struct table *t = bpf_map_lookup_elem(&tables, &chunk);
	struct rule_cache *cache;
	struct cached_rule *cached;
	__u32 zero = 0, version, slab, lookup, rows, low, high, bucket, key, at;
	struct table_slab *v;
	__u64 place;
	void *map;

	if (!t)
		return FOUND_NO_TABLE;
	version = *(volatile __u32 *)&t->version; /* before the place, which is set last */
	place = *(volatile __u64 *)&t->place;
	slab = PLACE_SLAB(place);
	if (!slab--)
		return FOUND_NO_TABLE;
	if (t->used != window)
		t->used = window;
	cache = bpf_map_lookup_elem(&rule_caches, &zero);
	if (!cache)
		return FOUND_NO_TABLE;
	cached = &cache->rules[((offset ^ version << 7) * 0x9e3779b1U >> 20) & (CACHED_RULES - 1)];
	if (cached->version == version && cached->offset == offset && cached->place == place) {
		*rule = cached->rule;
		return rule->kind == RULE_NONE ? FOUND_NOTHING : FOUND;
	}
	map = bpf_map_lookup_elem(&table_slabs, &slab);
	if (!map)
		return FOUND_NO_TABLE;
	v = bpf_map_lookup_elem(map, &zero);
	if (!v)
		return FOUND_NO_TABLE;
	bucket = offset >> 10;
	if (bucket >= PLACE_BUCKETS(place))
		return FOUND_NOTHING;
	lookup = PLACE_LOOKUP(place);
	rows = lookup + PLACE_BUCKETS(place) + 1;
	low = v->words[(lookup + bucket) & (TABLE_SLAB_WORDS - 1)];
	high = v->words[(lookup + bucket + 1) & (TABLE_SLAB_WORDS - 1)];
	/* The last row up to the offset, or the one before this KiB's first. */
	key = offset << 16 | 0xffff;
	for (int i = 0; i < ROW_STEPS; i++) {
		__u32 middle = low + (high - low) / 2;

		if (low >= high)
			break;
		if (v->words[(rows + middle) & (TABLE_SLAB_WORDS - 1)] <= key)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return FOUND_NOTHING;
	at = v->words[(rows + low - 1) & (TABLE_SLAB_WORDS - 1)] & 0xffff;
	at = lookup + PLACE_RULES(place) + at * RULE_WORDS;
	for (int i = 0; i < RULE_WORDS; i++)
		((__u32 *)rule)[i] = v->words[(at + i) & (TABLE_SLAB_WORDS - 1)];
	cached->place = place;
	cached->version = version;
	cached->offset = offset;
	cached->rule = *rule;
	return rule->kind == RULE_NONE ? FOUND_NOTHING : FOUND;
}

#endif
