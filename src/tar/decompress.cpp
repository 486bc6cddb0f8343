#include "tar/decompress.hpp"

#include <archive.h>
#include <archive_entry.h>

#include "tar/archive_reader.hpp"

namespace berth::tar {

void decompress(const Source& source, const Sink& sink) {
  ArchiveReader reader(source);
  archive_read_support_format_raw(reader.get());
  archive_read_support_format_empty(reader.get());
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_bzip2(reader.get());
  archive_read_support_filter_xz(reader.get());
  archive_read_support_filter_zstd(reader.get());
  reader.open();
  archive_entry* entry = nullptr;
  int result = archive_read_next_header(reader.get(), &entry);
  while (result == ARCHIVE_OK) {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    result = archive_read_data_block(reader.get(), &data, &size, &offset);
    if (result == ARCHIVE_OK && size > 0) sink({static_cast<const char*>(data), size});
  }
  if (result != ARCHIVE_EOF) reader.fail();
}

}  // namespace berth::tar
