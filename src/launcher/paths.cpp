#include "launcher/paths.hpp"

#include <stdlib.h>
#include <unistd.h>

#include "base/error.hpp"
#include "volume/store.hpp"

namespace berth::launcher {
namespace {

namespace fs = std::filesystem;

fs::path from_environment(const char* name) {
  const char* value = ::getenv(name);
  return value != nullptr && *value == '/' ? fs::path(value) : fs::path();
}

fs::path default_data() {
  if (::geteuid() == 0) return "/var/lib/berth";
  if (const fs::path data = from_environment("XDG_DATA_HOME"); !data.empty()) return data / "berth";
  if (const fs::path home = from_environment("HOME"); !home.empty()) return home / ".local/share/berth";
  throw Error(Code::invalid_argument,
              "neither HOME nor XDG_DATA_HOME is set: say with --root where berth keeps its data");
}

fs::path default_runtime() {
  if (::geteuid() == 0) return "/run/berth";
  if (const fs::path runtime = from_environment("XDG_RUNTIME_DIR"); !runtime.empty())
    return runtime / "berth";
  return "/tmp/berth-" + std::to_string(::geteuid());
}

fs::path default_programs() {
  fs::path self = fs::read_symlink("/proc/self/exe").parent_path();
  if (fs::exists(self / "berth-launcher")) return self;
  return self.parent_path() / "lib/berth";
}

}  // namespace

Paths Paths::of_this_user() {
  Paths paths;
  paths.data = from_environment("BERTH_ROOT");
  if (paths.data.empty()) paths.data = default_data();
  paths.runtime = from_environment("BERTH_RUNTIME");
  if (paths.runtime.empty()) paths.runtime = default_runtime();
  paths.programs = default_programs();
  return paths;
}

std::filesystem::path Paths::volume_image(std::string_view id) const {
  return volume::image_of(volumes(), id);
}

}  // namespace berth::launcher
