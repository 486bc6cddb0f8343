#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "record/pod.hpp"

namespace berth::record {

/// Multi-step work that was begun on a pod and may have been cut off.
enum class Intent { none, create, remove };

class Store;

/// A private pending change to one record.
class Handle {
 public:
  Pod pod;
  /// Stores the change if nobody committed since the handle was taken, else throws Code::conflict.
  /// The handle goes on at the new generation; without a difference the generation stays. Throws
  /// already-exists for a new name or newly held ports that another record has.
  void commit();

 private:
  friend class Store;
  Handle(Store& store, Pod taken, extraconfig::Pairs pairs);
  Store* store_;
  Pod before_;
  extraconfig::Pairs pairs_;
};

/// The records of every pod below one data root, in SQLite (docs/store.md). Safe for many processes at once.
class Store {
 public:
  /// Opens or makes the database; throws as Database does. One store serves one thread.
  explicit Store(const std::filesystem::path& database);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// While it lives, what this store commits may be lost in a power cut, as long as nobody else has committed
  /// since; the database is whole all the same. For what a power cut makes untrue anyway.
  class Unsynced {
   public:
    explicit Unsynced(Store& store);
    ~Unsynced();
    Unsynced(const Unsynced&) = delete;
    Unsynced& operator=(const Unsynced&) = delete;

   private:
    Store& store_;
  };

  /// Stores a new record with Intent::create. Throws already-exists naming the holder of the name,
  /// or of a published host port that another record which is not exited holds.
  /// Assigns host.user_slot (the smallest free one) and generation 1 in the same transaction.
  void create(Pod& pod);
  /// By the whole id.
  std::optional<Pod> find(std::string_view id);
  /// By name, whole id or unique id prefix; throws not-found, or invalid-argument when a prefix fits several.
  Pod get(std::string_view name_or_id);
  /// The pairs of a record as they are stored, readable or not; finds it and throws as get() does.
  extraconfig::Pairs pairs(std::string_view name_or_id);
  /// Every record, newest first.
  std::vector<Pod> list();
  Handle handle(std::string_view id);
  /// Applies `change` to the record as it is now and stores it, in one transaction: never a conflict.
  /// `change` must not use the store.
  Pod update(std::string_view id, const std::function<void(Pod&)>& change);
  /// A missing one is fine.
  void remove(std::string_view id);

  Intent intent(std::string_view id);
  /// Nothing when there is no such container.
  std::optional<Intent> find_intent(std::string_view id);
  void set_intent(std::string_view id, Intent intent);

  /// The ports of the host that records hold: those of all but exited containers.
  std::vector<PortBinding> held_ports();
  /// Throws already-exists when a record other than `id` that holds its ports publishes one of these.
  void check_ports(std::string_view id, const std::vector<PortBinding>& ports);

 private:
  friend class Handle;
  struct State;
  void commit(Handle& handle);
  std::unique_ptr<State> state_;
};

}  // namespace berth::record
