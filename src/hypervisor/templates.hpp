#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/files.hpp"
#include "base/unique_fd.hpp"
#include "hypervisor/hypervisor.hpp"

namespace berth::hypervisor {

/// By which a file with the state of a frozen machine is known to be whole. Throws corrupt.
std::string state_hash(int state_file);

/// What is known of a template.
struct TemplateInfo {
  std::string id;       ///< 16 hex digits, made of all that its clones have in common with it
  std::string boot_id;  ///< of the host's boot that it was made in; later ones do not use it
  unsigned cpus = 0;
  std::uint64_t memory_bytes = 0;
  std::string accelerator;
  std::string kernel;                ///< path
  std::string initramfs;             ///< path
  std::string created;               ///< RFC 3339
  std::int64_t memory_modified = 0;  ///< nanoseconds since 1970-01-01 UTC, of the memory file
  std::uint64_t state_bytes = 0;
  std::string state_hash;          ///< FNV-1a
  std::string image;               ///< that its clones' containers are of; empty: any
  std::int64_t disk_modified = 0;  ///< as memory_modified, of the disk; 0: it has none
};

/// A template's open files, for FrozenMachine.
struct Template {
  std::string id;
  UniqueFd memory;
  UniqueFd state;
  UniqueFd disk;  ///< what its machine has written to the disk that a clone needs a copy of; may be none
};

/// Frozen machines below one folder, each in a folder of its own (docs/templates.md). Safe for many processes
/// at once.
class TemplateStore {
 public:
  struct Limits {
    std::size_t count = 16;
    std::uint64_t bytes = std::uint64_t{8} << 30;  ///< on disk
  };

  explicit TemplateStore(std::filesystem::path folder) : TemplateStore(std::move(folder), Limits{}) {}
  TemplateStore(std::filesystem::path folder, Limits limits);

  /// Nothing when there is none that can be used; one that is damaged or of another boot is removed.
  std::optional<Template> find(const std::string& id);
  /// Whether there is one that can be used.
  bool contains(const std::string& id) const;
  /// Removes what turned out to be of no use; one that is not there is fine.
  void discard(const std::string& id);

  /// A template in the making: its files are the caller's to fill. Goes away unless it is kept.
  class Draft {
   public:
    Draft(Draft&&) noexcept = default;
    Draft& operator=(Draft&&) = delete;
    ~Draft();
    int memory() const { return memory_.get(); }
    int state() const { return state_.get(); }
    int disk() const { return disk_.get(); }  ///< -1: none
    /// Gives it a disk, whose raw file `make` makes.
    void add_disk(const std::function<void(const std::filesystem::path&)>& make);

   private:
    friend class TemplateStore;
    Draft(FileLock lock, TempDir folder) : lock_(std::move(lock)), folder_(std::move(folder)) {}
    FileLock lock_;
    TempDir folder_;
    UniqueFd memory_;
    UniqueFd state_;
    UniqueFd disk_;
  };
  /// Nothing while somebody else makes that template. `memory_bytes` is the size of its memory file.
  std::optional<Draft> begin(const std::string& id, std::uint64_t memory_bytes);
  /// Makes it the template `info.id`, in place of one that is there, and removes the least recently used ones
  /// beyond the limits. What `info` says of the files is filled in here.
  void keep(Draft draft, TemplateInfo info, const Clock& clock);

  // Who would make a template unasked leaves it alone for a while after it could not be made or was of no
  // use: a minute, and twice as long after each further one, up to an hour.

  struct Failure {
    std::int64_t count = 0;  ///< one after the other
    std::int64_t last = 0;   ///< seconds since 1970-01-01 UTC
    std::string reason;
  };
  /// Forgotten when the template is kept. What cannot be written is in the log.
  void note_failure(const std::string& id, std::string_view reason, const Clock& clock);
  /// The failure for which the template is to be left alone now.
  std::optional<Failure> backs_off(const std::string& id, const Clock& clock) const;

  /// Those of this boot, and others that prune() removes; most recently used first.
  struct Entry {
    TemplateInfo info;
    std::uint64_t bytes = 0;     ///< on disk
    std::int64_t last_used = 0;  ///< seconds since 1970-01-01 UTC
    bool usable = false;
  };
  std::vector<Entry> list() const;
  /// By id or its beginning; machines that are clones of it go on. Throws not-found, and invalid-argument for
  /// a beginning that fits several.
  std::string remove(std::string_view id);
  /// Removes those that cannot be used and what makers that were killed or failed have left; all of them with
  /// `all`. Returns the ids.
  std::vector<std::string> prune(bool all);

 private:
  std::filesystem::path place(const std::string& id) const { return folder_ / id; }
  std::filesystem::path failure_place(const std::string& id) const { return folder_ / (".failed-" + id); }
  std::optional<Failure> find_failure(const std::string& id) const;
  void sweep_drafts(const std::string& id);
  void sweep_failures(std::int64_t now);
  void keep_within_limits(const std::string& newest);

  std::filesystem::path folder_;
  Limits limits_;
  std::string boot_id_;
};

}  // namespace berth::hypervisor
