#include "image/store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "image/digest.hpp"
#include "image/pull.hpp"
#include "image/workspace.hpp"

namespace berth::image {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kLockLimit{60};
constexpr std::string_view kSourceAnnotation = "berth.image.source.digest";
constexpr std::size_t kShortestPrefix = 2;

std::string annotation(const Descriptor& entry, std::string_view key) {
  const auto found = entry.annotations.find(std::string(key));
  return found == entry.annotations.end() ? "" : found->second;
}

std::string name_of(const Descriptor& entry) {
  return annotation(entry, kRefNameAnnotation);
}

/// The hex digits of an id or a prefix of one, or nothing when the text cannot be that.
std::optional<std::string_view> id_prefix(std::string_view text) {
  if (text.starts_with("sha256:")) text.remove_prefix(7);
  if (text.size() < kShortestPrefix || text.size() > 64) return std::nullopt;
  if (text.find_first_not_of("0123456789abcdef") != std::string_view::npos) return std::nullopt;
  return text;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failure;
  for (fs::directory_iterator entry(folder, failure), end; !failure && entry != end; entry.increment(failure))
    names.push_back(entry->path().filename());
  if (failure) throw errno_error("list " + folder.string(), failure.value());
  return names;
}

void remove_file(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw errno_error("remove " + path.string());
}

/// Every blob of the store under its name in `folder` too; how many there are.
std::size_t link_blobs(const fs::path& blobs, const fs::path& folder) {
  const std::vector<std::string> names = names_in(blobs);
  for (const std::string& name : names)
    check(::link((blobs / name).c_str(), (folder / name).c_str()), "link " + (blobs / name).string());
  return names.size();
}

/// What a process killed while it replaced index.json left; the caller holds the lock.
void remove_unfinished_indexes(const fs::path& root) {
  for (const std::string& name : names_in(root))
    if (name.starts_with("index.json.")) remove_file(root / name);
}

fs::path absolute_path(const fs::path& path) {
  std::error_code failure;
  fs::path absolute = fs::absolute(path, failure);
  if (failure) throw errno_error("find the current folder", failure.value());
  return absolute;
}

void sync(const fs::path& path) {
  const UniqueFd fd = open_file(path, O_RDONLY);
  check(::fsync(fd.get()), "write " + path.string());
}

Nanoseconds creation_time(const ImageConfig& config) {
  if (config.created.empty()) return Nanoseconds(0);
  try {
    return parse_time(config.created, Nanoseconds(0));
  } catch (const Error&) {
    return Nanoseconds(0);
  }
}

bool matches(const Descriptor& entry, const Reference& wanted) {
  const std::string name = name_of(entry);
  if (name.empty()) return false;
  if (name == wanted.full()) return true;
  if (wanted.digest.empty()) return false;
  return parse_reference(name).name() == wanted.name() &&
         (entry.digest == wanted.digest || annotation(entry, kSourceAnnotation) == wanted.digest);
}

}  // namespace

Store::Store(const fs::path& root) : root_(absolute_path(root)) {
  const auto complete = [&] { return ::access((root_ / "index.json").c_str(), F_OK) == 0; };
  for (const char* folder : {"", "rootfs", "blobs", "blobs/sha256", "tmp", "locks"})
    make_directories(root_ / folder);
  if (complete()) return;
  const FileLock held = lock();
  if (complete()) return;
  // The file systems are opened by name by an emulator that runs as another user.
  for (const fs::path& open : {root_, root_ / "rootfs"})
    check(::chmod(open.c_str(), 0711), "set the mode of " + open.string());
  write_file_atomically(root_ / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  write_index({});
}

FileLock Store::lock() const {
  return FileLock::acquire(root_ / "lock", kLockLimit, "the image store");
}

fs::path Store::blob_path(std::string_view digest) const {
  return root_ / "blobs/sha256" / hex_of(digest);
}

fs::path Store::rootfs_path(const std::vector<std::string>& diff_ids) const {
  return root_ / "rootfs" / (std::string(hex_of(chain_id(diff_ids))) + ".erofs");
}

Index Store::read_index() const {
  return parse_index(read_file(root_ / "index.json"), "the image store's " + (root_ / "index.json").string());
}

void Store::write_index(const Index& index) const {
  write_file_atomically(root_ / "index.json", serialize_index(index));
}

Image Store::load(const Descriptor& entry) const {
  try {
    Image image;
    if (const std::string name = name_of(entry); !name.empty()) image.reference = parse_reference(name);
    image.manifest_digest = entry.digest;
    image.source_digest = annotation(entry, kSourceAnnotation);
    const Manifest manifest =
        parse_manifest(read_file(blob_path(entry.digest), kManifestLimit), "its manifest");
    image.id = manifest.config.digest;
    image.config = parse_config(read_file(blob_path(image.id), kConfigLimit), "its config");
    image.created = creation_time(image.config);
    image.size = entry.size + manifest.config.size;
    if (image.config.diff_ids.size() != manifest.layers.size())
      throw Error(Code::corrupt, "its manifest and its config differ in the number of layers");
    for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
      const Descriptor& layer = manifest.layers[i];
      image.layers.push_back({layer.digest, image.config.diff_ids[i], layer.size});
      image.size += layer.size;
    }
    return image;
  } catch (const Error& error) {
    const std::string name =
        name_of(entry).empty() ? entry.digest : parse_reference(name_of(entry)).familiar();
    throw Error(Code::corrupt, "the stored image {} is damaged: {}; pull it again", name, error.what());
  }
}

