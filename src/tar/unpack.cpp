#include "tar/unpack.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <cerrno>
#include <unordered_set>

#include "base/error.hpp"
#include "base/text.hpp"
#include "tar/archive_reader.hpp"
#include "tar/byte_locale.hpp"

namespace berth::tar {
namespace {

/// Longest name and target, in bytes.
constexpr std::size_t kNameLimit = 4096;
/// Links of one archive; each is remembered.
constexpr std::size_t kLinkLimit = 1'000'000;

class Unpacking {
 public:
  Unpacking(ConfinedRoot root, const UnpackRules& rules)
      : rules_(rules), writer_(std::move(root), rules.write) {}

  void apply(archive_entry* entry, const DataSource& data);
  void finish() { writer_.finish(); }
  const std::vector<std::string>& warnings() const { return writer_.warnings(); }

 private:
  std::string path_of(std::string_view name) const;
  void check_links(const std::string& path) const;
  void remember_link(const std::string& path);
  bool make_room(const std::string& path, const ConfinedRoot::Place& place, bool is_folder);

  const UnpackRules& rules_;
  TreeWriter writer_;
  std::unordered_set<std::size_t> links_;  ///< hashes of the paths of the archive's own
};

/// Where the archive's name goes: a clean path below the root.
std::string Unpacking::path_of(std::string_view name) const {
  std::string path = clean_path(name);
  if (rules_.top) {
    const std::string& top = *rules_.top;
    const bool inside = path == top || (path.starts_with(top) && path[top.size()] == '/');
    if (!inside)
      throw Error(Code::corrupt, "it is not part of \"{}\", which is all that was asked for",
                  printable(top, 300));
    path.erase(0, path == top ? top.size() : top.size() + 1);
  }
  if (rules_.place.empty() || path.empty()) return rules_.place + path;
  return rules_.place + "/" + path;
}

void Unpacking::check_links(const std::string& path) const {
  if (links_.empty()) return;
  for (std::size_t end = path.find('/'); end != std::string::npos; end = path.find('/', end + 1)) {
    const std::string_view folder = std::string_view(path).substr(0, end);
    if (links_.contains(std::hash<std::string_view>()(folder)))
      throw Error(Code::corrupt, "it leads through the link \"{}\" of the same archive",
                  printable(folder, 300));
  }
}

void Unpacking::remember_link(const std::string& path) {
  if (links_.size() >= kLinkLimit)
    throw Error(Code::capacity, "the archive has more than {} symbolic links", kLinkLimit);
  links_.insert(std::hash<std::string_view>()(path));
}

/// False when there is nothing left to do.
bool Unpacking::make_room(const std::string& path, const ConfinedRoot::Place& place, bool is_folder) {
  const auto there = find_status(place.folder, place.name);
  if (!there) return true;
  const bool folder_there = S_ISDIR(there->st_mode);
  if (folder_there != is_folder) {
    throw Error(Code::conflict, "cannot overwrite {} \"/{}\" with {}",
                folder_there ? "directory" : "non-directory", printable(path, 300),
                is_folder ? "directory" : "non-directory");
  }
  if (folder_there) return path != rules_.place || rules_.top;
  if (::unlinkat(place.folder, place.name.c_str(), 0) != 0 && errno != ENOENT)
    throw errno_error("replace /" + printable(path, 300));
  return true;
}

void Unpacking::apply(archive_entry* entry, const DataSource& data) {
  const char* name = archive_entry_pathname(entry);
  const char* link = archive_entry_hardlink(entry);
  if (name == nullptr || *name == '\0') throw Error(Code::corrupt, "it has no name");
  for (const char* text : {name, link, archive_entry_symlink(entry)})
    if (text != nullptr && std::string_view(text).size() > kNameLimit)
      throw Error(Code::corrupt, "its name or target is longer than {} bytes", kNameLimit);
  const bool is_folder = link == nullptr && archive_entry_filetype(entry) == AE_IFDIR;
  const std::string path = path_of(name);
  if (path.empty()) {
    if (!is_folder) throw Error(Code::corrupt, "the root is no folder");
    return;
  }
  check_links(path);
  std::optional<std::string> hard_link;
  if (link != nullptr) {
    hard_link = path_of(link);
    check_links(*hard_link);
    if (*hard_link == path) throw Error(Code::corrupt, "it is a hard link to itself");
  }
  const ConfinedRoot::Place place = writer_.root().place(path);
  if (!make_room(path, place, is_folder)) return;
  writer_.make(entry, path, place, hard_link, data);
  if (link == nullptr && archive_entry_filetype(entry) == AE_IFLNK) remember_link(path);
}

void apply_entries(ArchiveReader& reader, Unpacking& unpacking) {
  archive_entry* entry = nullptr;
  const DataSource data = [&](const void*& bytes, std::size_t& size, std::int64_t& offset) {
    const int step = archive_read_data_block(reader.get(), &bytes, &size, &offset);
    if (step != ARCHIVE_OK && step != ARCHIVE_EOF) reader.fail();
    return step == ARCHIVE_OK;
  };
  while (true) {
    const int result = archive_read_next_header(reader.get(), &entry);
    if (result == ARCHIVE_EOF) return;
    if (result < ARCHIVE_WARN) reader.fail();
    const char* name = archive_entry_pathname(entry);
    try {
      unpacking.apply(entry, data);
    } catch (Error& error) {
      error.add_context(fmt::format("\"{}\" of the archive", printable(name ? name : "", 300)));
      throw;
    }
  }
}

}  // namespace

std::vector<std::string> unpack(const Source& source, ConfinedRoot root, const UnpackRules& rules) {
  const ByteLocale locale;
  ArchiveReader reader(source);
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_empty(reader.get());
  reader.open();
  Unpacking unpacking(std::move(root), rules);
  apply_entries(reader, unpacking);
  unpacking.finish();
  while (!source().empty()) {
  }
  return unpacking.warnings();
}

}  // namespace berth::tar
