#include "image/unpack.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <exception>

#include "base/error.hpp"
#include "base/text.hpp"
#include "image/layer_stream.hpp"
#include "image/layer_tree.hpp"
#include "tar/byte_locale.hpp"

namespace berth::image {
namespace {

using Reader = std::unique_ptr<archive, decltype(&archive_read_free)>;

/// Feeds libarchive from a LayerStream; an exception waits here until the C frames are left.
struct Feed {
  LayerStream stream;
  std::uint64_t limit;
  std::exception_ptr failure;

  std::string_view next() {
    const std::string_view piece = stream.next();
    if (stream.count() > limit)
      throw Error(Code::capacity, "it unpacks to more than {}", format_binary_size(limit));
    return piece;
  }

  static la_ssize_t read(archive* reader, void* self, const void** buffer) {
    auto& feed = *static_cast<Feed*>(self);
    try {
      const std::string_view piece = feed.next();
      *buffer = piece.data();
      return static_cast<la_ssize_t>(piece.size());
    } catch (...) {
      feed.failure = std::current_exception();
      archive_set_error(reader, EIO, "cannot read the layer");
      return ARCHIVE_FATAL;
    }
  }
};

[[noreturn]] void fail(const Feed& feed, archive* reader) {
  if (feed.failure) std::rethrow_exception(feed.failure);
  const char* text = archive_error_string(reader);
  throw Error(Code::corrupt, "its tar data is damaged: {}", printable(text ? text : "unknown"));
}

void apply_entries(Reader& reader, Feed& feed, LayerTree& tree) {
  archive_entry* entry = nullptr;
  while (true) {
    const int result = archive_read_next_header(reader.get(), &entry);
    if (result == ARCHIVE_EOF) return;
    if (result < ARCHIVE_WARN) fail(feed, reader.get());
    const char* name = archive_entry_pathname(entry);
    try {
      tree.apply(entry, [&](const void*& data, std::size_t& size, std::int64_t& offset) {
        const int step = archive_read_data_block(reader.get(), &data, &size, &offset);
        if (step != ARCHIVE_OK && step != ARCHIVE_EOF) fail(feed, reader.get());
        return step == ARCHIVE_OK;
      });
    } catch (Error& error) {
      error.add_context(fmt::format("entry \"{}\"", printable(name ? name : "", 300)));
      throw;
    }
  }
}

void apply_layer(LayerTree& tree, int fd, std::uint64_t limit, const std::string& diff_id) {
  const tar::ByteLocale locale;
  Feed feed{LayerStream(fd), limit, {}};
  Reader reader(archive_read_new(), &archive_read_free);
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_empty(reader.get());
  if (archive_read_open(reader.get(), &feed, nullptr, &Feed::read, nullptr) != ARCHIVE_OK)
    fail(feed, reader.get());
  tree.begin_layer();
  apply_entries(reader, feed, tree);
  tree.end_layer();
  while (!feed.next().empty()) {
  }
  const std::string digest = feed.stream.digest();
  if (!diff_id.empty() && digest != diff_id)
    throw Error(Code::corrupt, "its content is {}, but the image's config says {}", digest, diff_id);
}

}  // namespace

Unpacker::Unpacker(const std::filesystem::path& directory, const UnpackLimits& limits)
    : tree_(std::make_unique<LayerTree>(directory, limits)) {}

Unpacker::Unpacker(Unpacker&&) noexcept = default;
Unpacker::~Unpacker() = default;

void Unpacker::apply(int fd, const std::string& layer, const std::string& diff_id) {
  try {
    apply_layer(*tree_, fd, tree_->limits().bytes, diff_id);
  } catch (Error& error) {
    error.add_context("layer " + layer);
    throw;
  }
}

const std::vector<std::string>& Unpacker::warnings() const {
  return tree_->warnings();
}

}  // namespace berth::image
