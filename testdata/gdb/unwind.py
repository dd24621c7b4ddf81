# Unwinds dumps of registers and stacks with gdb:
#
#	gdb -nx -batch -p PID -ex 'python dumps="FILE"' -x unwind.py
#
# PID is a stopped process, which must not go on afterwards: its stack and registers
# are made those of each dump in turn. FILE is what testdata/elfutils/unwind.c reads.
# For each dump a line is printed with the frames, innermost first: "call", "return"
# or "signal" and the frame's address in the process, in hex. Frames that gdb makes up
# for inlined and for tail calls are left out.
import struct

import gdb

REGISTERS = "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split()


def frames():
    frame, innermost = gdb.newest_frame(), True
    while frame is not None:
        if frame.type() == gdb.SIGTRAMP_FRAME:
            yield "signal", frame.pc()
            innermost = True
        elif frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            yield "call" if innermost else "return", frame.pc()
            innermost = False
        try:
            frame = frame.older()
        except gdb.error:
            return


def words(file, n):
    data = file.read(8 * n)
    if len(data) != 8 * n:
        raise gdb.GdbError("a dump is cut off")
    return data


gdb.execute("set backtrace limit unlimited")
gdb.execute("set backtrace past-main on")
gdb.execute("set backtrace past-entry on")
with open(dumps, "rb") as file:
    while first := file.read(8):
        values = struct.unpack("<17Q", first + words(file, len(REGISTERS) - 1))
        below = words(file, *struct.unpack("<Q", words(file, 1)))
        above = words(file, *struct.unpack("<Q", words(file, 1)))
        rsp = values[REGISTERS.index("rsp")]
        gdb.selected_inferior().write_memory(rsp - len(below), below + above)
        for name, value in zip(REGISTERS, values):
            gdb.newest_frame().select()  # it may choose another when registers change
            gdb.execute(f"set ${name} = {value:#x}", to_string=True)
        print("frames:", *(f"{kind}:{pc:#x}" for kind, pc in frames()))
gdb.execute("kill")