Image Store::pull(std::string_view text, const PullOptions& options) {
  Source source = parse_source(text);
  if (source.transport != Transport::registry) source.path = absolute_path(source.path);
  const Reference name = local_name(source);
  const auto attempt = [&](bool reuse, std::size_t* reused) {
    std::optional<Workspace> workspace;
    {
      const FileLock held = lock();
      remove_unfinished_indexes(root_);
      workspace.emplace(root_ / "tmp", "pull");
      make_directories(workspace->path() / "blobs/sha256");
      if (reuse) *reused = link_blobs(root_ / "blobs/sha256", workspace->path() / "blobs/sha256");
    }
    const Fetched fetched = fetch(source, options, workspace->path());
    return enter(name, fetched.source_digest, fetched.manifest, fetched.blobs);
  };
  std::size_t reused = 0;
  try {
    return attempt(true, &reused);
  } catch (const Error& error) {
    // The damage may be in a blob of ours; a fresh copy replaces it.
    if (error.code() != Code::corrupt || reused == 0) throw;
  }
  return attempt(false, nullptr);
}

Image Store::enter(const Reference& name, const std::string& source_digest, const Descriptor& manifest,
                   const fs::path& blobs) {
  const Manifest parsed =
      parse_manifest(read_file(blobs / hex_of(manifest.digest), kManifestLimit), name.familiar());
  std::set<std::string> digests{manifest.digest, parsed.config.digest};
  for (const Descriptor& layer : parsed.layers) digests.insert(layer.digest);
  for (const std::string& digest : digests) sync(blobs / hex_of(digest));

  const FileLock held = lock();
  for (const std::string& digest : digests)
    check(::rename((blobs / hex_of(digest)).c_str(), blob_path(digest).c_str()), "keep " + digest);
  sync(root_ / "blobs/sha256");

  Index index = read_index();
  Descriptor entry = manifest;
  entry.annotations = {{std::string(kRefNameAnnotation), name.full()}};
  if (!source_digest.empty()) entry.annotations.emplace(kSourceAnnotation, source_digest);
  for (Descriptor& other : index.manifests)
    if (name_of(other) == name.full()) other.annotations.erase(std::string(kRefNameAnnotation));
  index.manifests.push_back(entry);
  // A manifest with a name needs no entry without one.
  std::set<std::string> named;
  for (const Descriptor& other : index.manifests)
    if (!name_of(other).empty()) named.insert(other.digest);
  std::set<std::string> unnamed;
  std::erase_if(index.manifests, [&](const Descriptor& other) {
    return name_of(other).empty() && (named.contains(other.digest) || !unnamed.insert(other.digest).second);
  });
  write_index(index);
  return load(entry);
}

std::vector<const Descriptor*> Store::select(const Index& index, std::string_view text) const {
  std::vector<const Descriptor*> found;
  const auto prefix = id_prefix(text);
  const bool only_id = text.starts_with("sha256:") || (prefix && prefix->size() == 64);
  if (!only_id) {
    const std::optional<Reference> wanted = prefix ? find_reference(text) : parse_reference(text);
    for (const Descriptor& entry : index.manifests)
      if (wanted && matches(entry, *wanted)) found.push_back(&entry);
    if (!found.empty() || !prefix) return found;
  }
  if (!prefix) return found;
  std::set<std::string> ids;
  for (const Descriptor& entry : index.manifests) {
    const std::string id = find_id(entry);
    if (!hex_of(id).starts_with(*prefix)) continue;
    ids.insert(id);
    found.push_back(&entry);
  }
  if (ids.size() > 1)
    throw Error(Code::invalid_argument, "\"{}\" begins the ids of {} images; give more digits",
                printable(text), ids.size());
  return found;
}

