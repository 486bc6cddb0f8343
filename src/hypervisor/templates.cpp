#include "hypervisor/templates.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <ctime>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "describe/describe.hpp"
#include "describe/json.hpp"

namespace berth::hypervisor {

constexpr auto describe(const TemplateInfo*) {
  using namespace describe;
  return fields(field<&TemplateInfo::id>("ID"), field<&TemplateInfo::boot_id>("BootID"),
                field<&TemplateInfo::cpus>("CPUs"), field<&TemplateInfo::memory_bytes>("MemoryBytes"),
                field<&TemplateInfo::accelerator>("Accelerator"), field<&TemplateInfo::kernel>("Kernel"),
                field<&TemplateInfo::initramfs>("Initramfs"), field<&TemplateInfo::created>("Created"),
                field<&TemplateInfo::memory_modified>("MemoryModified"),
                field<&TemplateInfo::state_bytes>("StateBytes"),
                field<&TemplateInfo::state_hash>("StateHash"), field<&TemplateInfo::image>("Image"),
                field<&TemplateInfo::disk_modified>("DiskModified"));
}

constexpr auto describe(const TemplateStore::Failure*) {
  using namespace describe;
  using Failure = TemplateStore::Failure;
  return fields(field<&Failure::count>("Count"), field<&Failure::last>("Last"),
                field<&Failure::reason>("Reason"));
}

namespace {

namespace fs = std::filesystem;

constexpr const char* kMemory = "memory";
constexpr const char* kState = "state";
constexpr const char* kDisk = "disk";
constexpr const char* kInfo = "template.json";
constexpr std::string_view kLockSuffix = ".lock";
constexpr std::string_view kFailedPrefix = ".failed-";
constexpr std::size_t kStateLimit = 64u << 20;
constexpr std::int64_t kFirstBackOff = 60;  // seconds, as the next
constexpr std::int64_t kLongestBackOff = 3600;
constexpr std::int64_t kLongestDoubling = 6;
constexpr std::int64_t kForgotten = 24 * 3600;
/// Of one whose description could not be written, such as on a full disk.
constexpr std::int64_t kUnknownCount = 4;
constexpr const char* kLooking = "look at a template";

std::string draft_prefix(const std::string& id) {
  return fmt::format(".draft-{}-", id);
}

struct stat status_of(int fd) {
  struct stat status {};
  check(::fstat(fd, &status), kLooking);
  return status;
}

std::int64_t modified(const struct stat& status) {
  return std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

/// Nothing for what is no template, or none that can be read.
std::optional<TemplateInfo> read_info(const fs::path& folder, const std::string& id) {
  TemplateInfo info;
  try {
    const std::optional<std::string> text = find_file(folder / kInfo);
    if (!text) return std::nullopt;
    describe::from_json(*text, info);
  } catch (const Error&) {
    return std::nullopt;
  }
  return info.id == id ? std::optional(std::move(info)) : std::nullopt;
}

std::optional<TemplateInfo> read_info(const fs::directory_entry& entry) {
  std::error_code vanished;
  if (!entry.is_directory(vanished)) return std::nullopt;
  return read_info(entry.path(), entry.path().filename().string());
}

/// Throws what is wrong with it.
Template open_template(const fs::path& folder, const std::string& id, const std::string& boot_id) {
  const std::optional<TemplateInfo> info = read_info(folder, id);
  if (!info) throw Error(Code::corrupt, "what is known of it cannot be read");
  if (info->boot_id != boot_id) throw Error(Code::wrong_state, "it was made before the host's last boot");
  Template opened{info->id, open_file(folder / kMemory, O_RDONLY | O_NOFOLLOW),
                  open_file(folder / kState, O_RDONLY | O_NOFOLLOW),
                  info->disk_modified != 0 ? open_file(folder / kDisk, O_RDONLY | O_NOFOLLOW) : UniqueFd()};
  const struct stat memory = status_of(opened.memory.get());
  if (static_cast<std::uint64_t>(memory.st_size) != info->memory_bytes ||
      modified(memory) != info->memory_modified) {
    throw Error(Code::corrupt, "its memory has changed");
  }
  if (file_bytes(opened.state.get(), kLooking) != info->state_bytes ||
      state_hash(opened.state.get()) != info->state_hash) {
    throw Error(Code::corrupt, "its state has changed");
  }
  if (opened.disk && modified(status_of(opened.disk.get())) != info->disk_modified)
    throw Error(Code::corrupt, "its disk has changed");
  return opened;
}

std::uint64_t bytes_on_disk(const fs::path& folder) {
  std::uint64_t bytes = 0;
  for (const char* name : {kMemory, kState, kDisk}) bytes += allocated_bytes(folder / name);
  return bytes;
}

std::int64_t seconds(const Clock& clock) {
  return std::chrono::duration_cast<std::chrono::seconds>(clock.now()).count();
}

std::int64_t back_off(std::int64_t failures) {
  return std::min(kLongestBackOff,
                  kFirstBackOff << std::clamp<std::int64_t>(failures - 1, 0, kLongestDoubling));
}

std::int64_t last_use(const fs::path& folder) {
  struct stat status {};
  return ::stat((folder / kInfo).c_str(), &status) == 0 ? status.st_mtim.tv_sec : 0;
}

}  // namespace

std::string state_hash(int fd) {
  std::string bytes(file_bytes(fd, kLooking), '\0');
  if (bytes.size() > kStateLimit) throw Error(Code::corrupt, "a machine's state has {} bytes", bytes.size());
  const ssize_t n = ::pread(fd, bytes.data(), bytes.size(), 0);
  if (n != static_cast<ssize_t>(bytes.size())) throw Error(Code::corrupt, "a machine's state is cut short");
  return fmt::format("{:016x}", fnv1a(bytes));
}

TemplateStore::TemplateStore(fs::path folder, Limits limits)
    : folder_(std::move(folder)),
      limits_(limits),
      boot_id_(trim(read_file("/proc/sys/kernel/random/boot_id"))) {}

bool TemplateStore::contains(const std::string& id) const {
  try {
    open_template(place(id), id, boot_id_);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::optional<Template> TemplateStore::find(const std::string& id) {
  // Another may take its place meanwhile: this one's files are those of one folder.
  const UniqueFd folder(::open(place(id).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) return std::nullopt;
  const fs::path files = fmt::format("/proc/self/fd/{}", folder.get());
  try {
    Template opened = open_template(files, id, boot_id_);
    ::utimensat(AT_FDCWD, (files / kInfo).c_str(), nullptr, 0);
    return opened;
  } catch (const Error& error) {
    log::warning("template {} cannot be used: {}", id, error.what());
    struct stat now {};
    if (::stat(place(id).c_str(), &now) == 0 && now.st_ino == status_of(folder.get()).st_ino) discard(id);
    return std::nullopt;
  }
}

void TemplateStore::discard(const std::string& id) {
  try {
    remove_tree(place(id));
  } catch (const Error& error) {
    log::warning("template {}: {}", id, error.what());
  }
}

TemplateStore::Draft::~Draft() {
  // Moved from, or kept.
  if (lock_.fd() < 0 || folder_.path().empty()) return;
  try {
    remove_tree(folder_.release());
    lock_.remove_file();
  } catch (const Error& error) {
    log::warning("{}", error.what());
  }
}

/// Of makers that were killed; the caller holds the lock.
void TemplateStore::sweep_drafts(const std::string& id) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
    if (entry.path().filename().string().starts_with(draft_prefix(id))) remove_tree(entry.path());
  }
}

std::optional<TemplateStore::Draft> TemplateStore::begin(const std::string& id, std::uint64_t memory_bytes) {
  make_directories(folder_, 0700);
  std::optional<FileLock> lock = FileLock::try_acquire(folder_ / (id + std::string(kLockSuffix)));
  if (!lock) return std::nullopt;
  sweep_drafts(id);
  Draft draft(std::move(*lock), TempDir(folder_, draft_prefix(id)));
  draft.memory_ = open_file(draft.folder_.path() / kMemory, O_RDWR | O_CREAT | O_EXCL);
  draft.state_ = open_file(draft.folder_.path() / kState, O_RDWR | O_CREAT | O_EXCL);
  check(::ftruncate(draft.memory(), static_cast<off_t>(memory_bytes)), "make a template's memory");
  return draft;
}

void TemplateStore::Draft::add_disk(const std::function<void(const fs::path&)>& make) {
  make(folder_.path() / kDisk);
  disk_ = open_file(folder_.path() / kDisk, O_RDWR);
}

void TemplateStore::keep(Draft draft, TemplateInfo info, const Clock& clock) {
  for (const int fd : {draft.memory(), draft.state(), draft.disk()}) {
    if (fd >= 0) seal_file(fd, "a template's file");
  }
  info.boot_id = boot_id_;
  info.created = format_time(clock.now());
  info.memory_bytes = file_bytes(draft.memory(), kLooking);
  info.memory_modified = modified(status_of(draft.memory()));
  info.state_bytes = file_bytes(draft.state(), kLooking);
  info.state_hash = state_hash(draft.state());
  if (draft.disk() >= 0) info.disk_modified = modified(status_of(draft.disk()));
  write_file_atomically(draft.folder_.path() / kInfo, describe::to_json(info, {.indent = true}));
  remove_tree(place(info.id));
  fs::rename(draft.folder_.path(), place(info.id));
  draft.folder_.release();
  draft.lock_.remove_file();
  std::error_code missing;
  fs::remove(failure_place(info.id), missing);
  keep_within_limits(info.id);
}

std::optional<TemplateStore::Failure> TemplateStore::find_failure(const std::string& id) const {
  struct stat status {};
  if (::stat(failure_place(id).c_str(), &status) != 0) return std::nullopt;
  Failure failure;
  try {
    describe::from_json(find_file(failure_place(id)).value_or(""), failure);
  } catch (const Error&) {
    failure = {kUnknownCount, status.st_mtim.tv_sec, "the reason could not be kept"};
  }
  return failure;
}

/// Nobody asks for templates of earlier boots and programs any more.
void TemplateStore::sweep_failures(std::int64_t now) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kFailedPrefix)) continue;
    const auto failure = find_failure(name.substr(kFailedPrefix.size()));
    std::error_code vanished;
    if (failure && now - failure->last > kForgotten) fs::remove(entry.path(), vanished);
  }
}

