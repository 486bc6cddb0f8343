#include "image/workspace.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"

namespace berth::image {
namespace {

namespace fs = std::filesystem;

TempDir sweep_and_make(const fs::path& parent, const std::string& prefix) {
  for (const fs::directory_entry& entry : fs::directory_iterator(parent)) {
    if (!entry.path().filename().string().starts_with(prefix)) continue;
    try {
      const UniqueFd folder = open_file(entry.path(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (::flock(folder.get(), LOCK_EX | LOCK_NB) == 0) remove_tree(entry.path());
    } catch (const Error& error) {
      if (error.code() != Code::not_found)
        log::warning("{} stays behind: {}", entry.path().string(), error.what());
    }
  }
  return TempDir(parent, prefix);
}

}  // namespace

Workspace::Workspace(const fs::path& parent, const std::string& prefix)
    : folder_(sweep_and_make(parent, prefix + "-")),
      lock_(open_file(folder_.path(), O_RDONLY | O_DIRECTORY)) {
  check(::flock(lock_.get(), LOCK_EX | LOCK_NB), "lock " + folder_.path().string());
}

}  // namespace berth::image