std::optional<Image> Store::find(std::string_view name) const {
  const FileLock held = lock();
  const Index index = read_index();
  const auto found = select(index, name);
  if (found.empty()) return std::nullopt;
  return load(*found.front());
}

Image Store::get(std::string_view name) const {
  if (auto image = find(name)) return *image;
  throw Error(Code::not_found, "no image {} here; pull it with: berth pull {}", printable(name),
              printable(name));
}

Image Store::get_manifest(std::string_view digest) const {
  const FileLock held = lock();
  for (const Descriptor& entry : read_index().manifests)
    if (entry.digest == digest) return load(entry);
  throw Error(Code::not_found, "no image with the manifest {} here", printable(digest));
}

std::vector<Image> Store::list() const {
  const FileLock held = lock();
  std::vector<Image> images;
  for (const Descriptor& entry : read_index().manifests) {
    try {
      images.push_back(load(entry));
    } catch (const Error& error) {
      log::warning("{}", error.what());
    }
  }
  std::stable_sort(images.begin(), images.end(),
                   [](const Image& a, const Image& b) { return a.created > b.created; });
  return images;
}

Removed Store::remove(std::string_view name, bool force) {
  const FileLock held = lock();
  Index index = read_index();
  std::set<std::pair<std::string, std::string>> doomed;
  std::set<std::string> names;
  for (const Descriptor* entry : select(index, name)) {
    doomed.emplace(entry->digest, name_of(*entry));
    names.insert(name_of(*entry));
  }
  if (doomed.empty())
    throw Error(Code::not_found, "no image {} here; berth images lists them", printable(name));
  if (names.size() > 1 && !force)
    throw Error(Code::conflict, "the image {} has several names; remove them one by one, or all with --force",
                printable(name));

  Removed removed;
  for (const std::string& full : names)
    if (!full.empty()) removed.untagged.push_back(parse_reference(full).familiar());
  std::set<std::string> ids;
  for (const Descriptor& entry : index.manifests)
    if (doomed.contains({entry.digest, name_of(entry)})) ids.insert(find_id(entry));
  std::erase_if(index.manifests, [&](const Descriptor& entry) {
    return doomed.contains({entry.digest, name_of(entry)});
  });
  for (const Descriptor& entry : index.manifests) ids.erase(find_id(entry));
  for (const std::string& id : ids)
    if (!id.empty()) removed.deleted.push_back(id);
  write_index(index);
  collect_garbage(index);
  return removed;
}

std::string Store::find_id(const Descriptor& entry) const {
  const auto document = find_file(blob_path(entry.digest), kManifestLimit);
  if (!document) return "";
  try {
    return parse_manifest(*document, "a stored manifest").config.digest;
  } catch (const Error& error) {
    log::warning("the stored image {} is damaged: {}", entry.digest, error.what());
    return "";
  }
}

bool Store::uses_rootfs(const std::vector<std::string>& diff_ids) const {
  const Index index = read_index();
  return std::any_of(index.manifests.begin(), index.manifests.end(),
                     [&](const Descriptor& entry) { return load(entry).config.diff_ids == diff_ids; });
}

void Store::collect_garbage(const Index& index) const {
  std::set<std::string> used;
  for (const Descriptor& entry : index.manifests) {
    try {
      const Image image = load(entry);
      for (const std::string& digest : {image.manifest_digest, image.id})
        used.insert(std::string(hex_of(digest)));
      for (const Layer& layer : image.layers) used.insert(std::string(hex_of(layer.digest)));
      used.insert(rootfs_path(image.config.diff_ids).filename());
    } catch (const Error& error) {
      // What a damaged image uses is not known, and pulling it again may still use it.
      log::warning("{}", error.what());
      return;
    }
  }
  for (const char* folder : {"blobs/sha256", "rootfs"})
    for (const std::string& name : names_in(root_ / folder))
      if (!used.contains(name)) remove_file(root_ / folder / name);
}

}  // namespace berth::image
