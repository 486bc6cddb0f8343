#include "tether/session/program_lookup.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tether/session/launch_failure.hpp"

namespace berth::tether {
namespace {

/// 0, or the errno value that says why the file cannot be executed.
int executable_errno(const std::string& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return errno;
  if (S_ISDIR(status.st_mode)) return EISDIR;
  if (!S_ISREG(status.st_mode)) return EACCES;
  return ::faccessat(AT_FDCWD, file.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

}  // namespace

std::string find_program_file(const std::string& name, std::string_view path) {
  if (name.empty()) throw LaunchError(launch_failure::not_found, "exec: no command");
  if (name.find('/') != std::string::npos) {
    switch (const int failure = executable_errno(name)) {
      case 0:
        return name;
      case ENOENT:
      case ENOTDIR:
        throw LaunchError(launch_failure::not_found,
                          fmt::format("exec: \"{}\": stat {}: {}", name, name, std::strerror(failure)));
      default:
        throw LaunchError(launch_failure::not_executable,
                          fmt::format("exec: \"{}\": {}", name, std::strerror(failure)));
    }
  }
  for (bool last = false; !last;) {
    const std::size_t end = path.find(':');
    const std::string_view folder = path.substr(0, end);
    last = end == std::string_view::npos;
    if (!last) path.remove_prefix(end + 1);
    std::string file = fmt::format("{}/{}", folder.empty() ? "." : folder, name);
    if (executable_errno(file) == 0) return file;
  }
  throw LaunchError(launch_failure::not_found,
                    fmt::format("exec: \"{}\": executable file not found in $PATH", name));
}

}  // namespace berth::tether
