#pragma once

// Archives made by code, for tests.

#include <archive.h>
#include <archive_entry.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace berth::tar {

struct TestEntry {
  std::string path;
  int type = AE_IFREG;
  std::string content;  ///< of a file; target of a link
  unsigned mode = 0644;
  std::int64_t uid = 0;
  std::int64_t gid = 0;
  std::int64_t mtime = 1'600'000'000;
  unsigned major = 0;
  unsigned minor = 0;
  bool hard_link = false;
  std::map<std::string, std::string> attributes;
};

inline TestEntry file(std::string path, std::string content, unsigned mode = 0644) {
  return {.path = std::move(path), .content = std::move(content), .mode = mode, .attributes = {}};
}
inline TestEntry folder(std::string path, unsigned mode = 0755) {
  return {.path = std::move(path), .type = AE_IFDIR, .content = {}, .mode = mode, .attributes = {}};
}
inline TestEntry symlink(std::string path, std::string target) {
  return {.path = std::move(path), .type = AE_IFLNK, .content = std::move(target), .attributes = {}};
}
inline TestEntry hard_link(std::string path, std::string target) {
  return {.path = std::move(path), .content = std::move(target), .hard_link = true, .attributes = {}};
}
inline TestEntry device(std::string path, int type, unsigned major, unsigned minor) {
  return {
      .path = std::move(path), .type = type, .content = {}, .major = major, .minor = minor, .attributes = {}};
}

/// A tar stream with these entries, as they are, good or bad.
inline std::string make_tar(const std::vector<TestEntry>& entries) {
  std::string bytes;
  const std::unique_ptr<archive, decltype(&archive_write_free)> writer(archive_write_new(),
                                                                       &archive_write_free);
  archive_write_set_format_pax_restricted(writer.get());
  archive_write_open(
      writer.get(), &bytes, nullptr,
      [](archive*, void* self, const void* data, std::size_t size) {
        static_cast<std::string*>(self)->append(static_cast<const char*>(data), size);
        return static_cast<la_ssize_t>(size);
      },
      nullptr);
  for (const TestEntry& wanted : entries) {
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                              &archive_entry_free);
    archive_entry_set_pathname(entry.get(), wanted.path.c_str());
    archive_entry_set_filetype(entry.get(), static_cast<unsigned>(wanted.type));
    archive_entry_set_perm(entry.get(), wanted.mode);
    archive_entry_set_uid(entry.get(), wanted.uid);
    archive_entry_set_gid(entry.get(), wanted.gid);
    archive_entry_set_mtime(entry.get(), wanted.mtime, 0);
    const bool data = wanted.type == AE_IFREG && !wanted.hard_link;
    archive_entry_set_size(entry.get(), data ? static_cast<la_int64_t>(wanted.content.size()) : 0);
    if (wanted.hard_link) archive_entry_set_hardlink(entry.get(), wanted.content.c_str());
    if (wanted.type == AE_IFLNK) archive_entry_set_symlink(entry.get(), wanted.content.c_str());
    archive_entry_set_rdevmajor(entry.get(), wanted.major);
    archive_entry_set_rdevminor(entry.get(), wanted.minor);
    for (const auto& [key, value] : wanted.attributes)
      archive_entry_xattr_add_entry(entry.get(), key.c_str(), value.data(), value.size());
    archive_write_header(writer.get(), entry.get());
    if (data) archive_write_data(writer.get(), wanted.content.data(), wanted.content.size());
  }
  archive_write_close(writer.get());
  return bytes;
}

}  // namespace berth::tar