void TemplateStore::note_failure(const std::string& id, std::string_view reason, const Clock& clock) {
  Failure failure = find_failure(id).value_or(Failure());
  failure.count = std::clamp<std::int64_t>(failure.count, 0, kLongestDoubling) + 1;
  failure.last = seconds(clock);
  failure.reason = printable(reason);
  try {
    make_directories(folder_, 0700);
    sweep_failures(failure.last);
    // Its place alone says something, and needs no block of a full disk.
    open_file(failure_place(id), O_WRONLY | O_CREAT | O_TRUNC);
    write_file_atomically(failure_place(id), describe::to_json(failure, {.indent = true}));
  } catch (const Error& error) {
    log::warning("the failure to make template {} is not kept: {}", id, error.what());
  }
}

std::optional<TemplateStore::Failure> TemplateStore::backs_off(const std::string& id,
                                                               const Clock& clock) const {
  std::optional<Failure> failure = find_failure(id);
  if (!failure) return std::nullopt;
  const std::int64_t past = seconds(clock) - failure->last;
  if (past < 0 || past >= back_off(failure->count)) return std::nullopt;
  return failure;
}

std::vector<TemplateStore::Entry> TemplateStore::list() const {
  std::vector<Entry> entries;
  std::error_code missing;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, missing)) {
    std::optional<TemplateInfo> info = read_info(entry);
    if (!info) continue;
    const bool usable = info->boot_id == boot_id_;
    entries.push_back({std::move(*info), bytes_on_disk(entry.path()), last_use(entry.path()), usable});
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.last_used > b.last_used; });
  return entries;
}

