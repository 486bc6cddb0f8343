#include "launcher/snapshots.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "describe/describe.hpp"
#include "describe/json.hpp"
#include "disk/store.hpp"
#include "hypervisor/templates.hpp"
#include "link/control.hpp"

namespace berth::launcher {

constexpr auto describe(const SnapshotInfo*) {
  using namespace describe;
  return fields(
      field<&SnapshotInfo::name>("Name"), field<&SnapshotInfo::pod>("Pod"),
      field<&SnapshotInfo::layer>("Layer"), field<&SnapshotInfo::created>("Created"),
      field<&SnapshotInfo::interrupted>("Interrupted"), field<&SnapshotInfo::qemu>("QEMU"),
      field<&SnapshotInfo::kernel>("Kernel"), field<&SnapshotInfo::initramfs>("Initramfs"),
      field<&SnapshotInfo::accelerator>("Accelerator"), field<&SnapshotInfo::cpus>("CPUs"),
      field<&SnapshotInfo::most_cpus>("MostCPUs"), field<&SnapshotInfo::memory_bytes>("MemoryBytes"),
      field<&SnapshotInfo::most_memory_bytes>("MostMemoryBytes"), field<&SnapshotInfo::card>("Card"),
      field<&SnapshotInfo::has_network>("HasNetwork"), field<&SnapshotInfo::state_hash>("StateHash"),
      field<&SnapshotInfo::runs_ended>("RunsEnded"), field<&SnapshotInfo::outputs_ended>("OutputsEnded"));
}

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPassing = ".fork-";
constexpr std::string_view kDraft = ".draft";
constexpr std::string_view kLock = ".lock";
/// A sweep holds each lock for a moment, a new one's too, to see whether somebody else has it.
constexpr std::chrono::milliseconds kSweepLimit{2'000};
constexpr const char* kMemory = "memory";
constexpr const char* kState = "state";
constexpr const char* kInfo = "snapshot.json";
/// Values may be any bytes, which JSON cannot hold: documents as on the control port.
constexpr const char* kGuest = "guest";
constexpr const char* kRecord = "record";
constexpr std::size_t kLengthSize = sizeof(std::uint32_t);

std::string encode_pairs(const extraconfig::Pairs& pairs) {
  link::Document document;
  document.kind = link::DocumentKind::config;
  document.keys.changed = pairs;
  return link::encode_document(document);
}

extraconfig::Pairs decode_pairs(const fs::path& file) {
  const std::string bytes = read_file(file);
  if (bytes.size() < kLengthSize) throw Error(Code::corrupt, "{} is cut short", file.string());
  return link::decode_document(std::string_view(bytes).substr(kLengthSize)).keys.changed;
}

std::string without(std::string_view name, std::string_view suffix) {
  return std::string(name.substr(0, name.size() - suffix.size()));
}

}  // namespace

hypervisor::MachineSpec machine_spec(const Snapshot& snapshot) {
  hypervisor::MachineSpec spec;
  spec.cpus = snapshot.cpus;
  spec.most_cpus = snapshot.most_cpus;
  spec.memory_bytes = snapshot.memory_bytes;
  spec.most_memory_bytes = snapshot.most_memory_bytes;
  spec.accelerator =
      snapshot.accelerator == "kvm" ? hypervisor::Accelerator::kvm : hypervisor::Accelerator::tcg;
  spec.kernel = snapshot.kernel;
  spec.initramfs = snapshot.initramfs;
  using Backend = hypervisor::NetworkCard::Backend;
  if (!snapshot.card.empty())
    spec.network_cards = {{snapshot.has_network ? Backend::user : Backend::none, snapshot.card, -1}};
  return spec;
}

void describe_machine(const hypervisor::MachineSpec& spec, Snapshot& snapshot) {
  snapshot.cpus = spec.cpus;
  snapshot.most_cpus = spec.most_cpus;
  snapshot.memory_bytes = spec.memory_bytes;
  snapshot.most_memory_bytes = spec.most_memory_bytes;
  snapshot.accelerator = hypervisor::to_string(spec.accelerator);
  snapshot.kernel = spec.kernel;
  snapshot.initramfs = spec.initramfs;
  snapshot.card = spec.network_cards.empty() ? std::string() : spec.network_cards[0].mac;
  snapshot.has_network = hypervisor::has_user_network(spec);
}

std::string SnapshotStore::passing_name() {
  return std::string(kPassing) + to_hex(random_bytes(8));
}

bool SnapshotStore::is_passing(std::string_view name) {
  return name.starts_with(kPassing);
}

void SnapshotStore::check_name(std::string_view name) {
  if (!is_valid_name(name) || name.ends_with(kDraft) || name.ends_with(kLock))
    throw Error(Code::invalid_argument,
                "invalid snapshot name \"{}\": use [a-zA-Z0-9][a-zA-Z0-9_.-]+, at most 128 characters",
                printable(name));
}

void SnapshotStore::check_any_name(std::string_view name) {
  check_name(is_passing(name) ? name.substr(kPassing.size()) : name);
}

FileLock SnapshotStore::reserve(const std::string& name) {
  make_directories(folder(), 0700);
  FileLock lock = FileLock::acquire(lock_place(name), kSweepLimit, "the snapshot " + name);
  if (contains(name)) {
    lock.remove_file();
    throw Error(Code::already_exists, "there is a snapshot {} already", name);
  }
  // By a launcher whose command was killed.
  if (is_being_made(name)) throw Error(Code::busy, "the snapshot {} is being made", name);
  if (is_taken(name)) remove(name);
  return lock;
}

SnapshotStore::Draft SnapshotStore::begin(const std::string& name, std::uint64_t memory_bytes) {
  Draft draft;
  draft.folder = draft_place(name);
  remove_tree(draft.folder);
  make_directories(draft.folder, 0700);
  draft.memory = open_file(draft.folder / kMemory, O_RDWR | O_CREAT | O_EXCL);
  check(::flock(draft.memory.get(), LOCK_EX | LOCK_NB), "lock a snapshot in the making");
  draft.state = open_file(draft.folder / kState, O_RDWR | O_CREAT | O_EXCL);
  check(::ftruncate(draft.memory.get(), static_cast<off_t>(memory_bytes)), "make a snapshot's memory");
  return draft;
}

void SnapshotStore::keep(Draft draft, const Snapshot& snapshot) {
  for (const int fd : {draft.memory.get(), draft.state.get()}) seal_file(fd, "a snapshot's file");
  write_file_atomically(draft.folder / kGuest, encode_pairs(snapshot.guest));
  write_file_atomically(draft.folder / kRecord, encode_pairs(snapshot.record));
  SnapshotInfo info = snapshot;
  info.state_hash = hypervisor::state_hash(draft.state.get());
  write_file_atomically(draft.folder / kInfo, describe::to_json(info, {.indent = true}));
  // A snapshot outlives a power cut; one that passes does not have to.
  if (!is_passing(snapshot.name)) {
    for (const int fd : {draft.memory.get(), draft.state.get()}) check(::fsync(fd), "write a snapshot");
  }
  fs::rename(draft.folder, place(snapshot.name));
}

void SnapshotStore::abandon(const std::string& name) {
  // First what makes room, whoever has the file open.
  if (::truncate((draft_place(name) / kMemory).c_str(), 0) != 0 && errno != ENOENT)
    log::debug("truncate the memory of snapshot {}: {}", name, std::strerror(errno));
  remove_tree(draft_place(name));
  // One that is kept needs its layer.
  if (!contains(name)) disk::Store(paths_.database(), paths_.disks()).release(Snapshot::disk_user(name));
}

bool SnapshotStore::contains(std::string_view name) const {
  return fs::exists(place(name) / kInfo);
}

Snapshot SnapshotStore::get(std::string_view name) const {
  const std::optional<std::string> text = find_file(place(name) / kInfo);
  if (!text) throw Error(Code::not_found, "there is no snapshot \"{}\"", printable(name));
  Snapshot snapshot;
  try {
    describe::from_json(*text, static_cast<SnapshotInfo&>(snapshot));
    snapshot.guest = decode_pairs(place(name) / kGuest);
    snapshot.record = decode_pairs(place(name) / kRecord);
  } catch (const Error& error) {
    throw Error(Code::corrupt, "the snapshot {} cannot be read: {}", name, error.what());
  }
  return snapshot;
}

SnapshotStore::Files SnapshotStore::open(const Snapshot& snapshot) const {
  Files files{open_file(place(snapshot.name) / kMemory, O_RDONLY | O_NOFOLLOW),
              open_file(place(snapshot.name) / kState, O_RDONLY | O_NOFOLLOW)};
  if (file_bytes(files.memory.get(), "look at a snapshot's memory") != snapshot.memory_bytes ||
      hypervisor::state_hash(files.state.get()) != snapshot.state_hash)
    throw Error(Code::corrupt, "the snapshot {} is damaged: remove it", snapshot.name);
  return files;
}

bool SnapshotStore::is_taken(const std::string& name) const {
  return fs::exists(fs::symlink_status(place(name)));
}

/// Of the folders of snapshots that are kept.
std::vector<std::string> SnapshotStore::names() const {
  std::vector<std::string> found;
  std::error_code missing;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder(), missing)) {
    std::string name = entry.path().filename();
    if (!name.starts_with(".") && !name.ends_with(kDraft) && !name.ends_with(kLock))
      found.push_back(std::move(name));
  }
  return found;
}

