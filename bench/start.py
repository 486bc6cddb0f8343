#!/usr/bin/python3
"""How long it takes to start a container, to run a command in one and to fork one, with berth and with what else runs
containers here: podman on runc, docker where a daemon answers, runsc.

All are given the same image. The rounds are interleaved, so that a busy machine hurts all alike. CPU is that of the command
and of all it started, to their ends; of docker's daemon and of a machine that goes on it does not count. What is missing here
is left out with a note.

  bench/start.sh [-n ROUNDS] [--only WORD...] [--phases] [--image LAYOUT] [--berth PROGRAM]
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import bench
from bench import Berth, Series, call

# Podman's own limits need CAP_SYS_RESOURCE, which a host that is itself confined may lack.
PODMAN_LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
NO_NETWORK = ["--network", "none"]
FORKS = (1, 10, 50)


def note(text):
    print(f"note: {text}")


def run_of(command, environment=None):
    def run():
        subprocess.run(command, env=environment, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, timeout=bench.RUN_LIMIT)
    return run


def tried(series):
    """Those of which a first run succeeds, which also fills caches."""
    good = []
    for one in series:
        lasting = bench.children()
        try:
            one.run()
            good.append(one)
        except (OSError, subprocess.SubprocessError, RuntimeError) as failure:
            reason = getattr(failure, "stderr", None) or str(failure).encode()
            note(f"without {one.name}, which fails here: {reason.decode(errors='replace').strip()[-300:]}")
        bench.wait_for_descendants(lasting)
    return good


# --- berth


class Phases:
    """What `berth run --trace` tells of each run."""

    def __init__(self, work):
        self.file = work / "trace"
        self.times = {}
        self.clone = Series("of a run: clone until configured", None)

    def take(self):
        spans = [json.loads(line) for line in self.file.read_text().splitlines()]
        self.file.unlink()
        for span in spans:
            name = f"{span['process']}: {span['name']}"
            self.times.setdefault(name, []).append((span["end_us"] - span["begin_us"]) / 1e6)
        begin = min(span["begin_us"] for span in spans if span["name"] == "QEMU: spawn")
        end = max(span["end_us"] for span in spans if span["name"] == "guest: configuration")
        self.clone.wall.append((end - begin) / 1e6)

    def print(self):
        for name, times in self.times.items():
            print(f"{statistics.median(times) * 1000:9.2f} ms  {name}")


def berth_runs(berth, phases):
    def run(*options):
        return run_of([berth.program, "run", "--rm", *options, berth.image, "true"], berth.environment)

    def run_traced():
        run("--trace", str(phases.file))()

    return [Series("berth run, from its image's template", run_traced), Series("berth run, no network", run(*NO_NETWORK)),
            Series("berth run, booted", run("--cold"))]


def berth_run_of_size(berth):
    """In a data root where the image has no template."""
    return [Series("berth run, from a template of its size",
                   run_of([berth.program, "run", "--rm", berth.image, "true"], berth.environment))]


def berth_exec(berth):
    berth("run", "-d", "--name", "bench", berth.image, "sleep", "1000000")
    return [Series("berth exec", run_of([berth.program, "exec", "bench", "true"], berth.environment))]


def berth_forks(berth):
    if subprocess.run([berth.program, "fork", "--help"], env=berth.environment, stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode != 0:
        note("without forks: this berth has no command for them")
        return []

    def fork(count):
        def run():
            begin = time.monotonic()
            copies = berth("fork", "-n", count, "bench").split()
            wall = time.monotonic() - begin
            berth("rm", "-f", *copies)
            return wall
        return run

    return [Series(f"berth fork -n {count}", fork(count)) for count in FORKS]


# --- others


def podman_series(layout, work):
    program = shutil.which("podman")
    runc = shutil.which("runc", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if program is None or runc is None:
        note("without podman: apt-get install podman runc")
        return []
    podman = [program, "--root", str(work / "podman"), "--runroot", str(work / "podman-run"), "--runtime", runc]
    image = call([*podman, "pull", "-q", f"oci:{layout}"]).split()[-1]
    run = [*podman, "run", "--rm", *PODMAN_LIMITS]
    series = tried([Series("podman run, runc", run_of([*run, image, "true"])),
                    Series("podman run, runc, no network", run_of([*run, *NO_NETWORK, image, "true"]))])
    if series:
        call([*podman, "run", "-d", "--name", "bench", *PODMAN_LIMITS, *NO_NETWORK, image, "sleep", "1000000"])
        series.append(Series("podman exec, runc", run_of([*podman, "exec", "bench", "true"])))
    return series + runsc_series(podman, image, layout, work)


def runsc_series(podman, image, layout, work):
    runsc = shutil.which("runsc")
    if runsc is None:
        note("without runsc: apt-get install runsc")
        return []
    # Its other platforms need a KVM that runs guests, or are newer than Debian's; and it wants to be told of no network.
    flags = ["--runtime", runsc]
    for flag in ("platform=ptrace", "ignore-cgroups", "network=none"):
        flags += ["--runtime-flag", flag]
    run = [*podman, *flags, "run", "--rm", *PODMAN_LIMITS, *NO_NETWORK, image, "true"]
    by_podman = tried([Series("podman run, runsc, no network", run_of(run))])
    if by_podman:
        return by_podman
    bundle = work / "bundle"
    unpack(layout, bundle / "rootfs")
    subprocess.run([runsc, "spec", "--", "true"], cwd=bundle, check=True)
    bare = [runsc, "--root", str(work / "runsc"), "--platform=ptrace", "--network=none", "--ignore-cgroups", "run", "--bundle",
            str(bundle), "bench"]
    return tried([Series("runsc alone, no network", run_of(bare))])


def unpack(layout, root):
    """The layers of an image without whiteouts, such as that of busybox."""
    root.mkdir(parents=True)
    index = json.loads((layout / "index.json").read_text())

    def blob(descriptor):
        return layout / "blobs" / descriptor["digest"].replace(":", "/")

    for layer in json.loads(blob(index["manifests"][0]).read_text())["layers"]:
        call(["tar", "-C", root, "-xf", blob(layer)])


def docker_series(layout):
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        check=False).returncode != 0:
        note("without docker: no daemon answers here")
        return []
    image = "berth-bench:latest"
    call(["skopeo", "copy", f"oci:{layout}", f"docker-daemon:{image}"])
    run = [docker, "run", "--rm"]
    return tried([Series("docker run", run_of([*run, image, "true"])),
                  Series("docker run, no network", run_of([*run, *NO_NETWORK, image, "true"]))])


def qemu_series():
    """The same kind of machine with nothing in it, until its monitor greets."""
    qemu = shutil.which("qemu-system-x86_64")

    def run():
        begin = time.monotonic()
        with subprocess.Popen([qemu, "-nodefaults", "-no-user-config", "-display", "none", "-S", "-machine", "q35",
                               "-accel", "tcg", "-m", "512M", "-qmp", "stdio"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            greeting = process.stdout.readline()
            wall = time.monotonic() - begin
            process.kill()
        if not greeting.startswith(b'{"QMP"'):
            raise RuntimeError(f"no greeting: {greeting!r}")
        return wall

    return tried([Series("QEMU alone to its greeting", run)])


def print_clones(berth, runs):
    """From QEMU's start to a clone's first answer, by a program of its own that the bench preset builds."""
    program = pathlib.Path(berth).resolve().parent / "bench" / "bench-clone"
    if program.exists():
        print(call([program, runs]))
    else:
        note(f"without bare clones: no {program}")


def remove_podman_storage(work):
    if (work / "podman").exists():
        subprocess.run(["podman", "--root", work / "podman", "--runroot", work / "podman-run", "system", "reset", "-f"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--runs", type=int, default=int(os.environ.get("BENCH_RUNS", "30")), help="rounds")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only what has one of these words in its name")
    parser.add_argument("--phases", action="store_true", help="show where the time of a run from a template goes")
    parser.add_argument("--image", type=pathlib.Path, help="a folder in OCI image layout; a busybox is made unless given")
    parser.add_argument("--berth", default=str(bench.REPOSITORY / "build/bench/berth"))
    return parser.parse_args()


def main():
    options = parse()
    if not os.access(options.berth, os.X_OK):
        sys.exit(f"start.py: no {options.berth}: build it first, or name one by --berth")
    bench.adopt_orphans()
    with bench.work_folder() as work:
        berth = None
        try:
            layout = options.image or bench.make_layout(work)
            berth = Berth(options.berth, layout, work)
            berth("template", "create")
            berth("template", "create", berth.image)
            (work / "other").mkdir()
            other = Berth(options.berth, layout, work / "other")
            other("template", "create")
            phases = Phases(work)
            series = tried(berth_runs(berth, phases)) + tried(berth_run_of_size(other)) + berth_exec(berth) + berth_forks(berth)
            series += podman_series(layout, work) + docker_series(layout) + qemu_series()
            phases.file.unlink(missing_ok=True)
            if options.only:
                series = [one for one in series if any(word in one.name for word in options.only)]
            load = os.getloadavg()[0]
            for _ in range(options.runs):
                for one in series:
                    one.measure()
                    if phases.file.exists():
                        phases.take()
            bench.print_machine(load)
            bench.print_table(series + ([phases.clone] if phases.clone.wall else []))
            if options.phases:
                phases.print()
            if not options.only or "clone" in options.only:
                print_clones(options.berth, options.runs)
        finally:
            if berth is not None:
                berth.remove_all()
            remove_podman_storage(work)


if __name__ == "__main__":
    main()
