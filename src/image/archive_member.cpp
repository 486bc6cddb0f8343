#include "image/archive_member.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>

#include <memory>
#include <string_view>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::image {
namespace {

constexpr std::size_t kBlock = 1u << 20;

Error damaged(const std::filesystem::path& path, archive* reader) {
  const char* text = archive_error_string(reader);
  return Error(Code::corrupt, "{} is no readable tar archive: {}", path.string(),
               printable(text ? text : "unknown"));
}

std::string read_content(const std::filesystem::path& path, archive* reader, std::size_t limit) {
  std::string content;
  char buffer[16384];
  while (true) {
    const la_ssize_t count = archive_read_data(reader, buffer, sizeof buffer);
    if (count < 0) throw damaged(path, reader);
    if (count == 0) return content;
    if (content.size() + static_cast<std::size_t>(count) > limit)
      throw Error(Code::capacity, "{}: a description in it is larger than {} bytes", path.string(), limit);
    content.append(buffer, static_cast<std::size_t>(count));
  }
}

}  // namespace

std::optional<std::string> read_archive_member(const std::filesystem::path& path, const std::string& member,
                                               std::size_t limit) {
  const UniqueFd file = open_file(path, O_RDONLY);
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(), &archive_read_free);
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_zstd(reader.get());
  archive_read_support_format_tar(reader.get());
  if (archive_read_open_fd(reader.get(), file.get(), kBlock) != ARCHIVE_OK) throw damaged(path, reader.get());
  archive_entry* entry = nullptr;
  while (true) {
    const int result = archive_read_next_header(reader.get(), &entry);
    if (result == ARCHIVE_EOF) return std::nullopt;
    if (result < ARCHIVE_WARN) throw damaged(path, reader.get());
    const char* name = archive_entry_pathname(entry);
    std::string_view text = name ? name : "";
    while (text.starts_with("./")) text.remove_prefix(2);
    if (text == member && archive_entry_filetype(entry) == AE_IFREG)
      return read_content(path, reader.get(), limit);
  }
}

}  // namespace berth::image
