#!/usr/bin/env python3
"""Runs one command, measures it, and formats what was measured as cells of a Markdown table.

Needs: Linux, Python 3.9 or newer; `memory` also the right to trace its own child, which some containers take away.
The scripts beside this file call it; by hand:

    measure.py time   SAMPLES LABEL [--ok 0,1] [--stdout FILE] -- COMMAND...   wall, CPU and bytes of one run
    measure.py memory SAMPLES LABEL [--ok 0,1] [--stdout FILE] -- COMMAND...   peak memory of one run (slow: do not time it)
    measure.py row    SAMPLES TITLE CELL...          one table row; CELL is LABEL/KEY/FORMAT[/BASE] or =TEXT
    measure.py value  SAMPLES LABEL/KEY              the median of one figure, as a bare number
    measure.py json   FILE KEY[.KEY]...              one value out of a JSON document ('-' when absent)

`time` and `memory` append one JSON line per run to SAMPLES. Keys:
    wall       seconds from before the fork until the process is a zombie
    cpu        user + system seconds, its waited-for children included
    syscall    bytes it handed to write-like system calls (`wchar` of /proc/PID/io), less what it printed
    dirtied    bytes of page cache it made dirty (`write_bytes` of /proc/PID/io): mapped writes included, but in the
               kernel's units, a page or on newer kernels a large folio, however little of it was written
    anonymous  peak of RssAnon, read at every system call of every thread. Anonymous memory only shrinks through a system
               call (munmap, madvise, brk, exit), so the reading just before each one cannot miss the peak
    resident   peak of the resident set (VmHWM), which counts mapped file pages as well
/proc/PID/io is read while the process is a zombie (waitid with WNOWAIT), so nothing it did is missing.
"""

import ctypes
import json
import os
import signal
import statistics
import sys
import time

PTRACE_TRACEME, PTRACE_SYSCALL, PTRACE_SETOPTIONS = 0, 24, 0x4200
O_SYSGOOD, O_CLONE, O_EXEC, O_EXIT, O_EXITKILL = 1, 1 << 3, 1 << 4, 1 << 6, 1 << 20
WALL = 0x40000000  # __WALL: threads too


def die(message):
    sys.exit(f"measure.py: {message}")


class Output:
    """The child's stdout and stderr, in memory files: nothing to drain, and their size is known afterwards."""

    def __init__(self):
        self.out = os.memfd_create("stdout")
        self.err = os.memfd_create("stderr")

    def size(self):
        return os.fstat(self.out).st_size + os.fstat(self.err).st_size

    def text(self, fd):
        return os.pread(fd, os.fstat(fd).st_size, 0)


def run_timed(command, output):
    """Runs COMMAND undisturbed; returns its figures and its exit code."""
    actions = [(os.POSIX_SPAWN_DUP2, output.out, 1), (os.POSIX_SPAWN_DUP2, output.err, 2)]
    start = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    wall = time.perf_counter() - start
    with open(f"/proc/{pid}/io", encoding="ascii") as stream:
        counts = {key: int(value) for key, value in (line.split(":") for line in stream)}
    _, status, usage = os.wait4(pid, 0)
    figures = {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "syscall": counts["wchar"] - output.size(),
        "dirtied": counts["write_bytes"],
    }
    return figures, os.waitstatus_to_exitcode(status)


