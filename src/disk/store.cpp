#include "disk/store.hpp"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <optional>
#include <set>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/ids.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "hypervisor/qcow2.hpp"
#include "record/database.hpp"

namespace berth::disk {
namespace {

namespace fs = std::filesystem;
using record::Database;
using record::Query;
using record::Statement;
using record::Transaction;

constexpr std::size_t kIdBytes = 8;
constexpr std::string_view kRaw = "raw";
constexpr std::string_view kQcow2 = "qcow2";
/// Behind the name of an overlay that is being made.
constexpr std::string_view kUnfinished = ".new";

std::string new_layer_id() {
  return to_hex(random_bytes(kIdBytes));
}

void write_back(const fs::path& file, int flags) {
  const UniqueFd opened = open_file(file, O_RDONLY | O_NOFOLLOW | flags);
  check(::fsync(opened.get()), "write back " + file.string());
}

void remove_file(const fs::path& file) {
  if (::unlink(file.c_str()) != 0 && errno != ENOENT) throw errno_error("remove " + file.string());
}

void rename_file(const fs::path& from, const fs::path& to) {
  check(::rename(from.c_str(), to.c_str()), "rename " + from.string() + " to " + to.string());
}

Error no_disk(std::string_view user) {
  return Error(Code::not_found, "there is no disk of {}", printable(user));
}

Error too_many_layers() {
  return Error(Code::capacity,
               "the disk has {} layers already, one for each fork or snapshot it came through, and there is "
               "room for no more: copy what is needed to a new container",
               hypervisor::kMostLayers + 1);
}

/// While it lives, commits of this connection may be lost in a power cut.
class LazyCommits {
 public:
  explicit LazyCommits(Database& database) : database_(database) {
    database_.execute("PRAGMA synchronous=NORMAL");
  }
  LazyCommits(const LazyCommits&) = delete;
  LazyCommits& operator=(const LazyCommits&) = delete;
  ~LazyCommits() { sqlite3_exec(database_.handle(), "PRAGMA synchronous=FULL", nullptr, nullptr, nullptr); }

 private:
  Database& database_;
};

/// Whether a machine may have written to the overlay: a file is there under its name only when it is whole.
bool is_written(const Layer& overlay) {
  if (!fs::exists(overlay.file)) return false;
  const UniqueFd file = open_file(overlay.file, O_RDONLY | O_NOFOLLOW);
  return !hypervisor::is_untouched_overlay(file.get(), overlay.bytes);
}

}  // namespace

std::string pod_user(std::string_view id) {
  return "pod:" + std::string(id);
}

struct Store::State {
  State(const fs::path& path, fs::path files) : folder(std::move(files)), database(path) {
    make_directories(folder, 0700);
  }

  struct Use {
    std::int64_t layer = 0;
    std::int64_t next = 0;  ///< 0: none
  };

  fs::path file_of(std::string_view id, std::string_view format) const {
    return folder / fmt::format("{}.{}", id, format);
  }
  Layer read(const Query& query) const;
  std::optional<Use> find_use(std::string_view user);
  std::vector<Layer> chain(std::int64_t top);
  std::int64_t insert(const Layer& layer, std::int64_t parent);
  Layer insert_overlay(std::int64_t parent);
  void insert_use(std::string_view user, std::int64_t layer);
  std::int64_t read_only_layer(const std::string& id);
  void write_overlay(const Layer& overlay);
  void mark_unneeded(std::int64_t layer);
  void purge();
  void drop_next(std::string_view user, const Use& use);

