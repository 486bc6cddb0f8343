#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "image/unpack.hpp"

namespace {

namespace fs = std::filesystem;

/// A folder with one file beside the root: whatever else appears in it, or changes it, has escaped.
struct Cage {
  berth::TempDir folder{fs::temp_directory_path(), "image-unpack-fuzzer-"};
  fs::path witness = folder.path() / "witness";
  fs::path root = folder.path() / "root";

  Cage() {
    berth::write_file_atomically(witness, "untouched");
    berth::make_directories(root);
  }
  bool intact() const {
    return std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2 &&
           berth::find_file(witness) == "untouched" && fs::hard_link_count(witness) == 1;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::image;
  const Cage cage;
  const berth::UniqueFd layer(::memfd_create("layer", MFD_CLOEXEC));
  berth::write_all(layer.get(), {reinterpret_cast<const char*>(data), size});
  try {
    Unpacker unpacker(cage.root, {.bytes = 8u << 20, .entries = 1000, .name_length = 4096});
    // Twice: what the first pass made is the lower layer of the second.
    for (int pass = 0; pass < 2; ++pass) {
      ::lseek(layer.get(), 0, SEEK_SET);
      unpacker.apply(layer.get(), "sha256:fuzz", "");
    }
  } catch (const berth::Error&) {
    // Refusing is fine; leaving the root is not.
  }
  if (!cage.intact()) __builtin_trap();
  return 0;
}
