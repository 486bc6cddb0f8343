#include "image/workspace.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <vector>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"

namespace berth::image {
namespace {

namespace fs = std::filesystem;

void remove_when_dead(const fs::path& path) {
  try {
    const UniqueFd folder = open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (::flock(folder.get(), LOCK_EX | LOCK_NB) == 0) remove_tree(path);
  } catch (const Error& error) {
    // Its owner has removed it just now, or may; the work that needs a fresh folder does not depend on it.
    if (error.code() != Code::not_found) log::warning("{} stays behind: {}", path.string(), error.what());
  }
}

TempDir sweep_and_make(const fs::path& parent, const std::string& prefix) {
  std::error_code failure;
  std::vector<fs::path> others;
  for (fs::directory_iterator entry(parent, failure), end; !failure && entry != end; entry.increment(failure))
    if (entry->path().filename().string().starts_with(prefix)) others.push_back(entry->path());
  if (failure) throw errno_error("list " + parent.string(), failure.value());
  for (const fs::path& other : others) remove_when_dead(other);
  return TempDir(parent, prefix);
}

}  // namespace

Workspace::Workspace(const fs::path& parent, const std::string& prefix)
    : folder_(sweep_and_make(parent, prefix + "-")),
      lock_(open_file(folder_.path(), O_RDONLY | O_DIRECTORY)) {
  check(::flock(lock_.get(), LOCK_EX | LOCK_NB), "lock " + folder_.path().string());
}

}  // namespace berth::image
