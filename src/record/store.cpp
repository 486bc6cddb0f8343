#include "record/store.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "extraconfig/pair_table.hpp"
#include "record/database.hpp"

namespace berth::record {
namespace {

using extraconfig::Pairs;

std::string_view to_string(Intent intent) {
  switch (intent) {
    case Intent::create:
      return "create";
    case Intent::remove:
      return "remove";
    default:
      return "none";
  }
}

std::string_view to_string(Protocol protocol) {
  return protocol == Protocol::tcp ? "tcp" : "udp";
}

Intent intent_from(std::string_view text) {
  if (text == "create") return Intent::create;
  if (text == "remove") return Intent::remove;
  if (text == "none") return Intent::none;
  throw Error(Code::corrupt, "the record database has an unknown intent \"{}\"", text);
}

Error no_such_container(std::string_view name) {
  return Error(Code::not_found, "no such container: {}", name);
}

/// The ports that nobody else may publish as long as the record is as it is.
std::vector<PortBinding> ports_held_by(const Pod& pod) {
  std::vector<PortBinding> held;
  if (pod.host.status == Status::exited) return held;
  for (const PortBinding& port : pod.host.ports) {
    if (port.host_port != 0) held.push_back(port);
  }
  return held;
}

template <typename Stored>
Pod decode_record(const std::string& id, Stored& pairs, std::int64_t generation) {
  try {
    Pod pod = decode(pairs);
    pod.generation = static_cast<std::uint64_t>(generation);
    return pod;
  } catch (Error& error) {
    error.add_context("read the record of container " + short_id(id));
    throw;
  }
}

}  // namespace

struct Store::State {
  explicit State(const std::filesystem::path& path) : database(path) {}

  struct Record {
    Pod pod;
    Pairs pairs;
  };

  /// The stored pairs and the generation, 0 when there is no such record.
  std::pair<Pairs, std::int64_t> load_pairs(std::string_view id);
  std::optional<Record> load(std::string_view id);
  /// The id that a name, an id or a unique prefix of one means.
  std::string resolve(std::string_view name_or_id);
  std::int64_t serial_of(std::string_view id);
  void check_name(std::string_view id, std::string_view name);
  void check_ports(std::string_view id, const std::vector<PortBinding>& ports);
  std::int32_t free_user_slot();
  void write_pairs(std::int64_t serial, const Pairs& before, const Pairs& after);
  void hold_ports(std::int64_t serial, const Pod& pod);
  /// Within a write transaction; throws conflict when the record is not at before's generation.
  void write(const Record& before, const Record& after);

