#include <fcntl.h>
#include <unistd.h>

#include <string_view>

#include "cli/command.hpp"
#include "image/rootfs.hpp"

namespace {

/// A file opened later must not become standard output by its number.
void open_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd) ::_exit(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  if (argc > 1 && std::string_view(argv[1]) == berth::image::kUnpackCommand) {
    return berth::image::unpack_main(argc, argv);
  }
  return berth::cli::run_berth({argv + (argc > 0 ? 1 : 0), argv + argc});
}