void TemplateStore::keep_within_limits(const std::string& newest) {
  std::size_t count = 0;
  std::uint64_t bytes = 0;
  for (const Entry& entry : list()) {
    ++count;
    bytes += entry.bytes;
    const bool fits = count <= limits_.count && bytes <= limits_.bytes && entry.usable;
    if (!fits && entry.info.id != newest) remove_tree(place(entry.info.id));
  }
}

std::string TemplateStore::remove(std::string_view id) {
  std::string found;
  for (const Entry& entry : list()) {
    if (id.empty() || !entry.info.id.starts_with(id)) continue;
    if (!found.empty())
      throw Error(Code::invalid_argument, "several templates begin with \"{}\"", printable(id));
    found = entry.info.id;
  }
  if (found.empty()) throw Error(Code::not_found, "there is no template \"{}\"", printable(id));
  remove_tree(place(found));
  return found;
}

std::vector<std::string> TemplateStore::prune(bool all) {
  std::vector<std::string> removed;
  std::error_code missing;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, missing)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kLockSuffix)) {
      if (std::optional<FileLock> lock = FileLock::try_acquire(entry.path())) {
        sweep_drafts(name.substr(0, name.size() - kLockSuffix.size()));
        lock->remove_file();
      }
      continue;
    }
    if (name.starts_with(kFailedPrefix)) {
      std::error_code vanished;
      fs::remove(entry.path(), vanished);
    }
    if (name.starts_with(".")) continue;
    const std::optional<TemplateInfo> info = read_info(entry);
    if (info && info->boot_id == boot_id_ && !all) continue;
    remove_tree(entry.path());
    removed.push_back(name);
  }
  return removed;
}

}  // namespace berth::hypervisor
