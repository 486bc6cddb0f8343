#include "cli/image_pull.hpp"

#include <unistd.h>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::cli {

std::string ensure_image(image::Store& images, const std::string& name, std::string_view policy, bool quiet) {
  const image::Source source = image::parse_source(name);
  std::string stored =
      source.transport == image::Transport::registry ? name : image::local_name(source).full();
  if (policy != "always" && images.find(stored)) return stored;
  if (policy == "never") {
    throw Error(Code::not_found,
                "no image '{}' here, and --pull never forbids to get it: run 'berth pull {}'",
                printable(name), printable(name));
  }
  if (!quiet && policy != "always")
    fmt::print(stderr, "Unable to find image '{}' locally\n", printable(name));
  image::PullOptions options;
  options.quiet = quiet;
  options.progress = STDERR_FILENO;
  images.pull(name, options);
  return stored;
}

}  // namespace berth::cli