  fs::path folder;
  Database database;
  Statement select_use{database, "SELECT layer, ifnull(next, 0) FROM disk_uses WHERE user = ?1"};
  Statement select_chain{
      database,
      "WITH RECURSIVE chain(serial, depth) AS (SELECT ?1, 0 UNION ALL "
      "SELECT l.parent, c.depth + 1 FROM chain c JOIN disk_layers l ON l.serial = c.serial "
      "WHERE l.parent IS NOT NULL) "
      "SELECT l.id, l.format, l.size, l.read_only FROM chain c JOIN disk_layers l ON l.serial = c.serial "
      "ORDER BY c.depth"};
  Statement select_read_only{database,
                             "SELECT serial FROM disk_layers WHERE id = ?1 AND read_only = 1 AND "
                             "intent = 'none'"};
  Statement select_parent{database, "SELECT ifnull(parent, 0) FROM disk_layers WHERE serial = ?1"};
  Statement select_needed{database,
                          "SELECT EXISTS(SELECT 1 FROM disk_uses WHERE layer = ?1) OR "
                          "EXISTS(SELECT 1 FROM disk_uses WHERE next = ?1) OR "
                          "EXISTS(SELECT 1 FROM disk_layers WHERE parent = ?1 AND intent = 'none')"};
  Statement select_left{database,
                        "SELECT id, format FROM disk_layers WHERE intent = 'remove' ORDER BY serial DESC"};
  Statement insert_layer{database,
                         "INSERT INTO disk_layers(id, parent, format, size, read_only, intent) "
                         "VALUES(?1, nullif(?2, 0), ?3, ?4, 0, 'none')"};
  Statement insert_user{database, "INSERT INTO disk_uses(user, layer) VALUES(?1, ?2) ON CONFLICT DO NOTHING"};
  Statement replace_held{database,
                         "INSERT INTO disk_uses(user, layer) VALUES(?1, ?2) ON CONFLICT(user) DO UPDATE "
                         "SET layer = ?2 WHERE layer = ?3 AND next IS NULL"};
  Statement update_next{database, "UPDATE disk_uses SET next = nullif(?2, 0) WHERE user = ?1"};
  Statement promote_next{database, "UPDATE disk_uses SET layer = next, next = NULL WHERE user = ?1"};
  Statement make_read_only{database, "UPDATE disk_layers SET read_only = 1 WHERE serial = ?1"};
  Statement mark_layer{database, "UPDATE disk_layers SET intent = 'remove' WHERE serial = ?1"};
  Statement delete_use{database, "DELETE FROM disk_uses WHERE user = ?1"};
  Statement delete_layer{database, "DELETE FROM disk_layers WHERE id = ?1"};
};

Layer Store::State::read(const Query& query) const {
  Layer layer;
  layer.id = query->text(0);
  layer.format = query->text(1) == kQcow2 ? DiskFormat::qcow2 : DiskFormat::raw;
  layer.file = file_of(layer.id, query->text(1));
  layer.bytes = static_cast<std::uint64_t>(query->integer(2));
  layer.read_only = query->integer(3) != 0;
  return layer;
}

std::optional<Store::State::Use> Store::State::find_use(std::string_view user) {
  Query query(select_use);
  if (!query.with(user).step()) return std::nullopt;
  return Use{query->integer(0), query->integer(1)};
}

/// The layer and those below it, the nearest first.
std::vector<Layer> Store::State::chain(std::int64_t top) {
  std::vector<Layer> layers;
  Query query(select_chain);
  query.with(top);
  while (query.step()) layers.push_back(read(query));
  return layers;
}

std::int64_t Store::State::insert(const Layer& layer, std::int64_t parent) {
  const std::string_view format = layer.format == DiskFormat::raw ? kRaw : kQcow2;
  Query(insert_layer).with(layer.id, parent, format, static_cast<std::int64_t>(layer.bytes)).run();
  return database.last_insert_rowid();
}

/// Within a transaction.
Layer Store::State::insert_overlay(std::int64_t parent) {
  const std::vector<Layer> below = chain(parent);
  if (below.size() > hypervisor::kMostLayers) throw too_many_layers();
  Layer overlay;
  overlay.id = new_layer_id();
  overlay.format = DiskFormat::qcow2;
  overlay.file = file_of(overlay.id, kQcow2);
  overlay.bytes = below.front().bytes;
  insert(overlay, parent);
  return overlay;
}

void Store::State::insert_use(std::string_view user, std::int64_t layer) {
  Query(insert_user).with(user, layer).run();
  if (database.changes() == 0) throw Error(Code::already_exists, "{} has a disk already", printable(user));
}

std::int64_t Store::State::read_only_layer(const std::string& id) {
  Query query(select_read_only);
  if (!query.with(id).step())
    throw Error(Code::not_found, "the layer {} of a disk is gone: its last user was removed", printable(id));
  return query->integer(0);
}

void Store::State::write_overlay(const Layer& overlay) {
  const fs::path unfinished = overlay.file.string() + std::string(kUnfinished);
  const UniqueFd file = open_file(unfinished, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  hypervisor::make_overlay(file.get(), overlay.bytes);
  check(::fsync(file.get()), "write " + unfinished.string());
  rename_file(unfinished, overlay.file);
}

/// Within a transaction: marks the layer, and then those below it, as long as nobody has them.
void Store::State::mark_unneeded(std::int64_t layer) {
  while (layer != 0) {
    Query needed(select_needed);
    if (needed.with(layer).step() && needed->integer(0) != 0) return;
    Query(mark_layer).with(layer).run();
    Query parent(select_parent);
    layer = parent.with(layer).step() ? parent->integer(0) : 0;
  }
}

/// The file goes first: as long as the row is there, somebody finds what is left.
void Store::State::purge() {
  std::vector<std::string> ids;
  {
    Query left(select_left);
    while (left.step()) {
      const fs::path file = file_of(left->text(0), left->text(1));
      remove_file(file);
      remove_file(file.string() + std::string(kUnfinished));
      ids.emplace_back(left->text(0));
    }
  }
  if (ids.empty()) return;
  // Rows that a power cut brings back are found again, so nothing waits for the host's disk.
  const LazyCommits lazy(database);
  Transaction transaction(database, Transaction::Kind::write);
  for (const std::string& id : ids) Query(delete_layer).with(id).run();
  transaction.commit();
}

void Store::State::drop_next(std::string_view user, const Use& use) {
  Transaction transaction(database, Transaction::Kind::write);
  Query(update_next).with(user, std::int64_t{0}).run();
  mark_unneeded(use.next);
  transaction.commit();
  purge();
}

Store::Store(const fs::path& database, fs::path folder)
    : state_(std::make_unique<State>(database, std::move(folder))) {}

Store::~Store() = default;

void Store::create(std::string_view user, std::uint64_t bytes,
                   const std::function<void(const fs::path&)>& make) {
  Layer layer;
  layer.id = new_layer_id();
  layer.bytes = bytes;
  {
    Transaction transaction(state_->database, Transaction::Kind::write);
    state_->insert_use(user, state_->insert(layer, 0));
    transaction.commit();
  }
  try {
    make(state_->file_of(layer.id, kRaw));
  } catch (const Error&) {
    release(user);
    throw;
  }
}

void Store::replace(std::string_view user, const std::function<void(const fs::path&)>& make) {
  const fs::path file = get(user).top.file;
  const fs::path made = file.string() + std::string(kUnfinished);
  try {
    remove_file(made);
    make(made);
    rename_file(made, file);
  } catch (const Error&) {
    remove_file(made);
    throw;
  }
}

void Store::adopt(std::string_view user, const fs::path& file) {
  if (!fs::exists(file)) return;
  if (!state_->find_use(user)) {
    Layer layer;
    layer.id = new_layer_id();
    layer.bytes = fs::file_size(file);
    Transaction transaction(state_->database, Transaction::Kind::write);
    state_->insert_use(user, state_->insert(layer, 0));
    transaction.commit();
  }
  const fs::path own = get(user).top.file;
  if (!fs::exists(own)) rename_file(file, own);
}

Disk Store::get(std::string_view user) {
  Transaction transaction(state_->database, Transaction::Kind::read);
  const auto use = state_->find_use(user);
  if (!use) throw no_disk(user);
  std::vector<Layer> layers = state_->chain(use->layer);
  Disk disk;
  disk.top = std::move(layers.front());
  disk.below.assign(std::make_move_iterator(layers.begin() + 1), std::make_move_iterator(layers.end()));
  return disk;
}

Layer Store::begin_overlay(std::string_view user) {
  Layer overlay;
  Layer top;
  {
    Transaction transaction(state_->database, Transaction::Kind::write);
    const auto use = state_->find_use(user);
    if (!use) throw no_disk(user);
    if (use->next != 0)
      throw Error(Code::busy, "another fork or snapshot of {} is under way", printable(user));
    top = state_->chain(use->layer).front();
    overlay = state_->insert_overlay(use->layer);
    Query(state_->update_next).with(user, state_->database.last_insert_rowid()).run();
    transaction.commit();
  }
  try {
    write_back(top.file, 0);
    state_->write_overlay(overlay);
    write_back(state_->folder, O_DIRECTORY);
  } catch (const Error&) {
    abandon_overlay(user);
    throw;
  }
  return overlay;
}

Layer Store::commit_overlay(std::string_view user, const std::vector<std::string>& holders) {
  Transaction transaction(state_->database, Transaction::Kind::write);
  const auto use = state_->find_use(user);
  if (!use || use->next == 0)
    throw Error(Code::wrong_state, "no fork or snapshot of {} is under way", printable(user));
  Query(state_->promote_next).with(user).run();
  Query(state_->make_read_only).with(use->layer).run();
  for (const std::string& holder : holders) state_->insert_use(holder, use->layer);
  Layer layer = state_->chain(use->layer).front();
  transaction.commit();
  return layer;
}

void Store::abandon_overlay(std::string_view user) {
  const auto use = state_->find_use(user);
  if (use && use->next != 0) state_->drop_next(user, *use);
}

void Store::settle(std::string_view user) {
  const auto use = state_->find_use(user);
  if (!use) return;
  if (use->next != 0) {
    if (is_written(state_->chain(use->next).front())) {
      commit_overlay(user);
    } else {
      state_->drop_next(user, *use);
    }
  }
  // A power cut takes away at most what nobody has written to.
  const Layer top = get(user).top;
  if (top.format == DiskFormat::qcow2 && !top.read_only && !fs::exists(top.file)) state_->write_overlay(top);
}

void Store::hold(const std::string& layer, const std::vector<std::string>& users) {
  Transaction transaction(state_->database, Transaction::Kind::write);
  const std::int64_t held = state_->read_only_layer(layer);
  for (const std::string& user : users) state_->insert_use(user, held);
  transaction.commit();
}

void Store::copy(const std::string& layer, const std::vector<std::string>& users) {
  std::vector<Layer> overlays;
  {
    Transaction transaction(state_->database, Transaction::Kind::write);
    const std::int64_t below = state_->read_only_layer(layer);
    for (const std::string& user : users) {
      overlays.push_back(state_->insert_overlay(below));
      Query(state_->replace_held).with(user, state_->database.last_insert_rowid(), below).run();
      if (state_->database.changes() == 0)
        throw Error(Code::already_exists, "{} has a disk already", printable(user));
    }
    transaction.commit();
  }
  for (const Layer& overlay : overlays) state_->write_overlay(overlay);
  write_back(state_->folder, O_DIRECTORY);
}

void Store::release(std::string_view user) {
  if (const auto use = state_->find_use(user)) {
    Transaction transaction(state_->database, Transaction::Kind::write);
    Query(state_->delete_use).with(user).run();
    state_->mark_unneeded(use->next);
    state_->mark_unneeded(use->layer);
    transaction.commit();
  }
  state_->purge();
}

void Store::sweep() {
  // In this order: a file's row is there before the file.
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(state_->folder)) files.push_back(entry.path());
  std::set<std::string> known;
  {
    Transaction transaction(state_->database, Transaction::Kind::write);
    Database& database = state_->database;
    database.execute(
        "DELETE FROM disk_uses WHERE user LIKE 'pod:%' AND substr(user, 5) NOT IN (SELECT id FROM pods)");
    std::vector<std::int64_t> unneeded;
    Statement select_unneeded(database,
                              "SELECT serial FROM disk_layers l WHERE intent = 'none' AND "
                              "NOT EXISTS(SELECT 1 FROM disk_layers c WHERE c.parent = l.serial)");
    while (select_unneeded.step()) unneeded.push_back(select_unneeded.integer(0));
    for (const std::int64_t layer : unneeded) state_->mark_unneeded(layer);
    Statement select_ids(database, "SELECT id FROM disk_layers");
    while (select_ids.step()) known.emplace(select_ids.text(0));
    select_ids.reset();
    select_unneeded.reset();
    transaction.commit();
  }
  state_->purge();
  for (const fs::path& file : files) {
    const std::string name = file.filename();
    if (!known.contains(name.substr(0, name.find('.')))) remove_file(file);
  }
}

std::uint64_t Store::used_bytes(const Layer& layer) {
  return allocated_bytes(layer.file);
}

}  // namespace berth::disk
