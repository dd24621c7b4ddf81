// Unwinds dumps of registers and stacks with elfutils' libdw:
//
//	unwind PID <DUMPS >STACKS
//
// PID is a stopped process, whose mappings and files are used. A dump is, in
// 64-bit words: the registers rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8 to r15,
// rip; a number of words and what lies below rsp, up to it; a number of words and the
// stack from rsp on. For each a line is printed with the frames, innermost first:
// FILE+0xADDRESS, where ADDRESS is the file's own, of the call where a frame was
// called. "beyond" follows when memory was asked for that is not in the dump.
#include <elfutils/libdwfl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REGISTERS = 17, RSP = 7, MOST_BELOW = 512, MOST_WORDS = 8192, MOST_FRAMES = 600 };

static struct {
	uint64_t registers[REGISTERS];
	uint64_t n_below;
	uint64_t below[MOST_BELOW];
	uint64_t n_words;
	uint64_t words[MOST_WORDS];
} dump;
static pid_t pid;
static int frames;
static bool beyond;

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread)
{
	(void)dwfl;
	if (*thread)
		return 0;
	*thread = arg;
	return pid;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread)
{
	(void)dwfl;
	*thread = arg;
	return tid == pid;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *word, void *arg)
{
	uint64_t rsp = dump.registers[RSP], offset;

	(void)dwfl;
	(void)arg;
	if (address < rsp) {
		offset = address - (rsp - 8 * dump.n_below);
		if (offset < 8 * dump.n_below && offset + sizeof *word <= 8 * dump.n_below) {
			memcpy(word, (char *)dump.below + offset, sizeof *word);
			return true;
		}
	} else {
		offset = address - rsp;
		if (offset < 8 * dump.n_words && offset + sizeof *word <= 8 * dump.n_words) {
			memcpy(word, (char *)dump.words + offset, sizeof *word);
			return true;
		}
	}
	beyond = true;
	return false;
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	Dwarf_Word words[REGISTERS];

	(void)arg;
	for (int i = 0; i < REGISTERS; i++)
		words[i] = dump.registers[i];
	return dwfl_thread_state_registers(thread, 0, REGISTERS, words);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.get_thread = get_thread,
	.memory_read = read_memory,
	.set_initial_registers = set_registers,
};

static char *debuginfo_path;
static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_linux_proc_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
	.debuginfo_path = &debuginfo_path,
};

static int print_frame(Dwfl_Frame *frame, void *arg)
{
	Dwfl *dwfl = arg;
	Dwarf_Addr pc, bias = 0;
	bool activation;
	Dwfl_Module *module;
	const char *name;

	if (!dwfl_frame_pc(frame, &pc, &activation))
		return DWARF_CB_ABORT;
	if (!activation)
		pc--;
	module = dwfl_addrmodule(dwfl, pc);
	if (!module || !dwfl_module_getelf(module, &bias)) {
		printf("%s?+0x%lx", frames ? " " : "", (unsigned long)pc);
	} else {
		name = dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
		name = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
		if (strncmp(name, "[vdso", 5) == 0)
			name = "[vdso]";
		printf("%s%s+0x%lx", frames ? " " : "", name, (unsigned long)(pc - bias));
	}
	return ++frames < MOST_FRAMES ? DWARF_CB_OK : DWARF_CB_ABORT;
}

static bool read_words(uint64_t *n, uint64_t *words, uint64_t most)
{
	return fread(n, sizeof *n, 1, stdin) == 1 && *n <= most && fread(words, 8, *n, stdin) == *n;
}

int main(int argc, char **argv)
{
	Dwfl *dwfl = dwfl_begin(&callbacks);

	pid = argc == 2 ? atoi(argv[1]) : 0;
	if (pid <= 0 || !dwfl || dwfl_linux_proc_report(dwfl, pid) != 0 || dwfl_report_end(dwfl, NULL, NULL) != 0 ||
	    !dwfl_attach_state(dwfl, NULL, pid, &thread_callbacks, &dump)) {
		fprintf(stderr, "usage: unwind PID <DUMPS: %s\n", dwfl_errmsg(-1));
		return 2;
	}
	while (fread(dump.registers, sizeof dump.registers, 1, stdin) == 1) {
		if (!read_words(&dump.n_below, dump.below, MOST_BELOW) || !read_words(&dump.n_words, dump.words, MOST_WORDS)) {
			fprintf(stderr, "unwind: a dump is cut off or too large\n");
			return 1;
		}
		frames = 0;
		beyond = false;
		dwfl_getthread_frames(dwfl, pid, print_frame, dwfl); // ends where it finds no rule
		puts(beyond ? " beyond" : "");
	}
	dwfl_end(dwfl);
	return 0;
}