def run_traced(command, output):
    """Runs COMMAND under ptrace, one stop at each system call of each thread; returns its peak memory and its exit code."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long

    def ptrace(request, tid, data):
        # ESRCH: the thread was killed by another one's exit_group in the meantime; waitpid reports that next.
        if libc.ptrace(request, tid, None, data) < 0 and ctypes.get_errno() != 3:
            die(f"ptrace: {os.strerror(ctypes.get_errno())}")

    pid = os.fork()
    if pid == 0:
        ptrace(PTRACE_TRACEME, 0, None)
        os.dup2(output.out, 1)
        os.dup2(output.err, 2)
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            os.execvp(command[0], command)
        except OSError as error:
            os.write(2, f"{command[0]}: {error}\n".encode())
            os._exit(127)
    os.waitpid(pid, 0)
    ptrace(PTRACE_SETOPTIONS, pid, O_SYSGOOD | O_CLONE | O_EXEC | O_EXIT | O_EXITKILL)
    ptrace(PTRACE_SYSCALL, pid, None)

    peak = {"anonymous": 0, "resident": 0}
    executed = False  # before that, the memory seen is this interpreter's
    while True:
        tid, status = os.waitpid(-1, WALL)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            if tid == pid:
                return peak, os.waitstatus_to_exitcode(status)
            continue
        number, event, forward = os.WSTOPSIG(status), status >> 16, 0
        if event == 4:  # PTRACE_EVENT_EXEC
            executed = True
        elif event == 0 and number != signal.SIGTRAP | 0x80 and number != signal.SIGSTOP:
            forward = number
        if executed:
            look_at_memory(pid, peak)
        ptrace(PTRACE_SYSCALL, tid, forward)


def look_at_memory(pid, peak):
    """Raises the peaks to what /proc/PID/status says now; a process whose memory is gone already has no such lines."""
    with open(f"/proc/{pid}/status", "rb") as stream:
        text = stream.read()
    for key, name in (("anonymous", b"\nRssAnon:"), ("resident", b"\nVmHWM:")):
        at = text.find(name)
        if at >= 0:
            peak[key] = max(peak[key], 1024 * int(text[at + len(name) :].split(None, 1)[0]))


def measure(run, samples, label, rest):
    ok, stdout = {0}, None
    while rest and rest[0] != "--":
        option, value, *rest = rest
        if option == "--ok":
            ok = {int(code) for code in value.split(",")}
        elif option == "--stdout":
            stdout = value
        else:
            die(f"unknown option {option}")
    output = Output()
    figures, code = run(rest[1:], output)
    if stdout is not None:
        with open(stdout, "wb") as stream:
            stream.write(output.text(output.out))
    if code not in ok:
        sys.stderr.buffer.write(output.text(output.err))
        die(f"exit code {code} from: {' '.join(rest[1:])}")
    with open(samples, "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"label": label, **figures}) + "\n")


def median(samples, label, key):
    """The median over the runs of LABEL, or None when nothing was measured under that name."""
    with open(samples, encoding="utf-8") as stream:
        runs = [json.loads(line) for line in stream]
    values = [run[key] for run in runs if run["label"] == label and key in run]
    return statistics.median(values) if values else None


def as_time(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"


def as_bytes(count):
    if abs(count) >= 10 << 20:
        return f"{count / (1 << 20):,.1f} MiB"
    if abs(count) >= 10 << 10:
        return f"{count / (1 << 10):,.1f} KiB"
    return f"{count:,.0f} B"


def as_ratio(value):
    return f"{value:,.0f}×" if value >= 100 else f"{value:.3g}×"


def cell(samples, text):
    if text.startswith("="):
        return text[1:]
    label, key, form, *base = text.split("/")
    value = median(samples, label, key)
    if value is None:
        return "–"
    if form == "ratio":
        other = median(samples, base[0], key)
        return as_ratio(value / other) if other else "–"
    return {"time": as_time, "bytes": as_bytes}[form](value)


def look_up(path, keys):
    with open(path, encoding="utf-8", errors="replace") as stream:
        value = json.load(stream)
    for key in keys.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items() if count) or "none"
    return "-" if value is None else value


def main(arguments):
    match_run = {"time": run_timed, "memory": run_traced}
    if len(arguments) < 3:
        die(__doc__)
    command, first, second, *rest = arguments
    if command in match_run:
        measure(match_run[command], first, second, rest)
    elif command == "row":
        print("|", " | ".join([second] + [cell(first, text) for text in rest]), "|")
    elif command == "value":
        print(median(first, *second.split("/")))
    elif command == "json":
        print(look_up(first, second))
    else:
        die(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
