#include "image/layer_tree.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/statvfs.h>

#include <memory>
#include <string_view>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::image {
namespace {

using tar::clean_path;
using tar::find_status;
using tar::open_directory;
using tar::path_error;

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::string_view kAufsPrefix = ".wh..wh.";

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::vector<std::string> names_in(int directory) {
  UniqueFd own = duplicate(directory);
  const std::unique_ptr<DIR, CloseDirectory> list(::fdopendir(own.get()));
  if (!list) throw errno_error("list a folder");
  (void)own.release();
  ::rewinddir(list.get());
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(list.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

void remove_all(int folder, const std::string& name) {
  if (::unlinkat(folder, name.c_str(), 0) == 0 || errno == ENOENT) return;
  if (errno != EISDIR && errno != EPERM) throw path_error("remove " + printable(name));
  {
    const UniqueFd directory = open_directory(folder, name);
    for (const std::string& child : names_in(directory.get())) remove_all(directory.get(), child);
  }
  if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) != 0)
    throw path_error("remove the folder " + printable(name));
}

std::uint64_t free_space(int fd) {
  struct statvfs status {};
  check(::fstatvfs(fd, &status), "find the free disk space");
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

}  // namespace

LayerTree::LayerTree(const std::filesystem::path& directory, const UnpackLimits& limits)
    : writer_(tar::ConfinedRoot(directory), {}),
      limits_(limits),
      free_space_(free_space(writer_.root().fd())) {}

void LayerTree::begin_layer() {
  made_.clear();
  writer_.root().forget_folder();
}

void LayerTree::end_layer() {
  writer_.finish();
  begin_layer();
}

void LayerTree::count(archive_entry* entry) {
  if (++entries_ > limits_.entries)
    throw Error(Code::capacity, "the image has more than {} files", limits_.entries);
  if (archive_entry_hardlink(entry) != nullptr || archive_entry_filetype(entry) != AE_IFREG) return;
  const std::int64_t size = archive_entry_size(entry);
  if (size < 0) throw Error(Code::corrupt, "its size is negative");
  if (static_cast<std::uint64_t>(size) > limits_.bytes - bytes_)
    throw Error(Code::capacity, "the image unpacks to more than {}", format_binary_size(limits_.bytes));
  bytes_ += static_cast<std::uint64_t>(size);
  if (bytes_ > free_space_)
    throw Error(Code::capacity, "the image unpacks to more than the {} that are free on the disk",
                format_binary_size(free_space_));
}

void LayerTree::apply(archive_entry* entry, const tar::DataSource& data) {
  const char* name = archive_entry_pathname(entry);
  if (name == nullptr || *name == '\0') throw Error(Code::corrupt, "it has no name");
  for (const char* text : {name, archive_entry_hardlink(entry), archive_entry_symlink(entry)})
    if (text != nullptr && std::string_view(text).size() > limits_.name_length)
      throw Error(Code::corrupt, "its name or target is longer than {} bytes", limits_.name_length);
  count(entry);
  const std::string path = clean_path(name);
  if (path.empty()) return writer_.apply_to_root(entry);
  if (apply_whiteout(path)) return;
  const Place place = writer_.root().place(path);
  clear(place, archive_entry_hardlink(entry) == nullptr && archive_entry_filetype(entry) == AE_IFDIR);
  const Place fresh = writer_.root().place(path);
  std::optional<std::string> hard_link;
  if (const char* target = archive_entry_hardlink(entry)) hard_link = clean_path(target);
  writer_.make(entry, path, fresh, hard_link, data);
  made_.emplace(fresh.folder_inode, fresh.name);
}

bool LayerTree::apply_whiteout(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash);
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  if (!name.starts_with(kWhiteout)) return false;
  if (name == kOpaque) {
    const UniqueFd opened = writer_.root().open_folder(folder);
    const UniqueFd directory = open_directory(opened.get(), ".");
    remove_lower_content(directory.get());
  } else if (!name.starts_with(kAufsPrefix)) {
    const std::string hidden = name.substr(kWhiteout.size());
    if (hidden.empty() || hidden == "." || hidden == "..")
      throw Error(Code::corrupt, "it hides no valid name");
    const Place place = writer_.root().place(path);
    remove_lower(place.folder, place.folder_inode, hidden);
  }
  writer_.root().forget_folder();
  return true;
}

void LayerTree::remove_lower(int folder, ino_t folder_inode, const std::string& name) {
  const auto status = find_status(folder, name);
  if (!status) return;
  const bool made = made_.contains({folder_inode, name});
  if (!S_ISDIR(status->st_mode)) {
    if (!made && ::unlinkat(folder, name.c_str(), 0) != 0) throw path_error("remove " + printable(name));
    return;
  }
  {
    const UniqueFd directory = open_directory(folder, name);
    remove_lower_content(directory.get());
  }
  if (!made && ::unlinkat(folder, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOTEMPTY && errno != EEXIST)
    throw path_error("remove the folder " + printable(name));
}

void LayerTree::remove_lower_content(int directory) {
  struct stat status {};
  check(::fstat(directory, &status), "stat a folder");
  for (const std::string& name : names_in(directory)) remove_lower(directory, status.st_ino, name);
}

void LayerTree::clear(const Place& place, bool keep_directory) {
  const auto status = find_status(place.folder, place.name);
  if (!status || (keep_directory && S_ISDIR(status->st_mode))) return;
  remove_all(place.folder, place.name);
  writer_.root().forget_folder();
}

}  // namespace berth::image
