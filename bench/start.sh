#!/bin/bash
# start.sh [OPTIONS]: how long starts, execs and forks take, with berth and with what else runs containers here.
# BENCH_RUNS rounds (30); see start.py --help.
set -euo pipefail
exec /usr/bin/python3 "$(dirname "${BASH_SOURCE[0]}")/start.py" "$@"
