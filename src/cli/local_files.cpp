#include "cli/local_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "tar/copy_path.hpp"
#include "tar/pack.hpp"

namespace berth::cli {
namespace {

struct stat status_of(int fd) {
  struct stat status {};
  check(::fstat(fd, &status), "stat");
  return status;
}

UniqueFd open_path(const std::string& path, int flags, const std::string& asked) {
  UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC | flags));
  if (!fd) throw errno_error(printable(asked, 300));
  return fd;
}

}  // namespace

std::string absolute_local_path(const std::string& path) {
  if (path.empty()) throw Error(Code::invalid_argument, "a path cannot be empty");
  return path.starts_with('/') ? path : std::filesystem::current_path().string() + "/" + path;
}

LocalSource::LocalSource(const std::string& asked, bool follow) {
  const tar::CopyPath path = tar::parse_copy_path(absolute_local_path(asked));
  UniqueFd found = open_path("/" + path.clean, follow || path.folder ? 0 : O_NOFOLLOW, asked);
  source_ = {path.name(), S_ISDIR(status_of(found.get()).st_mode)};
  if (path.folder && !source_.folder)
    throw Error(Code::invalid_argument, "{}: not a directory", printable(asked, 300));
  if (source_.folder) {
    folder_ = std::move(found);
    entry_ = ".";
    return;
  }
  tar::CopyPath place = path;
  if (follow) place.clean = tar::resolve_links(tar::ConfinedRoot("/"), path.clean);
  folder_ = open_path("/" + place.parent(), O_DIRECTORY, asked);
  entry_ = place.name();
}

std::vector<std::string> LocalSource::pack(const std::string& name, const tar::Sink& sink) const {
  return tar::pack(folder_.get(), entry_, name, sink);
}

CopyDestination look_at_destination(const std::string& asked) {
  const std::string path = absolute_local_path(asked);
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode))
      throw Error(Code::invalid_argument, "destination \"{}\" must be a directory or a regular file",
                  printable(asked, 300));
    // A file is replaced where a link leads to, as its folder is what is written.
    if (S_ISDIR(status.st_mode)) return {path, true, true};
    return {"/" + tar::resolve_links(tar::ConfinedRoot("/"), tar::parse_copy_path(path).clean), true, false};
  }
  if (errno != ENOENT && errno != ENOTDIR) throw errno_error(printable(asked, 300));
  const tar::CopyPath parsed = tar::parse_copy_path(path);
  const std::string end = parsed.content ? "/." : parsed.folder ? "/" : "";
  return {"/" + tar::resolve_links(tar::ConfinedRoot("/"), parsed.clean) + end, false, false};
}

tar::ConfinedRoot open_local_folder(const std::string& path) {
  UniqueFd folder(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder && errno == ENOENT)
    throw Error(Code::not_found, "invalid output path: directory \"{}\" does not exist",
                printable(path, 300));
  if (!folder) throw errno_error(printable(path, 300));
  return tar::ConfinedRoot(std::move(folder));
}

}  // namespace berth::cli
