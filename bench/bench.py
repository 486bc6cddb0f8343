"""What the programs of this folder have in common: a Berth of their own, and how times are taken and shown."""

import contextlib
import ctypes
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
RUN_LIMIT = 180  # seconds, for one command and all it started
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def adopt_orphans():
    """What outlives its parent becomes a child of this process, so that its processor time counts."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children():
    found = set()
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and int(stat_fields(entry.name)[1]) == os.getpid():
                found.add(int(entry.name))
        except OSError:
            continue  # it has ended
    return found


def stat_fields(pid):
    """From the third on, proc(5): state, parent, ..."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def wait_for_descendants(lasting):
    """Reaps what outlived its parent, such as the process that tears a container down, but for those that last."""
    deadline = time.monotonic() + RUN_LIMIT
    while left := children() - lasting:
        for pid in left:
            os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            sys.exit("bench: something that a run started does not end")
        time.sleep(0.002)


def call(command, environment=None):
    """Runs it to its end and returns its standard output."""
    try:
        return subprocess.run(list(map(str, command)), env=environment, check=True, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=RUN_LIMIT).stdout.strip()
    except subprocess.CalledProcessError as failure:
        raise RuntimeError(f"{' '.join(failure.cmd)}: {failure.stderr.strip()[-300:]}") from None


@contextlib.contextmanager
def work_folder():
    """Short, as socket addresses are, and open to the users that machines run as."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="bench-"))
    work.chmod(0o755)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def make_layout(work):
    layout = work / "busybox"
    call([REPOSITORY / "scripts/make-busybox-image", layout])
    return layout


class Berth:
    """One data root below `work`, with the image of `layout` and templates that are made by order only."""

    def __init__(self, program, layout, work):
        self.program = program
        self.environment = {**os.environ, "BERTH_ROOT": str(work / "b"), "BERTH_RUNTIME": str(work / "r"),
                            "BERTH_TEMPLATES": "manual"}
        self.image = self("pull", "-q", f"oci:{layout}")

    def __call__(self, *arguments):
        return call([self.program, *arguments], self.environment)

    def remove_all(self):
        for container in self("ps", "-a", "-q").split():
            self("rm", "-f", container)


class Series:
    """Times of one thing; `run` does it once and returns its wall time when that is not the command's own."""

    def __init__(self, name, run):
        self.name = name
        self.run = run
        self.wall = []
        self.cpu = []

    def measure(self):
        lasting = children()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.monotonic()
        told = self.run()
        wall = time.monotonic() - begin
        wait_for_descendants(lasting)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.wall.append(wall if told is None else told)
        self.cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def print_table(series):
    width = max(len(one.name) for one in series)
    print(f"{'':{width}} {'runs':>5} {'median':>9} {'p99':>9} {'least':>9} {'CPU median':>11}")
    for one in series:
        cpu = f"{statistics.median(one.cpu):9.3f} s" if one.cpu else ""
        print(f"{one.name:{width}} {len(one.wall):5} {statistics.median(one.wall):7.3f} s "
              f"{percentile(one.wall, 0.99):7.3f} s {min(one.wall):7.3f} s {cpu}")


def print_machine(load_before):
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    print(f"{platform.release()}, {os.cpu_count()} processors ({model}), load average {load_before:.2f} before and "
          f"{os.getloadavg()[0]:.2f} after")
