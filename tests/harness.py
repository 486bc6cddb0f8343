"""Drives the built `berth` as a user does, and looks at what it leaves on the machine."""

import collections
import contextlib
import dataclasses
import fcntl
import itertools
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent

# Software emulation on a busy machine with two processors is slow; nothing waits this long when all is well.
DEADLINE = int(os.environ.get("BERTH_TEST_DEADLINE", 180))

# Ends at SIGTERM, which the first process of a pid namespace otherwise ignores.
IDLE = ("sh", "-c", "trap 'exit 0' TERM; echo ready; sleep 1000000 & wait")

_numbers = itertools.count(1)


def unique_name(prefix="test"):
    return f"{prefix}-{os.getpid()}-{next(_numbers)}"


def find_program():
    candidates = [os.environ["BERTH"]] if "BERTH" in os.environ else [
        REPOSITORY / "build" / preset / "berth" for preset in ("release", "dev")]
    for candidate in map(pathlib.Path, candidates):
        if os.access(candidate, os.X_OK):
            return candidate.resolve()
    raise RuntimeError(f"no berth among {', '.join(map(str, candidates))}: build it first or set BERTH")


def wait_until(condition, what, deadline=DEADLINE):
    """Asks until the condition holds and returns its value."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.05)


@dataclasses.dataclass
class Result:
    arguments: tuple
    status: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self):
        return self.stdout.decode(errors="replace")

    @property
    def err(self):
        return self.stderr.decode(errors="replace")

    def __str__(self):
        return (f"berth {' '.join(map(str, self.arguments))}\n  status {self.status}\n"
                f"  stdout {self.out[-2000:]!r}\n  stderr {self.err[-2000:]!r}")


class Berth:
    """One data root and one runtime folder, and the program that works on them."""

    def __init__(self, base, program=None, environment=None, prefix=()):
        self.base = pathlib.Path(base)
        self.program = pathlib.Path(program or find_program())
        self.prefix = list(prefix)
        self.root = self.base / "data"
        self.runtime = self.base / "run"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "TMPDIR": str(self.base / "tmp"),
            "BERTH_ROOT": str(self.root),
            "BERTH_RUNTIME": str(self.runtime),
            "BERTH_ACCEL": os.environ.get("BERTH_ACCEL", "tcg"),
            # Nothing goes on in the background that a test has not asked for.
            "BERTH_TEMPLATES": os.environ.get("BERTH_TEMPLATES", "manual"),
            "TERM": "xterm",
        } if environment is None else dict(environment)
        if "TMPDIR" in self.environment:
            pathlib.Path(self.environment["TMPDIR"]).mkdir(exist_ok=True)

    def command(self, *arguments):
        return [*self.prefix, str(self.program), *map(str, arguments)]

    def spawn(self, *arguments, environment=None, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(self.command(*arguments), env=self.environment | (environment or {}),
                                start_new_session=True, **options)

    def __call__(self, *arguments, input=None, timeout=DEADLINE, environment=None):
        process = self.spawn(*arguments, environment=environment,
                             stdin=subprocess.DEVNULL if input is None else subprocess.PIPE)
        try:
            out, err = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            kill_group(process)
            out, err = process.communicate()
            raise AssertionError(f"still running after {timeout} s: {Result(arguments, -1, out, err)}")
        return Result(arguments, process.returncode, out, err)

    def ok(self, *arguments, **options):
        """Standard output of a command that must succeed, without its last newline."""
        result = self(*arguments, **options)
        assert result.status == 0, str(result)
        return result.out.removesuffix("\n")

    def run_idle(self, name, *options):
        """Starts a container that waits for SIGTERM, and returns its id."""
        identity = self.ok("run", "-d", "--name", name, *options, "busybox", *IDLE)
        self.wait_for_output(name, "ready")
        return identity

    def wait_for_output(self, name, text):
        wait_until(lambda: text in self.ok("logs", name), f"{text!r} in the output of {name}")

    def inspect(self, name):
        return json.loads(self.ok("inspect", name))[0]

    def state(self, name):
        return self.inspect(name)["State"]

    def exit_code(self, name):
        return self.state(name)["ExitCode"]

    def ids(self):
        return self.ok("ps", "-a", "-q", "--no-trunc").split()

    def remove_all(self):
        for container in self.ids():
            self("rm", "-f", container)

    # --- what is there on the machine

    def processes(self, *words):
        """Ids and command lines of the processes of this data root whose command line has all the words."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and (text := command_line(entry)) and all(word in text for word in words):
                if self._is_ours(entry):
                    found[int(entry.name)] = text
        return found

    def _is_ours(self, entry):
        """By its arguments, its environment or, as QEMU gets descriptors only, its open files."""
        folders = (str(self.root), str(self.runtime))
        try:
            known = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            files = [os.readlink(link) for link in (entry / "fd").iterdir()]
        except OSError:
            return False
        return any(folder.encode() in known or any(file.startswith(folder) for file in files) for folder in folders)

    def launcher(self, container):
        return self._only_process("berth-launcher", container)

    def qemu(self, container):
        return self._only_process("qemu-system", container)

    def processes_of(self, program, container):
        identity = self.ok("inspect", "-f", "{{.Id}}", container)
        return [pid for pid, line in self.processes(program, identity[:12]).items() if program in line.split()[0]]

    def _only_process(self, program, container):
        found = self.processes_of(program, container)
        assert len(found) == 1, f"{program} of {container}: {found} among {self.processes()}"
        return found[0]

    def census(self):
        """What must be the same before and after a container."""
        # SQLite's own files come and go; the image store has at most sixteen locks for builds.
        passing = ("records.db-wal", "records.db-shm", "data/images/locks/build-*")
        return {
            "processes": sorted(self.processes().values()),
            "mounts": sorted(filter(self._is_no_other_tests, pathlib.Path("/proc/self/mounts").read_text().splitlines())),
            "links": sorted(os.listdir("/sys/class/net")),
            "loop devices": sorted(str(p) for p in pathlib.Path("/sys/block").glob("loop*/loop/backing_file")),
            "records": sorted(self.ids()),
            "files": sorted(path for path in self._files()
                            if not any(pathlib.PurePath(path).match(pattern) for pattern in passing)),
        }

    def _is_no_other_tests(self, mount):
        """Tests run side by side, and some mount in the folder they made for themselves."""
        target = mount.split()[1]
        return not target.startswith("/tmp/berth-") or target.startswith(str(self.base))

    def _files(self):
        """Everything below the base but what tests were given; what goes away meanwhile is no failure."""
        for folder, folders, files in os.walk(self.base):
            if pathlib.Path(folder) == self.base and "given" in folders:
                folders.remove("given")
            yield from (os.path.relpath(os.path.join(folder, name), self.base) for name in folders + files)