  Database database;
  Statement select_record{database,
                          "SELECT p.generation, k.key, k.value FROM pods p JOIN pairs k ON k.pod = p.serial "
                          "WHERE p.id = ?1 ORDER BY k.key"};
  Statement select_all{database,
                       "SELECT p.serial, p.id, p.generation, k.key, k.value FROM pods p "
                       "JOIN pairs k ON k.pod = p.serial ORDER BY p.serial DESC, k.key"};
  Statement select_serial{database, "SELECT serial FROM pods WHERE id = ?1"};
  Statement select_named{database,
                         "SELECT id FROM pods WHERE id = ?1 UNION ALL "
                         "SELECT id FROM pods WHERE name = ?1 LIMIT 1"};
  // 0x10FFFF sorts after every other character.
  Statement select_prefixed{database,
                            "SELECT id FROM pods WHERE id >= ?1 AND id < ?1 || char(1114111) LIMIT 2"};
  Statement select_holder{database, "SELECT id FROM pods WHERE name = ?1 AND id <> ?2"};
  Statement select_ports{database,
                         "SELECT p.id, p.name, o.address FROM ports o JOIN pods p ON p.serial = o.pod "
                         "WHERE o.protocol = ?1 AND o.port = ?2 AND p.id <> ?3"};
  Statement select_slot{database,
                        "SELECT min(candidate) FROM "
                        "(SELECT 0 AS candidate UNION ALL SELECT user_slot + 1 FROM pods) "
                        "WHERE candidate NOT IN (SELECT user_slot FROM pods)"};
  Statement select_intent{database, "SELECT intent FROM pods WHERE id = ?1"};
  Statement insert_pod{database,
                       "INSERT INTO pods(id, name, generation, intent, user_slot) VALUES(?1, ?2, 1, ?3, ?4)"};
  Statement update_pod{
      database,
      "UPDATE pods SET generation = generation + 1, name = ?2 WHERE serial = ?1 AND generation = ?3"};
  Statement update_intent{database, "UPDATE pods SET intent = ?2 WHERE id = ?1"};
  Statement delete_pod{database, "DELETE FROM pods WHERE id = ?1"};
  Statement put_pair{database, "INSERT OR REPLACE INTO pairs(pod, key, value) VALUES(?1, ?2, ?3)"};
  Statement delete_pair{database, "DELETE FROM pairs WHERE pod = ?1 AND key = ?2"};
  Statement select_held_ports{database, "SELECT protocol, port, address FROM ports"};
  Statement insert_port{database, "INSERT INTO ports(pod, protocol, port, address) VALUES(?1, ?2, ?3, ?4)"};
  Statement delete_ports{database, "DELETE FROM ports WHERE pod = ?1"};
};

std::pair<Pairs, std::int64_t> Store::State::load_pairs(std::string_view id) {
  Query query(select_record);
  query.with(id);
  Pairs pairs;
  std::int64_t generation = 0;
  while (query.step()) {
    generation = query->integer(0);
    pairs.emplace_hint(pairs.end(), query->text(1), query->text(2));
  }
  return {std::move(pairs), generation};
}

std::optional<Store::State::Record> Store::State::load(std::string_view id) {
  auto [pairs, generation] = load_pairs(id);
  if (generation == 0) return std::nullopt;
  Pod pod = decode_record(std::string(id), pairs, generation);
  return Record{std::move(pod), std::move(pairs)};
}

std::string Store::State::resolve(std::string_view name_or_id) {
  if (name_or_id.empty()) throw Error(Code::invalid_argument, "the name or id of the container is empty");
  if (Query query(select_named); query.with(name_or_id).step()) return std::string(query->text(0));
  Query query(select_prefixed);
  if (!query.with(name_or_id).step()) throw no_such_container(name_or_id);
  std::string id(query->text(0));
  if (query.step()) {
    throw Error(Code::invalid_argument, "several containers have an id that begins with {}: give more of it",
                name_or_id);
  }
  return id;
}

std::int64_t Store::State::serial_of(std::string_view id) {
  Query query(select_serial);
  query.with(id);
  if (!query.step()) throw no_such_container(id);
  return query->integer(0);
}

void Store::State::check_name(std::string_view id, std::string_view name) {
  Query query(select_holder);
  query.with(name, id);
  if (query.step()) {
    throw Error(
        Code::already_exists,
        "the name \"{}\" is in use by container {}: remove or rename that one, or choose another name", name,
        short_id(query->text(0)));
  }
}

void Store::State::check_ports(std::string_view id, const std::vector<PortBinding>& ports) {
  for (const PortBinding& port : ports) {
    Query query(select_ports);
    query.with(to_string(port.protocol), std::int64_t{port.host_port}, id);
    while (query.step()) {
      const PortBinding other{std::string(query->text(2)), port.host_port, 0, port.protocol};
      if (!overlap(port, other)) continue;
      throw Error(
          Code::already_exists,
          "port {} is already published by container \"{}\" ({}): stop that one or choose another port",
          record::to_string(port), query->text(1), short_id(query->text(0)));
    }
  }
}

std::int32_t Store::State::free_user_slot() {
  Query query(select_slot);
  query.step();
  return static_cast<std::int32_t>(query->integer(0));
}

void Store::State::write_pairs(std::int64_t serial, const Pairs& before, const Pairs& after) {
  const extraconfig::Difference difference = extraconfig::diff(before, after);
  for (const std::string& key : difference.removed) Query(delete_pair).with(serial, key).run();
  for (const auto& [key, value] : difference.changed) Query(put_pair).with(serial, key, value).run();
}

void Store::State::hold_ports(std::int64_t serial, const Pod& pod) {
  const std::vector<PortBinding> ports = ports_held_by(pod);
  check_ports(pod.id(), ports);
  Query(delete_ports).with(serial).run();
  for (auto port = ports.begin(); port != ports.end(); ++port) {
    if (std::any_of(ports.begin(), port, [&](const PortBinding& other) { return overlap(*port, other); })) {
      throw Error(Code::invalid_argument, "port {} is published twice", record::to_string(*port));
    }
    Query(insert_port)
        .with(serial, to_string(port->protocol), std::int64_t{port->host_port}, port->host_address)
        .run();
  }
}

void Store::State::write(const Record& before, const Record& after) {
  const Pod& pod = after.pod;
  if (pod.id() != before.pod.id() || pod.host.user_slot != before.pod.host.user_slot) {
    throw Error(Code::internal, "the id and the user slot of a record never change");
  }
  const std::int64_t serial = serial_of(pod.id());
  if (pod.name() != before.pod.name()) check_name(pod.id(), pod.name());
  Query(update_pod).with(serial, pod.name(), static_cast<std::int64_t>(before.pod.generation)).run();
  if (database.changes() == 0) {
    throw Error(Code::conflict, "container {} was changed by another berth command: try again",
                short_id(pod.id()));
  }
  write_pairs(serial, before.pairs, after.pairs);
  if (ports_held_by(pod) != ports_held_by(before.pod)) hold_ports(serial, pod);
}

Handle::Handle(Store& store, Pod taken, extraconfig::Pairs pairs)
    : pod(taken), store_(&store), before_(std::move(taken)), pairs_(std::move(pairs)) {}

void Handle::commit() {
  store_->commit(*this);
}

Store::Store(const std::filesystem::path& database) : state_(std::make_unique<State>(database)) {}

Store::~Store() = default;

Store::Unsynced::Unsynced(Store& store) : store_(store) {
  store_.state_->database.set_synced(false);
}

Store::Unsynced::~Unsynced() {
  store_.state_->database.set_synced(true);
}

void Store::create(Pod& pod) {
  if (pod.id().empty() || pod.name().empty()) throw Error(Code::internal, "a record needs an id and a name");
  Transaction transaction(state_->database, Transaction::Kind::write);
  if (Query query(state_->select_serial); query.with(pod.id()).step()) {
    throw Error(Code::already_exists, "there is a container {} already", pod.id());
  }
  state_->check_name(pod.id(), pod.name());
  Pod made = pod;
  made.host.user_slot = state_->free_user_slot();
  made.generation = 1;
  Query(state_->insert_pod)
      .with(made.id(), made.name(), to_string(Intent::create), std::int64_t{made.host.user_slot})
      .run();
  const std::int64_t serial = state_->database.last_insert_rowid();
  state_->write_pairs(serial, {}, encode(made));
  state_->hold_ports(serial, made);
  transaction.commit();
  pod = std::move(made);
}

std::optional<Pod> Store::find(std::string_view id) {
  std::optional<State::Record> record = state_->load(id);
  if (!record) return std::nullopt;
  return std::move(record->pod);
}

Pod Store::get(std::string_view name_or_id) {
  if (std::optional<Pod> pod = find(state_->resolve(name_or_id))) return std::move(*pod);
  throw no_such_container(name_or_id);
}

Pairs Store::pairs(std::string_view name_or_id) {
  auto [pairs, generation] = state_->load_pairs(state_->resolve(name_or_id));
  if (generation == 0) throw no_such_container(name_or_id);
  return std::move(pairs);
}

std::vector<Pod> Store::list() {
  std::vector<Pod> pods;
  extraconfig::PairTable pairs;
  std::string id;
  std::int64_t serial = 0;
  std::int64_t generation = 0;
  const auto finish_record = [&] {
    if (serial != 0) pods.push_back(decode_record(id, pairs, generation));
    pairs.clear();
  };
  Query query(state_->select_all);
  while (query.step()) {
    if (query->integer(0) != serial) {
      finish_record();
      serial = query->integer(0);
      id = query->text(1);
      generation = query->integer(2);
    }
    pairs.put(query->text(3), query->text(4));
  }
  finish_record();
  return pods;
}

Handle Store::handle(std::string_view id) {
  std::optional<State::Record> record = state_->load(id);
  if (!record) throw no_such_container(id);
  return Handle(*this, std::move(record->pod), std::move(record->pairs));
}

void Store::commit(Handle& handle) {
  State::Record before{handle.before_, handle.pairs_};
  State::Record after{handle.pod, encode(handle.pod)};
  Transaction transaction(state_->database, Transaction::Kind::write);
  state_->write(before, after);
  transaction.commit();
  after.pod.generation = before.pod.generation + 1;
  handle.pod = after.pod;
  handle.before_ = std::move(after.pod);
  handle.pairs_ = std::move(after.pairs);
}

Pod Store::update(std::string_view id, const std::function<void(Pod&)>& change) {
  Transaction transaction(state_->database, Transaction::Kind::write);
  const std::optional<State::Record> before = state_->load(id);
  if (!before) throw no_such_container(id);
  State::Record after{before->pod, {}};
  change(after.pod);
  after.pairs = encode(after.pod);
  after.pod.generation = before->pod.generation;
  if (after.pairs == before->pairs) return std::move(after.pod);
  state_->write(*before, after);
  transaction.commit();
  ++after.pod.generation;
  return std::move(after.pod);
}

void Store::remove(std::string_view id) {
  Query(state_->delete_pod).with(id).run();
}

std::optional<Intent> Store::find_intent(std::string_view id) {
  Query query(state_->select_intent);
  if (!query.with(id).step()) return std::nullopt;
  return intent_from(query->text(0));
}

Intent Store::intent(std::string_view id) {
  const std::optional<Intent> found = find_intent(id);
  if (!found) throw no_such_container(id);
  return *found;
}

void Store::set_intent(std::string_view id, Intent intent) {
  Query(state_->update_intent).with(id, to_string(intent)).run();
  if (state_->database.changes() == 0) throw no_such_container(id);
}

std::vector<PortBinding> Store::held_ports() {
  std::vector<PortBinding> ports;
  Query query(state_->select_held_ports);
  while (query.step()) {
    PortBinding port;
    port.protocol = query->text(0) == to_string(Protocol::udp) ? Protocol::udp : Protocol::tcp;
    port.host_port = static_cast<std::uint16_t>(query->integer(1));
    port.host_address = std::string(query->text(2));
    ports.push_back(std::move(port));
  }
  return ports;
}

void Store::check_ports(std::string_view id, const std::vector<PortBinding>& ports) {
  state_->check_ports(id, ports);
}

}  // namespace berth::record
