#!/usr/bin/python3
"""Compares how long `run --rm IMAGE true` takes with berth and with podman on runc, of the same image; with --exec, how long
`exec CONTAINER true` takes in a running container.

The runs are interleaved, so that a busy machine hurts all alike. CPU is that of the command and of all it started, to their
ends, with --exec of the command alone. A peer that is not installed is left out with a note.

  bench/start.py [--exec] [-n RUNS] [--image LAYOUT] [--berth PROGRAM]
"""

import argparse
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
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
RUN_LIMIT = 180  # seconds, for one run and all it started


class Peer:
    """`program` with its options; `image` as it calls the image, `options` for its `run`."""

    def __init__(self, name, version, program, image, options=(), environment=None):
        self.name = name
        self.version = version
        self.program = program
        self.image = image
        self.options = options
        self.command = [*program, "run", "--rm", *options, image, "true"]
        self.waits_for_all = True
        self.environment = {**os.environ, **(environment or {})}
        self.wall = []
        self.cpu = []

    def run(self):
        """Seconds of wall and processor time of one run."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.monotonic()
        subprocess.run(self.command, env=self.environment, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=RUN_LIMIT)
        wall = time.monotonic() - begin
        if self.waits_for_all:
            wait_for_descendants(time.monotonic() + RUN_LIMIT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def start_container(self):
        """What is measured from now on is an exec in it."""
        self._do("run", "-d", "--name", "bench", *self.options, self.image, "sleep", "1000000")
        self.command = [*self.program, "exec", "bench", "true"]
        self.waits_for_all = False

    def remove_container(self):
        self._do("rm", "-f", "bench")

    def _do(self, *arguments):
        subprocess.run([*self.program, *arguments], env=self.environment, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=RUN_LIMIT)

    def measure(self):
        wall, cpu = self.run()
        self.wall.append(wall)
        self.cpu.append(cpu)


def wait_for_descendants(deadline):
    """Reaps what outlived its parent, such as the process that tears a container down."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if time.monotonic() > deadline:
                sys.exit("start.py: something that a run started does not end")
            time.sleep(0.002)


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def make_berth(program, layout, work):
    # Short, as socket addresses are.
    environment = {"BERTH_ROOT": str(work / "b"), "BERTH_RUNTIME": str(work / "r")}
    name = output_of("env", *(f"{key}={value}" for key, value in environment.items()), program, "pull", "-q", f"oci:{layout}")
    return Peer("berth", output_of(program, "version"), [program], name, environment=environment)


def make_podman(layout, work):
    for needed in ("podman", "runc"):
        if shutil.which(needed, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            print(f"note: no {needed} here, so no comparison with it: apt-get install podman runc")
            return None
    podman = ["podman", "--root", str(work / "podman"), "--runroot", str(work / "podman-run"), "--runtime", "runc"]
    try:
        image = output_of(*podman, "pull", "-q", f"oci:{layout}").split()[-1]
        # Podman's own limits need CAP_SYS_RESOURCE, which a host that is itself confined may lack.
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
        peer = Peer("podman, runc", output_of("podman", "--version"), podman, image, limits)
        peer.run()
        return peer
    except subprocess.CalledProcessError as failure:
        print(f"note: no comparison with podman, which fails here: {(failure.stderr or b'')[-300:]}")
        return None


def remove_podman_storage(work):
    if (work / "podman").exists():
        subprocess.run(["podman", "--root", work / "podman", "--runroot", work / "podman-run", "system", "reset", "-f"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def print_table(peers):
    print(f"{'':14} {'runs':>5} {'median':>9} {'p99':>9} {'least':>9} {'CPU median':>11}")
    for peer in peers:
        print(f"{peer.name:14} {len(peer.wall):5} {statistics.median(peer.wall):7.3f} s {percentile(peer.wall, 0.99):7.3f} s "
              f"{min(peer.wall):7.3f} s {statistics.median(peer.cpu):9.3f} s")


def measure(peers, runs, execs):
    with contextlib.ExitStack() as containers:
        if execs:
            for peer in peers:
                peer.start_container()
                containers.callback(peer.remove_container)
                peer.run()  # the first one connects
        for _ in range(runs):
            for peer in peers:
                peer.measure()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exec", action="store_true", help="measure exec in a running container")
    parser.add_argument("-n", "--runs", type=int, default=int(os.environ.get("BENCH_RUNS", "30")))
    parser.add_argument("--image", type=pathlib.Path, help="a folder in OCI image layout; a busybox is made unless given")
    parser.add_argument("--berth", default=str(REPOSITORY / "build/release/berth"))
    options = parser.parse_args()

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    work = pathlib.Path(tempfile.mkdtemp(prefix="bench-"))
    work.chmod(0o755)
    try:
        layout = options.image or work / "busybox"
        if not options.image:
            subprocess.run([REPOSITORY / "scripts/make-busybox-image", layout], check=True, stdout=subprocess.DEVNULL)
        peers = [make_berth(options.berth, layout, work), make_podman(layout, work)]
        peers = [peer for peer in peers if peer is not None]
        peers[0].run()  # the first one fills caches
        load = os.getloadavg()[0]
        measure(peers, options.runs, options.exec)
        print(f"{platform.release()}, {os.cpu_count()} processors, load average {load:.2f} before and "
              f"{os.getloadavg()[0]:.2f} after")
        for peer in peers:
            print(f"{peer.name}: {peer.version}")
        print_table(peers)
    finally:
        remove_podman_storage(work)
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
