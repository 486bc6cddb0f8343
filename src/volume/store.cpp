#include "volume/store.hpp"

#include <errno.h>
#include <unistd.h>

#include <set>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"
#include "record/database.hpp"
#include "volume/disk.hpp"
#include "volume/nfs.hpp"

namespace berth::volume {
namespace {

namespace fs = std::filesystem;
using record::Query;
using record::Statement;
using record::Transaction;

constexpr std::chrono::milliseconds kLockLimit{120'000};
constexpr std::size_t kIdBytes = 8;

/// Of a volume that is being made or removed.
constexpr std::string_view kRemove = "remove";
constexpr std::string_view kNone = "none";

Error no_such_volume(std::string_view name) {
  return Error(Code::not_found, "no such volume: {}", printable(name));
}

Error not_the_size(const Volume& there, std::uint64_t asked) {
  return Error(Code::already_exists,
               "there is a volume {} of {} already, and {} was asked for: remove it first", there.name,
               format_binary_size(there.size), format_binary_size(asked));
}

Error not_the_same(const Volume& there) {
  return Error(Code::already_exists, "there is a volume {} with other options already: remove it first",
               there.name);
}

void check_size(std::uint64_t bytes) {
  if (bytes >= kLeastBytes && bytes <= kMostBytes) return;
  throw Error(Code::invalid_argument, "a volume cannot have {}: give from {} to {}",
              format_binary_size(bytes), format_binary_size(kLeastBytes), format_binary_size(kMostBytes));
}

}  // namespace

fs::path image_of(const fs::path& folder, std::string_view id) {
  return folder / (std::string(id) + ".img");
}

std::string disk_serial(std::string_view id) {
  return "vol-" + std::string(id);
}

void check_name(std::string_view name) {
  if (is_valid_name(name)) return;
  throw Error(Code::invalid_argument,
              "invalid volume name '{}': use [a-zA-Z0-9][a-zA-Z0-9_.-]+, at most 128 characters",
              printable(name));
}

struct Store::State {
  State(const fs::path& path, fs::path images) : folder(std::move(images)), database(path) {}

  /// Who makes or removes volumes does it alone. Clears away what somebody who was killed had begun.
  FileLock begin_work();
  void settle();
  void erase(const std::string& id);
  std::vector<std::string> ids(Statement& statement);
  Volume read(const Query& query);
  std::map<std::string, std::string> texts(Statement& statement, std::string_view id);
  std::optional<Volume> find(std::string_view name);
  std::vector<Volume> list();
  std::vector<User> users(std::string_view id);
  Volume make(const CreateOptions& options, Nanoseconds now, std::string_view user);
  void insert(const Volume& volume, std::string_view user, bool owned);
  void use(std::string_view pod, const Volume& volume);
  void require_unused(const Volume& volume);
  void remove(const std::string& id);
  fs::path image(std::string_view id) const { return image_of(folder, id); }

