#include "hypervisor/qemu/machine_spec.hpp"

#include <algorithm>
#include <cctype>
#include <set>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"
#include "hypervisor/qemu/block_nodes.hpp"

namespace berth::hypervisor::qemu {
namespace {

constexpr unsigned kMostCpus = 255;
/// With one network card, the bridge and the other devices they fit one PCI bus.
constexpr std::size_t kMostDisks = 24;
/// Below this the distribution's kernel does not come up.
constexpr std::uint64_t kLeastMemoryMiB = 96;
constexpr std::uint64_t kMostMemoryMiB = std::uint64_t{4} << 20;
constexpr std::size_t kMostSerial = 20;             // VIRTIO_BLK_ID_BYTES
constexpr std::size_t kMostTag = 36;                // virtio_fs_config::tag
constexpr std::size_t kMostKernelArguments = 1024;  // COMMAND_LINE_SIZE is 2048

bool is_one_line(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

/// What may stand in a QEMU option as a name.
bool is_plain_name(std::string_view name, std::size_t most) {
  constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  return !name.empty() && name.size() <= most && name.find_first_not_of(kAllowed) == std::string_view::npos;
}

/// Six pairs of hex digits, and not a multicast address.
bool is_mac(std::string_view mac) {
  constexpr std::string_view kHex = "0123456789abcdefABCDEF";
  if (mac.size() != 17) return false;
  for (std::size_t i = 0; i < mac.size(); ++i) {
    const bool ok = i % 3 == 2 ? mac[i] == ':' : kHex.find(mac[i]) != std::string_view::npos;
    if (!ok) return false;
  }
  return (std::stoi(std::string(mac.substr(0, 2)), nullptr, 16) & 1) == 0;
}

void check_disks(const std::vector<Disk>& disks) {
  if (disks.size() > kMostDisks) {
    throw Error(Code::invalid_argument, "{} disks are too many for one machine: at most {}", disks.size(),
                kMostDisks);
  }
  std::set<std::string_view> serials;
  for (const Disk& disk : disks) {
    check_disk(disk);
    if (!serials.insert(disk.serial).second) {
      throw Error(Code::invalid_argument, "disk serial \"{}\" is there twice", disk.serial);
    }
  }
}

void check_network_cards(const MachineSpec& spec) {
  if (!has_user_network(spec) && !spec.forwards.empty()) {
    throw Error(Code::invalid_argument, "a machine without a user network has no ports to forward");
  }
  if (spec.disks.size() + spec.network_cards.size() + spec.shared_folders.size() > kMostDisks + 1) {
    throw Error(Code::invalid_argument,
                "{} disks, {} network cards and {} shared folders are too many for one machine",
                spec.disks.size(), spec.network_cards.size(), spec.shared_folders.size());
  }
  std::set<std::string> seen;
  bool has_user = false;
  for (const NetworkCard& card : spec.network_cards) {
    check_network_card(card);
    if (!seen.insert(lower_mac(card.mac)).second) {
      throw Error(Code::invalid_argument, "two network cards have the address {}", card.mac);
    }
    const bool is_user = card.backend == NetworkCard::Backend::user;
    if (is_user && has_user) {
      throw Error(Code::invalid_argument, "a machine has one card for user networking");
    }
    has_user = has_user || is_user;
  }
}

void check_shared_folders(const std::vector<SharedFolder>& folders) {
  std::set<std::string_view> tags;
  for (const SharedFolder& folder : folders) {
    if (!is_plain_name(folder.tag, kMostTag)) {
      throw Error(Code::invalid_argument, "shared folder \"{}\": 1 to {} characters of A-Z a-z 0-9 . _ -",
                  printable(folder.tag), kMostTag);
    }
    if (folder.fd < 0)
      throw Error(Code::invalid_argument, "the shared folder {} has no server behind it", folder.tag);
    if (!tags.insert(folder.tag).second)
      throw Error(Code::invalid_argument, "two shared folders have the tag {}", folder.tag);
  }
}

void check_memory(const MachineSpec& spec) {
  const bool has_file = spec.memory_file >= 0;
  if (has_file && spec.frozen) {
    throw Error(Code::invalid_argument,
                "a machine that goes on from a frozen one keeps its memory to itself");
  }
  if ((has_file || spec.frozen) && has_shared_memory(spec)) {
    throw Error(Code::unsupported,
                "a machine with shared folders is not frozen and not made of a frozen one");
  }
  if (spec.frozen && (spec.frozen->memory < 0 || spec.frozen->state < 0)) {
    throw Error(Code::invalid_argument, "a frozen machine is two open files");
  }
  if (spec.receives >= 0 && !has_file) {
    throw Error(Code::invalid_argument, "a machine that is copied into needs a file for its memory");
  }
}

}  // namespace

void check_spec(const MachineSpec& spec) {
  if (!is_valid_name(spec.name)) {
    throw Error(Code::invalid_argument, "\"{}\" is no name for a machine", printable(spec.name));
  }
  if (spec.cpus < 1 || spec.cpus > kMostCpus) {
    throw Error(Code::invalid_argument, "{} CPUs: a machine has 1 to {}", spec.cpus, kMostCpus);
  }
  if (spec.most_cpus != 0 && (spec.most_cpus < spec.cpus || spec.most_cpus > kMostCpus)) {
    throw Error(Code::invalid_argument, "a machine with {} CPUs cannot grow to {}", spec.cpus,
                spec.most_cpus);
  }
  if (memory_mib(spec) < kLeastMemoryMiB || memory_mib(spec) > kMostMemoryMiB) {
    throw Error(Code::invalid_argument, "{} of memory: a machine has at least {}MiB and at most {}MiB",
                format_binary_size(spec.memory_bytes), kLeastMemoryMiB, kMostMemoryMiB);
  }
  if (spec.most_memory_bytes != 0 &&
      (spec.most_memory_bytes < spec.memory_bytes || spec.most_memory_bytes / kMiB > kMostMemoryMiB)) {
    throw Error(Code::invalid_argument, "a machine with {} of memory cannot grow to {}",
                format_binary_size(spec.memory_bytes), format_binary_size(spec.most_memory_bytes));
  }
  if (!is_one_line(spec.kernel_arguments) || spec.kernel_arguments.size() > kMostKernelArguments) {
    throw Error(Code::invalid_argument, "kernel arguments: one line of at most {} bytes",
                kMostKernelArguments);
  }
  check_disks(spec.disks);
  check_network_cards(spec);
  check_shared_folders(spec.shared_folders);
  check_memory(spec);
}

void check_disk(const Disk& disk) {
  if (!is_plain_name(disk.serial, kMostSerial)) {
    throw Error(Code::invalid_argument, "disk serial \"{}\": 1 to {} characters of A-Z a-z 0-9 . _ -",
                printable(disk.serial), kMostSerial);
  }
  if (disk.fd < 0) throw Error(Code::invalid_argument, "disk {} is not open", disk.serial);
  check_layers(disk);
}

void check_network_card(const NetworkCard& card) {
  if (!is_mac(card.mac)) {
    throw Error(Code::invalid_argument, "\"{}\" is no MAC address of one machine", printable(card.mac));
  }
  const bool needs_descriptor =
      card.backend != NetworkCard::Backend::user && card.backend != NetworkCard::Backend::none;
  if (needs_descriptor && card.fd < 0) {
    throw Error(Code::invalid_argument, "the network card {} has nothing behind it", card.mac);
  }
}

bool boots(const MachineSpec& spec) {
  return !spec.frozen && spec.receives < 0;
}

bool has_shared_memory(const MachineSpec& spec) {
  return !spec.shared_folders.empty();
}

std::string lower_mac(const std::string& mac) {
  std::string lower = mac;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

std::uint64_t round_up_memory(std::uint64_t bytes) {
  return bytes / kMiB * kMiB + (bytes % kMiB != 0 ? kMiB : 0);
}

std::uint64_t reserved_memory(const MachineSpec& spec) {
  const std::uint64_t first = round_up_memory(spec.memory_bytes);
  if (spec.most_memory_bytes <= first) return 0;
  return (spec.most_memory_bytes - first) / kMemoryPiece * kMemoryPiece;
}

std::uint64_t memory_mib(const MachineSpec& spec) {
  return round_up_memory(spec.memory_bytes) / kMiB;
}

}  // namespace berth::hypervisor::qemu
