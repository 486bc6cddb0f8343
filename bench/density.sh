#!/bin/bash
# density.sh [-n CONTAINERS] [OPTIONS]: what idle containers from one template take of the host's memory (100 of 256 MiB
# unless told); see density.py --help.
set -euo pipefail
exec /usr/bin/python3 "$(dirname "${BASH_SOURCE[0]}")/density.py" "$@"
