/* SPDX-License-Identifier: Dual BSD/GPL */
#ifndef STACCATO_HASH_H
#define STACCATO_HASH_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>

/*
 * A 128-bit hash of a sequence of words in two lanes with separate odd
 * multipliers. The seed is random per run, so that nobody can prepare stacks
 * that collide.
 */
struct hash {
	__u64 lo, hi;
};

static __always_inline void hash_word(struct hash *h, __u64 word)
{
	h->lo = (h->lo ^ word) * 0x9e3779b97f4a7c15ULL;
	h->lo ^= h->lo >> 29;
	h->hi = (h->hi + word) * 0xd6e8feb86659fd93ULL;
	h->hi ^= h->hi >> 32;
}

static __always_inline void hash_finish(struct hash *h)
{
	h->lo ^= h->hi >> 17;
	h->lo *= 0xbf58476d1ce4e5b9ULL;
	h->lo ^= h->lo >> 31;
	h->hi ^= h->lo << 13;
	h->hi *= 0x94d049bb133111ebULL;
	h->hi ^= h->hi >> 29;
}

#endif
