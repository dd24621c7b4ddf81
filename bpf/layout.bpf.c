//go:build ignore

/* SPDX-License-Identifier: Dual BSD/GPL */
/*
 * Holds no program: only the types that Go shares with the programs, so that
 * the generated Go file has each of them once.
 */
#include "types.h"

struct trace *use_trace;
struct tally *use_tally;
struct timer_tally *use_timer_tally;
struct control *use_control;
struct log_cursor *use_log_cursor;
struct process *use_process;
struct mapping *use_mapping;
struct notice *use_notice;
enum slot use_slot;
enum word_kind use_word_kind;
enum word_flag use_word_flag;
enum stop use_stop;
enum loss use_loss;
enum notice_type use_notice_type;
