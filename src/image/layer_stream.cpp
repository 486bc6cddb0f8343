#include "image/layer_stream.hpp"

#include <archive.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/text.hpp"
#include "image/digest.hpp"

namespace berth::image {
namespace {

constexpr std::size_t kBlock = 256u << 10;

/// One filter at most, chosen here: libarchive by itself would unwrap any number of nested ones. Its zstd
/// filter refuses windows beyond 128 MiB.
int filter_of(int fd) {
  const off_t offset = check(::lseek(fd, 0, SEEK_CUR), "seek in a layer");
  char magic[4] = {};
  check(::pread(fd, magic, sizeof magic, offset), "read a layer");
  const std::string_view start(magic, sizeof magic);
  if (start.starts_with("\x1f\x8b")) return ARCHIVE_FILTER_GZIP;
  if (start == "\x28\xb5\x2f\xfd") return ARCHIVE_FILTER_ZSTD;
  return ARCHIVE_FILTER_NONE;
}

}  // namespace

struct LayerStream::State {
  std::unique_ptr<archive, decltype(&archive_read_free)> reader{archive_read_new(), &archive_read_free};
  Sha256 sha;
  std::uint64_t count = 0;
  bool ended = false;

  [[noreturn]] void fail() const {
    const char* text = archive_error_string(reader.get());
    throw Error(Code::corrupt, "its compressed data is damaged: {}", printable(text ? text : "unknown"));
  }
};

LayerStream::LayerStream(int fd) : state_(std::make_unique<State>()) {
  archive* reader = state_->reader.get();
  archive_read_support_format_raw(reader);
  archive_read_support_format_empty(reader);
  if (const int filter = filter_of(fd); filter != ARCHIVE_FILTER_NONE)
    if (archive_read_append_filter(reader, filter) != ARCHIVE_OK) state_->fail();
  // A decoder that fails at once looks like an empty stream, but for the error it left.
  if (archive_read_open_fd(reader, fd, kBlock) != ARCHIVE_OK || archive_errno(reader) != 0) state_->fail();
  archive_entry* entry = nullptr;
  const int result = archive_read_next_header(reader, &entry);
  state_->ended = result == ARCHIVE_EOF;
  if (!state_->ended && result != ARCHIVE_OK) state_->fail();
}

LayerStream::LayerStream(LayerStream&&) noexcept = default;
LayerStream::~LayerStream() = default;

std::string_view LayerStream::next() {
  while (!state_->ended) {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(state_->reader.get(), &data, &size, &offset);
    if (result == ARCHIVE_EOF) {
      state_->ended = true;
    } else if (result != ARCHIVE_OK) {
      state_->fail();
    } else if (size > 0) {
      const std::string_view piece(static_cast<const char*>(data), size);
      state_->sha.update(piece);
      state_->count += size;
      return piece;
    }
  }
  return {};
}

std::uint64_t LayerStream::count() const {
  return state_->count;
}

std::string LayerStream::digest() {
  return state_->sha.finish();
}

}  // namespace berth::image
