#include "hypervisor/qcow2.hpp"

#include <endian.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"

namespace berth::hypervisor {
namespace {

constexpr std::uint32_t kMagic = 0x514649fb;  // "QFI\xfb"
constexpr std::uint32_t kVersion = 3;
constexpr std::uint32_t kClusterBits = 16;
constexpr std::uint64_t kCluster = std::uint64_t{1} << kClusterBits;
constexpr std::uint32_t kRefcountOrder = 4;
constexpr std::size_t kRefcountBytes = 2;
constexpr std::uint64_t kExtendedL2 = std::uint64_t{1} << 4;
constexpr std::size_t kL2EntryBytes = 16;
/// What one table of the second level maps.
constexpr std::uint64_t kMapped = kCluster / kL2EntryBytes * kCluster;
constexpr std::uint64_t kSector = 512;
/// So that one block of reference counts is enough for an empty image by far.
constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 40;

// Where the parts are: the header, one cluster each for the two levels of reference counts, the first level
// of the mapping.
constexpr std::uint64_t kRefcountTable = kCluster;
constexpr std::uint64_t kRefcountBlock = 2 * kCluster;
constexpr std::uint64_t kL1Table = 3 * kCluster;

/// Offsets of header fields.
namespace field {
constexpr std::size_t magic = 0;
constexpr std::size_t version = 4;
constexpr std::size_t backing_file_offset = 8;
constexpr std::size_t cluster_bits = 20;
constexpr std::size_t size = 24;
constexpr std::size_t crypt_method = 32;
constexpr std::size_t l1_size = 36;
constexpr std::size_t l1_table_offset = 40;
constexpr std::size_t refcount_table_offset = 48;
constexpr std::size_t refcount_table_clusters = 56;
constexpr std::size_t nb_snapshots = 60;
constexpr std::size_t incompatible_features = 72;
constexpr std::size_t refcount_order = 96;
constexpr std::size_t header_length = 100;
}  // namespace field

void put32(std::string& bytes, std::size_t at, std::uint32_t value) {
  const std::uint32_t encoded = htobe32(value);
  std::memcpy(bytes.data() + at, &encoded, sizeof encoded);
}

void put64(std::string& bytes, std::size_t at, std::uint64_t value) {
  const std::uint64_t encoded = htobe64(value);
  std::memcpy(bytes.data() + at, &encoded, sizeof encoded);
}

std::uint32_t get32(std::string_view bytes, std::size_t at) {
  std::uint32_t encoded = 0;
  std::memcpy(&encoded, bytes.data() + at, sizeof encoded);
  return be32toh(encoded);
}

std::uint64_t get64(std::string_view bytes, std::size_t at) {
  std::uint64_t encoded = 0;
  std::memcpy(&encoded, bytes.data() + at, sizeof encoded);
  return be64toh(encoded);
}

std::uint64_t l1_entries(std::uint64_t bytes) {
  return (bytes + kMapped - 1) / kMapped;
}

std::uint64_t clusters_of(std::uint64_t bytes) {
  return (kL1Table + l1_entries(bytes) * sizeof(std::uint64_t) + kCluster - 1) / kCluster;
}

std::string header_of(std::uint64_t bytes) {
  std::string header(kOverlayHeaderBytes, '\0');
  put32(header, field::magic, kMagic);
  put32(header, field::version, kVersion);
  put32(header, field::cluster_bits, kClusterBits);
  put64(header, field::size, bytes);
  put32(header, field::l1_size, static_cast<std::uint32_t>(l1_entries(bytes)));
  put64(header, field::l1_table_offset, kL1Table);
  put64(header, field::refcount_table_offset, kRefcountTable);
  put32(header, field::refcount_table_clusters, 1);
  put64(header, field::incompatible_features, kExtendedL2);
  put32(header, field::refcount_order, kRefcountOrder);
  put32(header, field::header_length, kOverlayHeaderBytes);
  return header;
}

/// All up to the mapping, of which nothing is there.
std::string front_of(std::uint64_t bytes) {
  std::string front = header_of(bytes);
  front.resize(kRefcountBlock);
  put64(front, kRefcountTable, kRefcountBlock);
  for (std::uint64_t i = 0; i < clusters_of(bytes); ++i) front += {'\0', '\1'};
  static_assert(kRefcountBytes == 2);
  return front;
}

void write_at(int fd, std::string_view bytes, std::uint64_t offset) {
  const ssize_t n =
      check(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)), "write an overlay");
  if (static_cast<std::size_t>(n) != bytes.size()) throw errno_error("write an overlay", ENOSPC);
}

Error not_ours(std::string_view why) {
  return Error(Code::corrupt, "a layer of the disk is damaged: {}", why);
}

}  // namespace

void make_overlay(int fd, std::uint64_t bytes) {
  if (bytes == 0 || bytes % kSector != 0 || bytes > kMostBytes)
    throw Error(Code::invalid_argument, "a disk cannot have {} bytes", bytes);
  const std::string front = front_of(bytes);
  // The rest is holes.
  write_at(fd, header_of(bytes), 0);
  write_at(fd, std::string_view(front).substr(kRefcountTable, sizeof(std::uint64_t)), kRefcountTable);
  write_at(fd, std::string_view(front).substr(kRefcountBlock), kRefcountBlock);
  check(::ftruncate(fd, static_cast<off_t>(clusters_of(bytes) * kCluster)), "write an overlay");
}

bool is_untouched_overlay(int fd, std::uint64_t bytes) {
  const std::uint64_t size = clusters_of(bytes) * kCluster;
  if (file_bytes(fd, "look at an overlay") != size) return false;
  std::string expected = front_of(bytes);
  expected.resize(size);
  std::string actual(size, '\0');
  const ssize_t n = check(::pread(fd, actual.data(), size, 0), "read an overlay");
  return static_cast<std::uint64_t>(n) == size && actual == expected;
}

std::uint64_t check_overlay_header(std::string_view header) {
  if (header.size() < kOverlayHeaderBytes) throw not_ours("it is too short");
  if (get32(header, field::magic) != kMagic || get32(header, field::version) != kVersion)
    throw not_ours("it is no qcow2 image of version 3");
  if (get64(header, field::backing_file_offset) != 0) throw not_ours("it names a backing file");
  if (get64(header, field::incompatible_features) != kExtendedL2)
    throw not_ours("it has features that no overlay of berth's has, or QEMU has marked it as corrupt");
  if (get32(header, field::crypt_method) != 0) throw not_ours("it is encrypted");
  if (get32(header, field::nb_snapshots) != 0) throw not_ours("it has snapshots inside");
  const std::uint64_t bytes = get64(header, field::size);
  if (get32(header, field::cluster_bits) != kClusterBits || bytes == 0 || bytes > kMostBytes ||
      bytes % kSector != 0)
    throw not_ours("it has another size");
  return bytes;
}

std::uint64_t check_overlay(int fd) {
  std::array<char, kOverlayHeaderBytes> header{};
  const ssize_t n = check(::pread(fd, header.data(), header.size(), 0), "read a layer of the disk");
  return check_overlay_header({header.data(), static_cast<std::size_t>(n)});
}

}  // namespace berth::hypervisor
