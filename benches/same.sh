#!/usr/bin/env bash
# Shows that two builds do the same: every command is run by both on the same files, and what comes out is compared byte
#   for byte: standard output, standard error, exit code, and of a command that writes each file's contents, mode and
#   owner, whether it was replaced or written in place, the receipt, and what --revert makes of it. For changes of the
#   source that must not change what the program does. Of the outputs only each build's own version and path are not
#   compared.
# Needs: Linux, bash, python3.
# Run: benches/same.sh [--quick] OLD NEW TREE...
#   OLD, NEW  two programs
#   TREE      a folder; nothing in it is written. `fix` edits copies, of ELF files of up to 64 MiB, 600 MB for a tree.
#             A tree with more than 500 MB of ELF files gets fewer commands. How many files no copy was made of is
#             said on standard error: what a build does to those is not seen.
#             A folder with a file scenes.jsonl holds recorded calls instead, each with a tree of its own: lines of
#             {"arguments": [...], "folder": DIR, "environment": {...}, "texts": [...], "tree": NAME}, where @TREE@
#             stands for the copy of trees/NAME, also in its links and in the files that "texts" lists.
#   --quick   a choice of the commands, of the files for `explain` and of the recorded calls; copies of 150 MB for a tree
#   Environment: JOBS: pairs of runs at a time (default 2). TMPDIR: where the copies go; up to 2 GB. A file system in
#   memory is much faster, since `fix` waits for the disk after each file.
# Exit code: 0 no differences, 1 differences, each of which is a line on standard output, 2 wrong usage, or stopped.

set -euo pipefail

usage() {
    printf 'usage: %s [--quick] OLD NEW TREE...\n' "${0##*/}" >&2
    exit 2
}

quick=0
while [[ ${1-} == -* ]]; do
    case $1 in
    --quick) quick=1 ;;
    *) usage ;;
    esac
    shift