std::vector<std::string> SnapshotStore::damaged() const {
  std::vector<std::string> found = names();
  std::erase_if(found, [this](const std::string& name) {
    try {
      get(name);
      return true;
    } catch (const Error&) {
      // One that was removed meanwhile.
      return !is_taken(name);
    }
  });
  return found;
}

std::vector<Snapshot> SnapshotStore::list() const {
  std::vector<Snapshot> snapshots;
  for (const std::string& name : names()) {
    try {
      snapshots.push_back(get(name));
    } catch (const Error& error) {
      log::debug("{}", error.what());  // see damaged()
    }
  }
  std::sort(snapshots.begin(), snapshots.end(),
            [](const Snapshot& a, const Snapshot& b) { return a.created > b.created; });
  return snapshots;
}

std::uint64_t SnapshotStore::bytes(std::string_view name) const {
  std::uint64_t sum = 0;
  for (const char* file : {kMemory, kState}) sum += allocated_bytes(place(name) / file);
  return sum;
}

void SnapshotStore::remove(const std::string& name) {
  // First, so that nobody goes on from what is left when this is cut off.
  std::error_code missing;
  fs::remove(place(name) / kInfo, missing);
  disk::Store(paths_.database(), paths_.disks()).release(Snapshot::disk_user(name));
  remove_tree(place(name));
}

bool SnapshotStore::is_being_made(const std::string& name) const {
  const UniqueFd memory(
      ::open((draft_place(name) / kMemory).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  return memory && ::flock(memory.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

void SnapshotStore::remove_unless_reserved(const std::string& name) {
  std::optional<FileLock> lock = FileLock::try_acquire(lock_place(name));
  // Its launcher asks again when it is done.
  if (!lock || is_being_made(name)) return;
  end_reservation(name, *lock);
}

void SnapshotStore::end_reservation(const std::string& name, FileLock& lock) {
  if (is_passing(name)) remove(name);
  if (!contains(name)) abandon(name);
  lock.remove_file();
}

void SnapshotStore::sweep() {
  std::set<std::string> names;
  std::error_code missing;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder(), missing)) {
    const std::string file = entry.path().filename();
    if (file.ends_with(kLock)) {
      names.insert(without(file, kLock));
    } else if (file.ends_with(kDraft)) {
      names.insert(without(file, kDraft));
    } else if (is_passing(file)) {
      names.insert(file);
    }
  }
  for (const std::string& name : names) remove_unless_reserved(name);
}

}  // namespace berth::launcher
