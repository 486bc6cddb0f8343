#include "tar/archive_reader.hpp"

#include <cerrno>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::tar {

void ArchiveReader::open() {
  if (archive_read_open(get(), this, nullptr, &ArchiveReader::read, nullptr) != ARCHIVE_OK) fail();
}

la_ssize_t ArchiveReader::read(archive* reader, void* self, const void** buffer) {
  auto& feed = *static_cast<ArchiveReader*>(self);
  try {
    const std::string_view piece = feed.source_();
    *buffer = piece.data();
    return static_cast<la_ssize_t>(piece.size());
  } catch (...) {
    feed.failure_ = std::current_exception();
    archive_set_error(reader, EIO, "cannot read the archive");
    return ARCHIVE_FATAL;
  }
}

void ArchiveReader::fail() {
  if (failure_) std::rethrow_exception(failure_);
  const char* text = archive_error_string(get());
  throw Error(Code::corrupt, "the archive is damaged: {}", printable(text ? text : "unknown", 300));
}

}  // namespace berth::tar
