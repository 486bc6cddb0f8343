#include "tether/sftp/attributes.hpp"

#include <fmt/format.h>

#include <ctime>

namespace berth::tether::sftp {
namespace {

constexpr std::uint32_t kSize = 1;
constexpr std::uint32_t kOwner = 2;
constexpr std::uint32_t kPermissions = 4;
constexpr std::uint32_t kTimes = 8;
constexpr std::uint32_t kExtended = 0x80000000;

char type_letter(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return 'd';
    case S_IFLNK:
      return 'l';
    case S_IFCHR:
      return 'c';
    case S_IFBLK:
      return 'b';
    case S_IFIFO:
      return 'p';
    case S_IFSOCK:
      return 's';
    default:
      return '-';
  }
}

std::string mode_text(mode_t mode) {
  std::string text(1, type_letter(mode));
  for (const int shift : {6, 3, 0}) {
    const mode_t bits = mode >> shift;
    text += (bits & 4) != 0 ? 'r' : '-';
    text += (bits & 2) != 0 ? 'w' : '-';
    text += (bits & 1) != 0 ? 'x' : '-';
  }
  if ((mode & S_ISUID) != 0) text[3] = (mode & S_IXUSR) != 0 ? 's' : 'S';
  if ((mode & S_ISGID) != 0) text[6] = (mode & S_IXGRP) != 0 ? 's' : 'S';
  if ((mode & S_ISVTX) != 0) text[9] = (mode & S_IXOTH) != 0 ? 't' : 'T';
  return text;
}

}  // namespace

Attributes attributes_of(const struct stat& status) {
  Attributes attributes;
  attributes.size = static_cast<std::uint64_t>(status.st_size);
  attributes.owner.emplace(status.st_uid, status.st_gid);
  attributes.permissions = status.st_mode;
  attributes.times.emplace(static_cast<std::uint32_t>(status.st_atime),
                           static_cast<std::uint32_t>(status.st_mtime));
  return attributes;
}

Attributes read_attributes(link::wire::Reader& reader) {
  Attributes attributes;
  const std::uint32_t flags = reader.u32();
  if ((flags & kSize) != 0) attributes.size = reader.u64();
  if ((flags & kOwner) != 0) {
    const std::uint32_t user = reader.u32();
    attributes.owner.emplace(user, reader.u32());
  }
  if ((flags & kPermissions) != 0) attributes.permissions = reader.u32();
  if ((flags & kTimes) != 0) {
    const std::uint32_t access = reader.u32();
    attributes.times.emplace(access, reader.u32());
  }
  if ((flags & kExtended) != 0) {
    for (std::uint32_t count = reader.u32(); count > 0; --count) {
      reader.text();
      reader.text();
    }
  }
  return attributes;
}

void write_attributes(const Attributes& attributes, link::wire::Writer& writer) {
  writer.u32((attributes.size ? kSize : 0) | (attributes.owner ? kOwner : 0) |
             (attributes.permissions ? kPermissions : 0) | (attributes.times ? kTimes : 0));
  if (attributes.size) writer.u64(*attributes.size);
  if (attributes.owner) {
    writer.u32(attributes.owner->first);
    writer.u32(attributes.owner->second);
  }
  if (attributes.permissions) writer.u32(*attributes.permissions);
  if (attributes.times) {
    writer.u32(attributes.times->first);
    writer.u32(attributes.times->second);
  }
}

std::string long_name(const std::string& name, const struct stat& status) {
  tm parts{};
  const std::time_t time = status.st_mtime;
  ::gmtime_r(&time, &parts);
  char date[32];
  std::strftime(date, sizeof date, "%b %e %H:%M", &parts);
  return fmt::format("{} {:>4} {:<8} {:<8} {:>8} {} {}", mode_text(status.st_mode), status.st_nlink,
                     status.st_uid, status.st_gid, status.st_size, date, name);
}

}  // namespace berth::tether::sftp
