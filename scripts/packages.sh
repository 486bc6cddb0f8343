# Sourced by setup and test: what Debian packages there must be.
# shellcheck shell=bash disable=SC2034

runtime_packages=(
  qemu-system-x86 linux-image-cloud-amd64 # machines
  qemu-system-common                      # virtiofsd for folders of the host
  erofs-utils e2fsprogs skopeo            # disks and images
  uidmap ca-certificates
)
build_packages=(
  cmake ninja-build g++ ccache pkg-config
  libboost1.81-dev libboost-json1.81-dev libfmt-dev libspdlog-dev libcli11-dev
  libssh-dev libssl-dev libsodium-dev zlib1g-dev libseccomp-dev
  libsqlite3-dev libarchive-dev
)
example_packages=(busybox-static)
bench_packages=(nlohmann-json3-dev)
test_packages=(
  libgtest-dev libgmock-dev python3 python3-pytest python3-pytest-xdist docker-registry
  openssh-client nfs-ganesha nfs-ganesha-vfs
  clang-14 libclang-rt-14-dev clang-format-14 shellcheck
)

# Installs those of the given packages that are missing.
install_packages() {
  local package missing=() as_root=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      echo "as root, run: apt-get install --no-install-recommends ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}"
}
