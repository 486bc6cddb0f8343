#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.hpp"
#include "tether/sftp/attributes.hpp"

// Attributes are the one part of a packet with a form of its own; requests themselves would change files.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  link::wire::Reader reader({reinterpret_cast<const char*>(data), size}, "attributes");
  try {
    const tether::sftp::Attributes read = tether::sftp::read_attributes(reader);
    link::wire::Writer writer;
    tether::sftp::write_attributes(read, writer);
    const std::string written = std::move(writer).take();
    link::wire::Reader again(written, "attributes");
    const tether::sftp::Attributes twice = tether::sftp::read_attributes(again);
    if (twice.size != read.size || twice.owner != read.owner || twice.permissions != read.permissions ||
        twice.times != read.times)
      __builtin_trap();
  } catch (const Error&) {
  }
  return 0;
}
