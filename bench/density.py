#!/usr/bin/python3
"""Starts idle containers from one template, lets every one of them answer an exec, and shows what each takes of the host's
memory: of QEMU and of the launcher what is private and written to (Private_Dirty), and the proportional share (Pss) of all.

Exits with 1 when one does not answer, or takes more than --goal. Needs root for the memory of other users' processes.

  bench/density.sh [-n CONTAINERS] [--memory SIZE] [--goal MIB] [--berth PROGRAM]
"""

import argparse
import concurrent.futures
import os
import pathlib
import statistics
import sys
import time

import bench

MIB = 1 << 20
AT_ONCE = 2 * (os.cpu_count() or 1)


def memory_of(pid):
    """Bytes by their names in smaps_rollup."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def available():
    line = next(line for line in open("/proc/meminfo") if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def processes_of(containers):
    """(QEMU, launcher) of each."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue  # none, or it has ended
        name = pathlib.Path(words[0]).name
        for container in containers:
            if name.startswith("qemu-system") and f"berth-{container[:12]}" in words:
                found.setdefault(container, {})["QEMU"] = int(entry.name)
            if name == "berth-launcher" and container in words:
                found.setdefault(container, {})["launcher"] = int(entry.name)
    return found


def show(name, values):
    print(f"{name:34} {statistics.median(values) / MIB:9.1f} {max(values) / MIB:9.1f} {sum(values) / MIB:10.1f}")


def measure(berth, options):
    before = available()
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        containers = list(pool.map(lambda _: berth("run", "-d", "--memory", options.memory, berth.image, "sleep", "1000000"),
                                   range(options.containers)))
        print(f"{len(containers)} containers of {options.memory} run after {time.monotonic() - begin:.1f} s")
        most = show_memory(containers)
        begin = time.monotonic()
        answers = list(pool.map(lambda container: berth("exec", container, "echo", "here"), containers))
    if answers != ["here"] * len(containers):
        sys.exit("density.py: not all of them answer")
    print(f"all answer an exec, within {time.monotonic() - begin:.1f} s")
    show_memory(containers)
    print(f"available on the host: {before / MIB:.0f} MiB before, {available() / MIB:.0f} MiB now: "
          f"{(before - available()) / MIB / len(containers):.1f} MiB for each")
    return most


def show_memory(containers):
    """The most that one has for itself."""
    processes = processes_of(containers)
    memory = [{kind: memory_of(pid) for kind, pid in processes[container].items()} for container in containers]
    private = [sum(kinds[kind]["Private_Dirty"] for kind in kinds) for kinds in memory]
    print(f"{'MiB':34} {'median':>9} {'most':>9} {'all':>10}")
    for kind in ("QEMU", "launcher"):
        show(f"{kind}: private and written", [kinds[kind]["Private_Dirty"] for kinds in memory])
        show(f"{kind}: proportional", [kinds[kind]["Pss"] for kinds in memory])
        show(f"{kind}: resident", [kinds[kind]["Rss"] for kinds in memory])
    show("both: private and written", private)
    show("both: proportional", [sum(kinds[kind]["Pss"] for kind in kinds) for kinds in memory])
    return max(private)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--containers", type=int, default=100)
    parser.add_argument("--memory", default="256m")
    parser.add_argument("--goal", type=float, help="MiB that one may take for itself")
    parser.add_argument("--berth", default=str(bench.REPOSITORY / "build/bench/berth"))
    options = parser.parse_args()
    if not os.access(options.berth, os.X_OK):
        sys.exit(f"density.py: no {options.berth}: build it first, or name one by --berth")
    with bench.work_folder() as work:
        berth = bench.Berth(options.berth, bench.make_layout(work), work)
        try:
            berth("template", "create", "--memory", options.memory, berth.image)
            load = os.getloadavg()[0]
            most = measure(berth, options)
            bench.print_machine(load)
        finally:
            berth.remove_all()
    if options.goal is not None and most > options.goal * MIB:
        sys.exit(f"density.py: more than {options.goal} MiB")


if __name__ == "__main__":
    main()