done
[[ $# -ge 3 ]] || usage
command -v python3 >/dev/null || {
    echo "${0##*/}: needs python3" >&2
    exit 2
}
for program in "$1" "$2"; do
    [[ -f $program && -x $program ]] || {
        echo "${0##*/}: no program at $program" >&2
        exit 2
    }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/cuda-runpath-same.XXXXXX")
remove() {
    chmod -R u+rwX "$work" 2>/dev/null || true
    rm -rf "$work"
}
trap remove EXIT
trap 'exit 2' INT TERM

# The program below comes on descriptor 3, so that it needs no file of its own.
QUICK=$quick JOBS=${JOBS:-2} WORK=$work python3 /dev/fd/3 "$@" 3<<'PYTHON'
import concurrent.futures
import hashlib
import json
import os
import pty
import re
import select
import shutil
import stat
import subprocess
import sys
import threading
import time

QUICK = os.environ["QUICK"] == "1"
WORK = os.environ["WORK"]
LARGEST_COPY = 64 << 20
ALL_COPIES = 600 << 20
LARGE_TREE = 500 << 20
SHOWN = 160

COMPAT = "/nix/store/00000000000000000000000000000000-cuda12.8-cuda_compat-12.8.39/compat"
DRIVER = "/opt/some/driver/lib"


class Program:
    """One of the two builds, under a name that is as long as the other's."""

    def __init__(self, role, path):
        path = os.path.realpath(path)
        os.mkdir(f"{WORK}/{role}")
        self.path = f"{WORK}/{role}/cuda-runpath"
        os.symlink(path, self.path)
        told = subprocess.run([self.path, "--version"], capture_output=True, stdin=subprocess.DEVNULL)
        if told.returncode != 0 or not told.stdout:
            sys.exit(f"{path} --version: exit {told.returncode}")
        version = told.stdout.strip().split(b" ", 1)[-1]
        self.private = [(version, b"VERSION"), (path.encode(), b"PROGRAM"), (self.path.encode(), b"PROGRAM")]
        if b"(" in version:
            self.private.insert(1, (version.split(b"(")[1].rstrip(b")"), b"COMMIT"))

    def public(self, data):
        """The output without what is this build's own."""
        for own, name in self.private:
            data = data.replace(own, name)
        return data


class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.runs = 0
        self.differences = 0

    def count(self, label, found):
        with self.lock:
            self.runs += 1
            if found:
                self.differences += 1
                print(f"differs: {label}: {found}", flush=True)


tally = Tally()


def environment(more):
    base = {"LC_ALL": "C", "HOME": "/nonexistent", "PATH": os.environ.get("PATH", "/usr/bin:/bin")}
    return base | more


class Run:
    """What one run left behind."""

    def __init__(self, program, arguments, folder=None, env=None, given=b"", sink=None, terminal=False):
        command = [program.path, *arguments]
        options = {"cwd": folder or WORK, "env": environment(env or {})}
        if terminal:
            self.code, self.out, self.err = *on_terminal(command, options), b""
        elif sink:
            with open(sink, "wb") as full:
                done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, input=given, **options)
            self.code, self.out, self.err = done.returncode, b"", done.stderr
        else:
            try:
                done = subprocess.run(command, capture_output=True, input=given, timeout=300, **options)
                self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
            except subprocess.TimeoutExpired as late:
                self.code, self.out, self.err = "too late", late.stdout or b"", late.stderr or b""
        self.out, self.err = program.public(self.out), program.public(self.err)


def on_terminal(command, options):
    """Both streams as a terminal gets them."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, **options)
    os.close(theirs)
    seen = b""
    while True:
        ready, _, _ = select.select([ours], [], [], 300)
        if not ready:
            child.kill()
            break
        try:
            part = os.read(ours, 1 << 16)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(ours)
    return child.wait(), seen


def shown(line):
    return repr(line[:SHOWN])[1:]


def first_difference(name, old, new):
    """The first line in which two outputs differ; None where they are the same."""
    if old == new:
        return None
    olds, news = old.split(b"\n"), new.split(b"\n")
    for number, (one, other) in enumerate(zip(olds, news), 1):
        if one != other:
            # What differs may lie far behind in a long line.
            start = next((at for at, pair in enumerate(zip(one, other)) if pair[0] != pair[1]), 0)
            start = max(0, start - 40) if start > SHOWN // 2 else 0
            return f"{name} line {number}: old {shown(one[start:])}, new {shown(other[start:])}"
    return f"{name}: old has {len(olds)} lines, new has {len(news)}"


def difference(old, new):
    if old.code != new.code:
        return f"exit code: old {old.code}, new {new.code}; new's last words {shown(new.err[-SHOWN:])}"
    return first_difference("stdout", old.out, new.out) or first_difference("stderr", old.err, new.err)


def compare(label, arguments, result=None, **options):
    """Runs both; with `result`, a file that the command writes is compared too."""
    runs, written = [], []
    for program in (OLD, NEW):
        run_arguments = arguments
        if result:
            if os.path.lexists(result):
                os.unlink(result)
        runs.append(Run(program, run_arguments, **options))
        if result:
            written.append(program.public(content(result)))
    found = difference(*runs)
    if not found and result:
        found = first_difference("the file", *written)
    tally.count(label, found)


def content(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        return type(error).__name__.encode()


# Copies and what becomes of them.


BLOCK = 1 << 16
ZEROS = bytes(BLOCK)
RECEIPT = b'{"schema":"cuda-runpath-receipt/'


def blocks(file, size):
    """What a file holds but zeros: offset and bytes. Holes are not read."""
    at = 0
    while at < size:
        try:
            at = os.lseek(file, at, os.SEEK_DATA) // BLOCK * BLOCK
        except OSError:
            return
        end = max(os.lseek(file, at, os.SEEK_HOLE), at + 1)
        while at < end:
            data = os.pread(file, BLOCK, at)
            if data != ZEROS[: len(data)]:
                yield at, data
            at += BLOCK


def copy_file(source, target):
    with open(source, "rb", buffering=0) as old, open(target, "wb", buffering=0) as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        for at, data in blocks(old.fileno(), size):
            os.pwrite(new.fileno(), data, at)


def digest(path, size, program):
    told = hashlib.blake2b(b"%d" % size)
    with open(path, "rb", buffering=0) as file:
        # A receipt or a list may name the version; an ELF file does not.
        if size < 1 << 20 and file.read(4) != b"\x7fELF":
            return hashlib.blake2b(settled(program.public(content(path)))).hexdigest()
        for at, data in blocks(file.fileno(), size):
            told.update(b"%d:" % at + data)
    return told.hexdigest()


def copy(source, target, taken=None):
    """A copy with modes, times, links and names of one file; of regular files only those in `taken`, if given."""
    names = {}
    times = []

    def enter(here, there):
        os.mkdir(there)
        for entry in sorted(os.scandir(here), key=lambda entry: entry.name):
            to = os.path.join(there, entry.name)
            state = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(state.st_mode):
                os.symlink(os.readlink(entry.path), to)
                times.append((to, state, False))
            elif stat.S_ISDIR(state.st_mode):
                enter(entry.path, to)
            elif stat.S_ISREG(state.st_mode):
                if taken is not None and entry.path not in taken:
                    continue
                if (state.st_dev, state.st_ino) in names:
                    os.link(names[state.st_dev, state.st_ino], to)
                    continue
                names[state.st_dev, state.st_ino] = to
                copy_file(entry.path, to)
                times.append((to, state, True))
            elif stat.S_ISFIFO(state.st_mode):
                os.mkfifo(to)
                times.append((to, state, True))
        times.append((there, os.lstat(here), True))

    enter(source, target)
    # Folders come behind what lies in them.
    for path, state, follow in times:
        if follow:
            os.chmod(path, stat.S_IMODE(state.st_mode))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns), follow_symlinks=follow)


def remove(path):
    if not os.path.lexists(path):
        return
    subprocess.run(["chmod", "-R", "u+rwX", path], stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(path)


def states(tree):
    """What tells whether anything was written."""
    found = {}
    for folder, folders, files in os.walk(tree):
        for name in folders + files:
            path = os.path.join(folder, name)
            try:
                state = os.lstat(path)
            except FileNotFoundError:
                continue
            fields = (state.st_mode, state.st_size, state.st_mtime_ns, state.st_ino, state.st_uid, state.st_gid)
            found[os.path.relpath(path, tree)] = fields
    return found


def contents(tree, before, program):
    """By name, all that must be the same after an edit by either build."""
    found = {}
    for name, (mode, size, modified, inode, *owner) in sorted(states(tree).items()):
        path = os.path.join(tree, name)
        was = before.get(name)
        text = ""
        if stat.S_ISLNK(mode):
            text = os.readlink(path)
        elif stat.S_ISREG(mode) and was != (mode, size, modified, inode, *owner):
            text = digest(path, size, program)
        files = not stat.S_ISDIR(mode)
        same_inode = was is not None and was[3] == inode
        same_time = was is not None and was[2] == modified
        attributes = sorted(os.listxattr(path, follow_symlinks=False)) if not stat.S_ISLNK(mode) else []
        found[name] = (mode, tuple(owner), text, same_inode, files and same_time, attributes)
    return found


FIELDS = ("mode", "owner", "contents", "inode kept", "time kept", "attributes")


def settled(receipt):
    """A receipt without times, and with its files in order: threads write them down as they finish. Else what it is."""
    if not receipt.startswith(RECEIPT):
        return receipt
    first, *lines = re.sub(rb'"modified":\[[0-9]+,[0-9]+\]', b'"modified":[]', receipt).split(b"\n")
    return b"\n".join([first, *sorted(lines)])


def first_changed(old, new):
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            return f"{name} is only with {'new' if name in new else 'old'}"
        for field, one, other in zip(FIELDS, old[name], new[name]):
            if one != other:
                return f"{name}: {field}: old {str(one)[:40]}, new {str(other)[:40]}"
    return None


def part_of(tree, part, parts):
    """One of so many parts of a tree's files, of which each has something of everything."""
    if parts == 1:
        return None
    files = [os.path.join(folder, name) for folder, _, names in os.walk(tree) for name in names]
    number = {path: hashlib.blake2b(os.fsencode(path[len(tree) :])).digest()[1] for path in files}
    return {path for path in files if number[path] % parts == part % parts}


def edit(label, master, place, arguments, revert, part=0, parts=1):
    """`fix` by both on a copy at the same place, once more, and back again."""
    told = []
    taken = part_of(master, part, parts)
    tree, receipt, output = f"{place}/tree", f"{place}/receipt", f"{place}/output"
    for program in (OLD, NEW):
        remove(place)
        os.mkdir(place)
        copy(master, tree, taken)
        before = states(tree)
        given = [word.replace("@TREE@", tree).replace("@OUTPUT@", output) for word in arguments]
        steps = {}
        receipts = ["--receipt", receipt] if revert else []
        steps["fix"] = Run(program, [*given, *receipts, tree])
        edited = {"fix": contents(tree, before, program)}
        if os.path.isdir(output):
            edited["copy"] = contents(output, {}, program)
        if "--output" not in arguments:
            now = states(tree)
            steps["again"] = Run(program, ["fix", "--json", *given[1:], tree])
            if states(tree) != now:
                edited["again"] = contents(tree, before, program)
        if revert:
            data = content(receipt)
            steps["receipt"] = data
            steps["revert"] = Run(program, ["fix", "--revert", receipt, "-v"])
            edited["revert"] = contents(tree, before, program)
        told.append((steps, edited, program))
    remove(place)
    (steps, edited, old), (new_steps, new_edited, new) = told
    for name, step in steps.items():
        other = new_steps[name]
        if name == "receipt":
            found = first_difference("the receipt", settled(old.public(step)), settled(new.public(other)))
        else:
            found = difference(step, other)
        tally.count(f"{label} [{name}]", found)
    for name in edited.keys() | new_edited.keys():
        tally.count(f"{label} [files after {name}]", first_changed(edited.get(name, {}), new_edited.get(name, {})))


# The commands.

POLICIES = [
    [],
    ["--compat", COMPAT],
    ["--driver", DRIVER, "--driver", "/opt/second", "--tag", "keep"],
    ["--actions", "stubs", "--tag", "rpath"],
    ["--actions", "order-only"],
    ["--compat", COMPAT, "--actions", "compat"],
    ["--dedup", "--stub", "$ORIGIN/old"],
    ["--clean"],
    ["--clean", "--root", "@TREE@", "--drop-compat"],
    ["--only-consumers", "--require-consumer"],
    ["--driver-library", "libdep.so", "--driver-library", "libc.so.6", "--only-consumers"],
    ["--machine", "aarch64", "--machine", "ppc64"],
    ["--driver", "/" + "long/" * 900 + "lib"],
    ["--driver", "/a"],
]
SOME_POLICIES = [[], ["--compat", COMPAT, "--dedup", "--tag", "keep"], ["--clean", "--driver", "/" + "x/" * 150]]

EDITS = [
    [],
    ["--compat", COMPAT, "--dedup", "--clean"],
    ["--tag", "rpath", "--driver", "/a"],
    ["--tag", "keep", "--actions", "stubs"],
    ["--driver", "/" + "long/" * 900 + "lib", "--clean", "--drop-compat"],
    ["--actions", "order-only", "--tag", "runpath"],
    ["--driver", "/" + "x/" * 120, "--only-consumers", "--driver-library", "libdep.so.1"],
]

SHOWS = [
    [],
    ["-v"],
    ["-vv"],
    ["-q"],
    ["--json"],
    ["--json", "-vv"],
    ["--print0"],
    ["--color", "always", "--driver", "$ORIGIN/old", "--compat", "/opt/lib"],
    ["--exclude", "*.so", "--exclude", "lib?*"],
    ["--format", "sarif"],
    ["-j1", "--json"],
]
SOME_SHOWS = [["-vv"], ["--json"]]

CHECKS = [
    [],
    ["-v"],
    ["-vv"],
    ["-q"],
    ["--json"],
    ["--json", "-vv"],
    ["--format", "sarif"],
    ["--format", "junit"],
    ["--format", "github"],
    ["--color", "always", "--fail-on", "warning"],
    ["--fail-on", "never", "-j1"],
    ["--root", "@TREE@"],
    ["--root", "@TREE@", "--json"],
    ["--require-consumer", "--machine", "x86_64"],
    ["--machine", "unknown-machine"],
    ["--compat", COMPAT, "--driver", "$ORIGIN/old", "--stub", "/opt/lib"],
    ["--driver-library", "libdep.so.1", "--driver-library", "libc.so.6", "-v"],
    ["--env", "LD_LIBRARY_PATH=@TREE@:/usr/lib", "--driver-library", "libdep.so.1", "--json"],
    ["--platform", "nixos", "--host-driver", "570.124.06"],
    ["--platform", "jetpack5", "--compat-policy", "auto"],
    ["--platform", "jetpack6", "--host-driver", "540", "--json"],
    ["--platform", "jetpack7", "--compat-policy", "prefer"],
    ["--platform", "sbsa", "--compat-policy", "forbid"],
    ["--compat-policy", "require", "--driver-library", "libdep.so"],
    ["--arch", "8.7,11.0"],
    ["--arch", "8.7,11.0", "--json", "-v"],
    ["--arch", "sm_90a", "--arch", "10.0", "--arch-policy", "exact", "--format", "junit"],
    ["--arch", "7.5", "--arch-policy", "ptx", "--ptx", "require", "-v"],
    ["--arch", "12.0,9.0", "--ptx", "ignore", "--format", "sarif"],
    ["--only", "CRP300,stub-first", "--only", "CRP303"],
    ["--skip", "CRP305,CRP312,relative-entry"],
    ["--allow", "@ALLOW@"],
    ["--allow", "@ALLOW@", "--format", "sarif"],
    ["--baseline", "@BASELINE@", "-v"],
    ["--runtime-list", "@RESULT@", "--driver-library", "libdep.so.1"],
    ["--exclude", "lib*"],
    ["--closure"],
    ["--closure-from", "@FOLDERS@", "--root", "@TREE@"],
]
SOME_CHECKS = [
    ["--json", "-vv"],
    ["-v", "--platform", "jetpack6", "--host-driver", "540", "--compat-policy", "require"],
    ["--arch", "8.7,11.0", "--format", "sarif"],
    ["--root", "@TREE@", "--format", "junit"],
    ["--runtime-list", "@RESULT@", "--driver-library", "libc.so.6"],
]

ARCHS = [
    [],
    ["-v"],
    ["-vv"],
    ["-q"],
    ["--json"],
    ["--json", "-v"],
    ["--sum"],
    ["--sum", "--json"],
    ["--unused-for", "8.7,11.0"],
    ["--unused-for", "sm_90a,7.5", "--sum"],
    ["--unused-for", "10.3", "--json"],
    ["--unused-for", "sm_110", "--color", "always"],
    ["--unused-for", "no-gpu"],
    ["--exclude", "*.so", "--format", "junit"],
]

EXPLAINS = [
    [],
    ["--json"],
    ["--recursive", "-v"],
    ["--recursive", "--json"],
    ["--without-compat", "--platform", "jetpack6", "--compat-policy", "require"],
    ["--root", "@TREE@", "--env", "LD_LIBRARY_PATH=/opt/lib:@TREE@"],
    ["--program", "@PROGRAM@"],
]

COMMANDS = ["fix", "show", "check", "archs", "explain", "doctor", "rules", "completions", "man"]

# A line each, split at spaces.
WITHOUT_TREE = """
--help
-h
--version
-V
help
unfix
--unknown
rules
rules --json
rules -v
rules -q
rules --schema
rules --schema --json
rules --format sarif
rules --format junit
rules --format github
rules --color always
rules CRP999
rules nonsense
doctor
doctor -v
doctor -q
doctor --json
doctor --format sarif
doctor --platform jetpack6 --host-driver 540
doctor --platform nixos --compat-policy require --json
doctor --compat /opt/compat --driver /opt/driver
doctor --runtime-list missing
completions
completions bash
completions zsh
completions fish
completions elvish
completions powershell
completions nonsense
man nonsense
fix missing
show missing also-missing
check missing --json
archs missing
explain missing
explain
check --root missing
check --closure-from missing
check --closure missing
check --allow missing /dev/null
check --baseline missing /dev/null
check --baseline /dev/null /dev/null
check --fail-on nothing /dev/null
check --only CRP999 /dev/null
check --arch nonsense /dev/null
check --platform nonsense /dev/null
check --env NONSENSE /dev/null
check --host-driver nonsense /dev/null
check --arch-policy exact /dev/null
check --require-consumer /dev/null
fix --files-from missing
fix --revert missing
fix --revert /dev/null
fix --tag nonsense /dev/null
fix --actions compat /dev/null
fix --actions compat,order-only /dev/null
fix --actions nonsense /dev/null
fix --compat relative /dev/null
fix --driver /a:/b /dev/null
fix --driver
fix --exclude [ /dev/null
fix --dry-run --check /dev/null
fix --in-place --output /dev/null /dev/null
fix --jobs 0 /dev/null
fix -j nonsense /dev/null
fix --machine nonsense /dev/null
fix --color nonsense /dev/null
fix /dev/null
fix --require-consumer /dev/null
show /dev/null /dev/zero
show --files-from -
archs --unused-for nonsense /dev/null
""".strip().split("\n")

ALLOW = """
[[allow]]
code = "CRP303"
path = "**"
reason = "known"

[[allow]]
code = "relative-entry"
path = "**/*.so"
reason = "for now"
until = "2020-01-01"

[[allow]]
code = "CRP300"
path = "/no/such/file"
reason = "matches nothing"
"""


def label_of(command):
    if len(command) > 24:
        command = [*command[:12], f"...({len(command) - 12} more words)"]
    words = [word if len(word) <= 60 else f"{word[:40]}...({len(word)})" for word in command]
    return " ".join(words)


class Work:
    """What is to be done, in the order in which it is told; a few at a time."""

    def __init__(self, jobs):
        self.pool = concurrent.futures.ThreadPoolExecutor(jobs)
        self.waiting = []

    def add(self, label, function, *arguments, **options):
        def guarded():
            try:
                function(*arguments, **options)
            except Exception as error:  # pylint: disable=broad-except
                tally.count(label, f"this comparison failed: {error!r}")

        self.waiting.append(self.pool.submit(guarded))

    def compare(self, command, **options):
        told = "".join(f"{name}={value} " for name, value in options.get("env", {}).items())
        ends = "".join(f" [{name}]" for name in ("terminal", "sink") if options.get(name))
        label = told + label_of(command) + ends
        self.add(label, compare, label, command, **options)

    def finish(self):
        for job in self.waiting:
            job.result()
        self.waiting = []


def without_tree(work):
    for line in WITHOUT_TREE:
        work.compare(line.split())
    work.compare([])
    for command in COMMANDS:
        for option in (["--help"], ["-h"], ["--unknown"], ["--format", "nonsense"], ["--json", "--format", "sarif"]):
            work.compare([command, *option])
        work.compare([command])
        work.compare(["help", command])
        work.compare(["man", command])
        work.compare([command, "--help"], terminal=True)
        work.compare([command, "--help"], sink="/dev/full")
    rules = json.loads(Run(OLD, ["rules", "--json"]).out)["rules"]
    for rule in rules:
        work.compare(["rules", rule["code"]])
        work.compare(["rules", "--json", rule["code"].lower()])


class Scope:
    """A tree, with the files that the commands need."""

    def __init__(self, number, tree):
        self.tree = tree
        self.place = f"{WORK}/tree{number}"
        os.mkdir(self.place)
        listed = Run(OLD, ["show", "--print0", tree]).out
        self.objects = [os.fsdecode(path) for path in listed.split(b"\0") if path]
        self.bytes = sum(os.stat(path).st_blocks * 512 for path in self.objects)
        self.large = self.bytes > LARGE_TREE
        self.results = 0
        self.words = {"@TREE@": tree, "@PROGRAM@": self.objects[0] if self.objects else "missing"}
        self.put("@ALLOW@", "allow.toml", ALLOW.encode())
        folders = sorted(entry.name for entry in os.scandir(tree) if entry.is_dir())
        self.put("@FOLDERS@", "folders", os.fsencode("".join(f"/{name}\n" for name in folders)))
        self.put("@LINES@", "lines", os.fsencode("".join(f"{path}\n" for path in self.objects[:500])))

    def put(self, word, name, data):
        path = f"{self.place}/{name}"
        with open(path, "wb") as file:
            file.write(data)
        self.words[word] = path

    def filled(self, words):
        """With the files' names in the place of their words, and the file that is a result, if there is one."""
        result = None
        if "@RESULT@" in words:
            self.results += 1
            result = f"{self.place}/result{self.results}"
        filled = []
        for word in words:
            for name, value in [*self.words.items(), ("@RESULT@", result or "")]:
                word = word.replace(name, value)
            filled.append(word)
        return filled, result

    def some(self, count):
        """So many of the objects, from all parts of the tree."""
        step = max(1, len(self.objects) // count)
        return self.objects[::step][:count]


def read_only(work, scope):
    """All that writes nothing but its result."""
    few = QUICK or scope.large
    tree = scope.tree

    def each(command, choices, paths=(tree,)):
        for words in choices:
            filled, result = scope.filled(words)
            work.compare([command, *filled, *paths], **({"result": result} if result else {}))

    if not few:
        scope.put("@BASELINE@", "baseline.json", Run(OLD, ["check", "--json", tree]).out)
    each("show", SOME_SHOWS if few else SHOWS)
    each("check", SOME_CHECKS if few else CHECKS)
    each("archs", ARCHS[::3] if QUICK else ARCHS)
    each("doctor", [["--root", tree], ["--root", tree, "--json", "--platform", "jetpack6"]], paths=())
    for policy in SOME_POLICIES if few else POLICIES:
        for mode in (["--diff"], ["--dry-run", "-vv"], ["--check", "--json", "-v"]):
            filled, _ = scope.filled(policy)
            work.compare(["fix", *mode, *filled, tree])
    for path in scope.some(8 if QUICK else 16 if scope.large else 40):
        each("explain", EXPLAINS[::3] if QUICK else EXPLAINS, paths=(path,))
    for path in scope.some(3 if QUICK else 6 if scope.large else 12):
        each("explain", [["-v"], ["--json"]], paths=(path, "libcuda.so.1"))
        each("explain", [["-vv"]], paths=(path, "libc.so.6"))
    if scope.large:
        return
    # Other ways to name files, other ends of the streams, and what the environment says.
    some = scope.some(50)
    for command in (["show"], ["check", "-v"], ["archs"], ["fix", "--dry-run"]):
        work.compare([*command, *some])
        work.compare([*command, "--files-from", scope.words["@LINES@"]])
        work.compare([*command, "-0", "--files-from", "-"], given=os.fsencode("\0".join(some)))
        work.compare([*command, tree, tree, *some[:3], "missing"])
        work.compare([*command, ".", "--exclude", "*.so"], folder=tree)
        work.compare([*command, tree, "--progress", "never"], terminal=True)
        work.compare([*command, tree], sink="/dev/full")
        work.compare([*command, tree], env={"CLICOLOR_FORCE": "1"})
        work.compare([*command, tree], env={"NIX_BUILD_CORES": "3", "NIX_BUILD_TOP": tree, "LD_LIBRARY_PATH": tree})
        work.compare([*command, tree], env={"NIX_STORE": tree})
        work.compare([*command, tree, "--progress", "never"], env={"NO_COLOR": "1"}, terminal=True)
    store = {"NIX_STORE": tree, "NIX_BUILD_TOP": "/build", "out": "/no/such/output"}
    work.compare(["fix", "--in-place", "--dry-run", tree], env=store)


def copied(scope):
    """The files that `fix` edits copies of: the same at each time, from all parts of the tree."""
    sizes, left_out = {}, 0
    for folder, _, files in os.walk(scope.tree):
        for name in files:
            path = os.path.join(folder, name)
            state = os.lstat(path)
            if not stat.S_ISREG(state.st_mode):
                continue
            if state.st_size > 4096:
                with open(path, "rb") as file:
                    if file.read(4) != b"\x7fELF":
                        continue
                if state.st_size > LARGEST_COPY:
                    left_out += 1
                    continue
            sizes[path] = state.st_blocks * 512
    taken, total = set(), 0
    limit = ALL_COPIES // 4 if QUICK else ALL_COPIES
    for path in sorted(sizes, key=lambda path: hashlib.blake2b(os.fsencode(path)).digest()):
        if total + sizes[path] <= limit:
            taken.add(path)
            total += sizes[path]
    left_out += len(sizes) - len(taken)
    if left_out:
        print(f"{scope.tree}: `fix` edits copies of {len(taken)} files; {left_out} are not looked at", file=sys.stderr)
    return taken


def edits(work, scope):
    master = f"{scope.place}/master"
    copy(scope.tree, master, copied(scope))
    choices = EDITS[:1] if QUICK else EDITS[:3] if scope.large else EDITS
    number = 0
    # All files with the first, some with each of the others.
    parts = 3 if scope.large or len(scope.objects) > 2000 else 1
    for index, words in enumerate(choices):
        # The first two in both write modes, the others in turn.
        for mode in ([], ["--in-place"]) if index < 2 else ([[], ["--in-place"]][index % 2],):
            number += 1
            label = label_of(["fix", *mode, *words, f"(copy of {scope.tree})"])
            place, command = f"{scope.place}/edit{number}", ["fix", "-v", *mode, *words]
            work.add(label, edit, label, master, place, command, True, index, parts if index else 1)
    for words in (["--output", "@OUTPUT@", "-vv"], ["--json", "--in-place", "-vv"])[: 1 if QUICK else 2]:
        number += 1
        label = label_of(["fix", *words, f"(copy of {scope.tree})"])
        work.add(label, edit, label, master, f"{scope.place}/edit{number}", ["fix", *words], False, number, parts)
    work.finish()
    remove(master)


# Recorded calls.


def prepare(stored, place, texts):
    remove(place)
    copy(stored, place)
    for folder, folders, files in os.walk(place):
        for name in folders + files:
            path = os.path.join(folder, name)
            if os.path.islink(path) and os.readlink(path).startswith("@TREE@"):
                target = os.readlink(path).replace("@TREE@", place)
                os.unlink(path)
                os.symlink(target, path)
    for name in texts:
        path = f"{place}/{name}"
        state = os.stat(path)
        with open(path, "rb") as file:
            data = file.read()
        with open(path, "wb") as file:
            file.write(data.replace(b"@TREE@", place.encode()))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def replay(stored, place, scenes):
    """Recorded calls on one tree, each on the tree as it was."""
    fresh = None
    for scene in scenes:
        def put(text):
            return text.replace("@TREE@", place)

        arguments = [put(word) for word in scene["arguments"]]
        env = {name: put(value) for name, value in scene["environment"].items()}
        told = []
        for program in (OLD, NEW):
            if stored and fresh is None:
                prepare(stored, place, scene["texts"])
                fresh = states(place)
            before = fresh
            folder = put(scene["folder"]) or None
            run = Run(program, arguments, folder=folder, env=env)
            after = {}
            if stored and states(place) != before:
                after = contents(place, before, program)
                fresh = None
            told.append((run, after))
        label = "recorded: " + label_of([*(f"{name}={value}" for name, value in env.items()), *arguments])
        found = difference(told[0][0], told[1][0]) or first_changed(told[0][1], told[1][1])
        tally.count(f"{label} (tree {scene['tree']})", found)
    if stored:
        remove(place)


def recorded(work, number, tree):
    groups = {}
    with open(f"{tree}/scenes.jsonl", encoding="utf-8") as file:
        lines = sorted(set(file))
    for line in lines:
        if QUICK and hashlib.blake2b(line.encode()).digest()[0] >= 26:
            continue
        scene = json.loads(line)
        groups.setdefault((scene["tree"], tuple(scene["texts"])), []).append(scene)
    for index, ((name, _), scenes) in enumerate(sorted(groups.items(), key=str)):
        stored = f"{tree}/trees/{name}" if name else None
        work.add(f"recorded calls on {name}", replay, stored, f"{WORK}/scene{number}.{index}", scenes)
    work.finish()


def main():
    trees = [os.path.realpath(tree) for tree in sys.argv[3:]]
    for tree in trees:
        if not os.path.isdir(tree):
            print(f"no folder at {tree}", file=sys.stderr)
            return 2
    work = Work(int(os.environ["JOBS"]))
    started = time.monotonic()
    without_tree(work)
    work.finish()
    for number, tree in enumerate(trees):
        before, runs = states(tree), tally.runs
        if os.path.exists(f"{tree}/scenes.jsonl"):
            recorded(work, number, tree)
        else:
            scope = Scope(number, tree)
            read_only(work, scope)
            work.finish()
            edits(work, scope)
        after = states(tree)
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        if changed:
            print(f"note: somebody changed {tree} meanwhile: {changed[0]} and {len(changed) - 1} more", file=sys.stderr)
        print(f"{tree}: {tally.runs - runs} runs, {time.monotonic() - started:.0f} s so far", file=sys.stderr)
    print(f"{tally.runs} runs, {tally.differences} differences")
    return 1 if tally.differences else 0


OLD, NEW = Program("old", sys.argv[1]), Program("new", sys.argv[2])
try:
    sys.exit(main())
except OSError as error:
    sys.exit(print(f"same.sh: stopped before the end: {error}", file=sys.stderr) or 2)
PYTHON