  fs::path folder;
  record::Database database;
  Statement select_named{database,
                         "SELECT id, name, anonymous, created, size FROM volumes "
                         "WHERE name = ?1 AND intent = 'none'"};
  Statement select_all{database,
                       "SELECT id, name, anonymous, created, size FROM volumes "
                       "WHERE intent = 'none' ORDER BY name"};
  Statement select_labels{database,
                          "SELECT l.key, l.value FROM volume_labels l JOIN volumes v ON v.serial = l.volume "
                          "WHERE v.id = ?1"};
  Statement select_options{
      database,
      "SELECT o.key, o.value FROM volume_options o JOIN volumes v ON v.serial = o.volume "
      "WHERE v.id = ?1"};
  Statement select_users{database,
                         "SELECT p.id, p.name FROM volume_uses u JOIN volumes v ON v.serial = u.volume "
                         "JOIN pods p ON p.serial = u.pod WHERE v.id = ?1 ORDER BY p.serial"};
  Statement select_left{database,
                        "SELECT id FROM volumes WHERE intent = 'create' OR (intent = 'remove' AND "
                        "serial NOT IN (SELECT volume FROM volume_uses))"};
  Statement select_unused{database,
                          "SELECT id FROM volumes WHERE intent = 'none' AND "
                          "serial NOT IN (SELECT volume FROM volume_uses) ORDER BY name"};
  Statement insert_volume{database,
                          "INSERT INTO volumes(id, name, anonymous, created, size, intent) "
                          "VALUES(?1, ?2, ?3, ?4, ?5, 'create')"};
  Statement insert_label{database, "INSERT INTO volume_labels(volume, key, value) VALUES(?1, ?2, ?3)"};
  Statement insert_option{database, "INSERT INTO volume_options(volume, key, value) VALUES(?1, ?2, ?3)"};
  Statement insert_use{database,
                       "INSERT INTO volume_uses(volume, pod, owned) "
                       "SELECT v.serial, p.serial, ?3 FROM volumes v, pods p WHERE v.id = ?1 AND p.id = ?2 "
                       "AND v.intent <> 'remove'"};
  Statement update_intent{database, "UPDATE volumes SET intent = ?2 WHERE id = ?1"};
  Statement mark_owned{database,
                       "UPDATE volumes SET intent = 'remove' WHERE serial IN "
                       "(SELECT u.volume FROM volume_uses u JOIN pods p ON p.serial = u.pod "
                       "WHERE p.id = ?1 AND u.owned = 1) AND "
                       "(SELECT count(*) FROM volume_uses o WHERE o.volume = volumes.serial) = 1"};
  Statement delete_uses{database,
                        "DELETE FROM volume_uses WHERE volume = (SELECT serial FROM volumes WHERE id = ?1)"};
  Statement delete_volume{database, "DELETE FROM volumes WHERE id = ?1"};
};

FileLock Store::State::begin_work() {
  make_directories(folder, 0700);
  FileLock lock = FileLock::acquire(folder / "lock", kLockLimit, "the folder of the volumes");
  settle();
  return lock;
}

std::vector<std::string> Store::State::ids(Statement& statement) {
  std::vector<std::string> found;
  Query query(statement);
  while (query.step()) found.emplace_back(query->text(0));
  return found;
}

void Store::State::settle() {
  for (const std::string& id : ids(select_left)) erase(id);
}

/// The image goes first: as long as the row is there, somebody finds what is left.
void Store::State::erase(const std::string& id) {
  const fs::path file = image(id);
  if (::unlink(file.c_str()) != 0 && errno != ENOENT) throw errno_error("remove " + file.string());
  Transaction transaction(database, Transaction::Kind::write);
  Query(delete_uses).with(id).run();
  Query(delete_volume).with(id).run();
  transaction.commit();
}

Volume Store::State::read(const Query& query) {
  Volume volume;
  volume.id = query->text(0);
  volume.name = query->text(1);
  volume.anonymous = query->integer(2) != 0;
  volume.created = query->integer(3);
  volume.size = static_cast<std::uint64_t>(query->integer(4));
  volume.labels = texts(select_labels, volume.id);
  volume.options = texts(select_options, volume.id);
  return volume;
}

std::map<std::string, std::string> Store::State::texts(Statement& statement, std::string_view id) {
  std::map<std::string, std::string> found;
  Query query(statement);
  query.with(id);
  while (query.step()) found.emplace(query->text(0), query->text(1));
  return found;
}

std::optional<Volume> Store::State::find(std::string_view name) {
  Query query(select_named);
  if (!query.with(name).step()) return std::nullopt;
  return read(query);
}

std::vector<Volume> Store::State::list() {
  std::vector<Volume> volumes;
  Query query(select_all);
  while (query.step()) volumes.push_back(read(query));
  return volumes;
}

std::vector<User> Store::State::users(std::string_view id) {
  std::vector<User> found;
  Query query(select_users);
  query.with(id);
  while (query.step()) found.push_back({std::string(query->text(0)), std::string(query->text(1))});
  return found;
}

/// With a user: it has the volume from the first moment on, and owns it unless somebody gave it its name.
Volume Store::State::make(const CreateOptions& options, Nanoseconds now, std::string_view user) {
  Volume volume;
  volume.id = to_hex(random_bytes(kIdBytes));
  volume.anonymous = options.name.empty();
  volume.name = volume.anonymous ? new_id() : options.name;
  volume.created = now.count();
  volume.options = options.options;
  volume.size = volume.is_disk() ? options.size.value_or(kDefaultBytes) : 0;
  volume.labels = options.labels;
  insert(volume, user, volume.anonymous);
  try {
    if (volume.is_disk()) make_disk(image(volume.id), volume.size, "volume");
    Query(update_intent).with(volume.id, kNone).run();
  } catch (Error& error) {
    erase(volume.id);
    error.add_context("make the volume " + volume.name);
    throw;
  }
  return volume;
}

void Store::State::insert(const Volume& volume, std::string_view user, bool owned) {
  Transaction transaction(database, Transaction::Kind::write);
  Query(insert_volume)
      .with(volume.id, volume.name, std::int64_t{volume.anonymous}, volume.created,
            static_cast<std::int64_t>(volume.size))
      .run();
  const std::int64_t serial = database.last_insert_rowid();
  for (const auto& [key, value] : volume.labels) Query(insert_label).with(serial, key, value).run();
  for (const auto& [key, value] : volume.options) Query(insert_option).with(serial, key, value).run();
  if (!user.empty()) Query(insert_use).with(volume.id, user, std::int64_t{owned}).run();
  transaction.commit();
}

void Store::State::use(std::string_view pod, const Volume& volume) {
  for (const User& user : users(volume.id)) {
    if (user.id != pod) continue;
    throw Error(Code::invalid_argument, "the volume {} is given twice: a container sees it at one place only",
                volume.name);
  }
  Query(insert_use).with(volume.id, pod, std::int64_t{0}).run();
  if (database.changes() == 0) throw no_such_volume(volume.name);
}

void Store::State::require_unused(const Volume& volume) {
  const std::vector<User> having = users(volume.id);
  if (having.empty()) return;
  throw Error(Code::conflict, "the volume {} is in use by container {} ({}): remove that first", volume.name,
              having.front().name, short_id(having.front().id));
}

void Store::State::remove(const std::string& id) {
  Query(update_intent).with(id, kRemove).run();
  erase(id);
}

Store::Store(const fs::path& database, fs::path folder)
    : state_(std::make_unique<State>(database, std::move(folder))) {}

Store::~Store() = default;

Volume Store::create(const CreateOptions& options, Nanoseconds now) {
  if (!options.name.empty()) check_name(options.name);
  if (options.size) check_size(*options.size);
  if (!options.options.empty()) {
    parse_nfs_source(options.options);
    if (options.size)
      throw Error(Code::invalid_argument, "the size of an NFS volume is the server's: leave out size");
  }
  const FileLock lock = state_->begin_work();
  if (std::optional<Volume> there = state_->find(options.name)) {
    if (options.size && there->is_disk() && *options.size != there->size)
      throw not_the_size(*there, *options.size);
    const bool asked = options.size || !options.options.empty();
    if (asked && options.options != there->options) throw not_the_same(*there);
    return std::move(*there);
  }
  return state_->make(options, now, {});
}

Volume Store::attach(std::string_view pod, const std::string& name, Nanoseconds now) {
  if (!name.empty()) check_name(name);
  const FileLock lock = state_->begin_work();
  std::optional<Volume> volume = state_->find(name);
  if (volume) {
    state_->use(pod, *volume);
  } else {
    CreateOptions options;
    options.name = name;
    volume = state_->make(options, now, pod);
  }
  return std::move(*volume);
}

void Store::disown(std::string_view pod) {
  Query(state_->mark_owned).with(pod).run();
}

void Store::sweep() {
  if (!state_->ids(state_->select_left).empty()) state_->begin_work();
}

std::optional<Volume> Store::find(std::string_view name) {
  return state_->find(name);
}

Volume Store::get(std::string_view name) {
  if (std::optional<Volume> volume = find(name)) return std::move(*volume);
  throw no_such_volume(name);
}

std::vector<Volume> Store::list() {
  sweep();
  return state_->list();
}

std::vector<User> Store::users(std::string_view id) {
  return state_->users(id);
}

fs::path Store::image(std::string_view id) const {
  return state_->image(id);
}

std::uint64_t Store::used_bytes(std::string_view id) const {
  return allocated_bytes(image(id));
}

void Store::remove(std::string_view name) {
  const FileLock lock = state_->begin_work();
  const Volume volume = get(name);
  state_->require_unused(volume);
  state_->remove(volume.id);
}

Pruned Store::prune(bool all) {
  const FileLock lock = state_->begin_work();
  const std::vector<std::string> unused = state_->ids(state_->select_unused);
  const std::set<std::string> removable(unused.begin(), unused.end());
  Pruned pruned;
  for (const Volume& volume : state_->list()) {
    if (!removable.contains(volume.id) || !(all || volume.anonymous)) continue;
    const std::uint64_t bytes = used_bytes(volume.id);
    state_->remove(volume.id);
    pruned.bytes += bytes;
    pruned.names.push_back(volume.name);
  }
  return pruned;
}

}  // namespace berth::volume
