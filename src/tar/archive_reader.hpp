#pragma once

#include <archive.h>

#include <exception>
#include <memory>

#include "tar/stream.hpp"

namespace berth::tar {

/// Feeds libarchive from a Source; an exception of the source waits here until the C frames are left.
class ArchiveReader {
 public:
  explicit ArchiveReader(const Source& source) : source_(source) {}
  ArchiveReader(const ArchiveReader&) = delete;
  ArchiveReader& operator=(const ArchiveReader&) = delete;

  archive* get() { return reader_.get(); }
  /// After formats and filters are chosen.
  void open();
  /// Throws the source's exception, else corrupt with libarchive's words.
  [[noreturn]] void fail();

 private:
  static la_ssize_t read(archive* reader, void* self, const void** buffer);

  const Source& source_;
  std::exception_ptr failure_;
  std::unique_ptr<archive, decltype(&archive_read_free)> reader_{archive_read_new(), &archive_read_free};
};

}  // namespace berth::tar