@contextlib.contextmanager
def temporary_base(prefix="berth-"):
    """Short, as socket addresses are, and open to the user that QEMU runs as. The census does not count what is in the
    folder "given"."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    path.chmod(0o755)
    (path / "given").mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def make_busybox_layout(base):
    """An OCI layout with the image busybox:latest."""
    layout = base / "given" / "busybox"
    subprocess.run([REPOSITORY / "scripts" / "make-busybox-image", layout], check=True, stdout=subprocess.DEVNULL)
    return layout


@contextlib.contextmanager
def busybox_berth(prefix):
    """A Berth of its own that has the image busybox and a template of the usual size; its containers go with it."""
    with temporary_base(prefix) as base:
        berth = Berth(base)
        berth.ok("pull", "-q", f"oci:{make_busybox_layout(base)}")
        berth.ok("template", "create")
        try:
            yield berth
        finally:
            berth.remove_all()


def difference(before, now):
    """What is there that was not, and what is gone; a launcher that was just about to end may go."""
    different = {}
    for kind in before:
        left = collections.Counter(now[kind])
        left.subtract(collections.Counter(before[kind]))
        change = {thing: count for thing, count in left.items() if count > 0 or (count < 0 and kind != "processes")}
        if change:
            different[kind] = change
    return different


def expect_census(berth, before, deadline=60):
    """A launcher may outlive its client by a moment."""
    end = time.monotonic() + deadline
    while (different := difference(before, berth.census())) and time.monotonic() < end:
        time.sleep(0.1)
    assert not different, f"left behind (or, below zero, lost): {json.dumps(different, indent=2)}"


def command_line(entry):
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def is_alive(pid):
    try:
        return " (zombie)" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def open_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def expect_error(result, *words, status=125):
    """Berth's own failure: the exit status, and one line for a user with these words (any case)."""
    assert result.status == status, str(result)
    lines = [line for line in result.err.splitlines() if line.startswith("berth:")]
    assert len(lines) == 1, str(result)
    for word in words:
        assert re.search(word, lines[0], re.IGNORECASE), f"no {word!r} in: {lines[0]}"
    return lines[0]


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Terminal:
    """A command on a terminal of its own, and a user in front of it."""

    def __init__(self, command, environment, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.slave = slave
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        kill_group(self.process)
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def attributes(self):
        return termios.tcgetattr(self.slave)

    def send(self, text):
        data = text.encode() if isinstance(text, str) else text
        while data:
            data = data[os.write(self.master, data):]

    def expect(self, pattern, deadline=DEADLINE):
        """Reads until the pattern (a regular expression) comes, and forgets everything up to its end."""
        end = time.monotonic() + deadline
        expression = re.compile(pattern.encode())
        while not (match := expression.search(self.seen)):
            if not self._read(end):
                raise AssertionError(f"no {pattern!r} within {deadline} s after {self.seen!r}")
        self.seen = self.seen[match.end():]
        return match

    def wait(self, deadline=DEADLINE):
        """Exit status of the command; what it still writes is kept."""
        end = time.monotonic() + deadline
        while self.process.poll() is None:
            self._read(min(end, time.monotonic() + 0.1))
            assert time.monotonic() < end, f"still running after {deadline} s; seen {self.seen!r}"
        while self._read(time.monotonic()):
            pass
        return self.process.returncode

    def _read(self, end):
        ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)
