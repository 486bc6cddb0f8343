#include "hypervisor/qemu/hotplug.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "hypervisor/qemu/arguments.hpp"
#include "hypervisor/qemu/machine_spec.hpp"

namespace berth::hypervisor::qemu {
namespace json = boost::json;
namespace {

constexpr std::string_view kMemoryId = "plug-memory";
constexpr std::string_view kMemoryPath = "/machine/peripheral/plug-memory";
/// Behind the places of disks and cards.
constexpr unsigned kMemoryPlace = kPlugPlaces + 1;
/// What the guest may delete unasked is kept until the next order.
constexpr std::size_t kMostDeleted = 256;

/// For what comes without an event, or before somebody waits for it.
constexpr Milliseconds kLookAgain{200};

json::object card_backend(const NetworkCard& card, const std::string& id) {
  switch (card.backend) {
    case NetworkCard::Backend::stream:
      return {{"type", "socket"}, {"id", id}, {"fd", id}};
    case NetworkCard::Backend::datagram:
      return {{"type", "dgram"}, {"id", id}, {"local", json::object{{"type", "fd"}, {"str", id}}}};
    case NetworkCard::Backend::tap:
      return {{"type", "tap"}, {"id", id}, {"fd", id}};
    case NetworkCard::Backend::user:
    case NetworkCard::Backend::none:
      break;
  }
  return {{"type", "user"},
          {"id", id},
          {"ipv6", false},
          {"net", fmt::format("10.0.2.0/{}", UserNetwork::prefix_length)},
          {"host", UserNetwork::gateway},
          {"dns", UserNetwork::resolver},
          {"dhcpstart", UserNetwork::guest}};
}

/// Its pages come into being when the guest uses them.
json::object memory_backend(const std::string& id, std::uint64_t size, bool shared) {
  json::object object{{"qom-type", "memory-backend-ram"}, {"id", id}, {"size", size}, {"reserve", false}};
  if (shared) {
    object["qom-type"] = "memory-backend-memfd";
    object["share"] = true;
  }
  return object;
}

json::object memory_property(std::string_view name) {
  return {{"path", kMemoryPath}, {"property", name}};
}

}  // namespace

json::object place_on_bus(std::string_view driver, std::string_view id, unsigned place) {
  return {{"driver", driver},
          {"id", id},
          {"bus", kPlugBus},
          {"addr", fmt::format("{:#x}", place)},
          {"disable-legacy", "on"}};
}

Hotplug::Hotplug(const asio::any_io_executor& executor, QmpClient& qmp, const MachineSpec& spec,
                 Milliseconds snapshot_limit)
    : qmp_(qmp),
      first_cpus_(spec.cpus),
      most_cpus_(std::max(spec.cpus, spec.most_cpus)),
      first_memory_(round_up_memory(spec.memory_bytes)),
      reserved_memory_(reserved_memory(spec)),
      shared_memory_(has_shared_memory(spec)),
      emulated_(spec.accelerator == Accelerator::tcg),
      snapshot_limit_(snapshot_limit),
      size_{spec.cpus, first_memory_},
      changed_(executor) {
  for (std::size_t i = 0; i < spec.disks.size(); ++i) {
    const Disk& disk = spec.disks[i];
    disks_.emplace(disk.serial, disk_id(i));
    Files files;
    files.images = first_images(disk, i);
    files.bytes = disk_bytes(disk);
    files.read_only = disk.read_only;
    files_.emplace(disk_id(i), std::move(files));
  }
  for (const NetworkCard& card : spec.network_cards) {
    const bool is_user = card.backend == NetworkCard::Backend::user;
    cards_.emplace(lower_mac(card.mac), is_user ? kUserNetworkId : std::string_view());
  }
}

void Hotplug::note(const QmpEvent& event) {
  std::set<std::string>* names = nullptr;
  if (event.name == "DEVICE_DELETED") names = &deleted_;
  if (event.name == "DEVICE_UNPLUG_GUEST_ERROR") names = &refused_;
  if (names != nullptr) {
    if (names->size() > kMostDeleted) names->clear();
    for (const char* name : {"device", "path"}) {
      if (const std::string text = text_member(event.data, name); !text.empty()) names->insert(text);
    }
  }
  const bool tells_more = event.name == "MEMORY_DEVICE_SIZE_CHANGE" || event.name == "ACPI_DEVICE_OST";
  if (names != nullptr || tells_more) changed_.notify_all();
}

Task<> Hotplug::wait_turn() {
  while (busy_) co_await changed_.wait();
}

Task<json::value> Hotplug::execute(std::string command, json::object arguments) {
  return qmp_.execute(std::move(command), std::move(arguments));
}

/// For what takes back a step: that it fails changes nothing for the caller.
Task<> Hotplug::try_execute(std::string command, json::object arguments) {
  try {
    co_await qmp_.execute(command, std::move(arguments));
  } catch (const Error& error) {
    log::warning("{}: {}", command, error.what());
  }
}

unsigned Hotplug::take_place() {
  std::set<unsigned> used;
  for (const auto& [id, plugged] : plugged_) used.insert(plugged.place);
  for (unsigned tries = 0; tries < kPlugPlaces; ++tries) {
    last_place_ = last_place_ % kPlugPlaces + 1;
    if (!used.contains(last_place_)) return last_place_;
  }
  throw Error(Code::capacity, "a machine takes at most {} disks and network cards while it runs",
              kPlugPlaces);
}

std::map<std::string, std::string> Hotplug::disks() const {
  Taken present = disks_;
  std::erase_if(present, [this](const auto& disk) { return deleted_.contains(disk.second); });
  return present;
}

Task<std::string> Hotplug::first_addition() {
  co_await wait_turn();
  const Turn turn(*this);
  co_await sweep();
  if (!plugged_.empty()) {
    const Plugged& plugged = plugged_.begin()->second;
    co_return (plugged.is_disk ? "disk " : "network card ") + plugged.key;
  }
  if (has_memory_device_) co_return "memory";
  co_return size_.cpus != first_cpus_ ? "CPUs" : "";
}

Task<> Hotplug::add_network_card(NetworkCard card) {
  check_network_card(card);
  co_await wait_turn();
  const Turn turn(*this);
  co_await sweep();
  const std::string mac = lower_mac(card.mac);
  if (cards_.contains(mac))
    throw Error(Code::already_exists, "the machine has a network card {} already", mac);
  const bool is_user = card.backend == NetworkCard::Backend::user;
  const std::string id = is_user ? std::string(kUserNetworkId) : fmt::format("plug{}", next_number_++);
  const auto has_this_name = [&](const auto& other) { return other.second == id; };
  if (std::any_of(cards_.begin(), cards_.end(), has_this_name))
    throw Error(Code::already_exists, "a machine has one card for user networking");
  Plugged plugged;
  plugged.key = mac;
  plugged.place = take_place();
  co_await plug_card(id, card, plugged);
  cards_.emplace(mac, id);
  plugged_.emplace(id, plugged);
}

Task<> Hotplug::plug_card(std::string id, NetworkCard card, Plugged& plugged) {
  if (card.backend == NetworkCard::Backend::none)
    throw Error(Code::invalid_argument, "the network card {} has nothing behind it", card.mac);
  if (card.backend != NetworkCard::Backend::user) {
    UniqueFd descriptor = duplicate(card.fd);
    json::object name = one_member("fdname", id);
    co_await qmp_.execute_with(std::move(descriptor), "getfd", std::move(name));
  }
  const char* undo = "closefd";
  json::object undo_arguments = one_member("fdname", id);
  std::exception_ptr failure;
  try {
    json::object backend = card_backend(card, id);
    co_await execute("netdev_add", std::move(backend));
    undo = "netdev_del";
    undo_arguments = one_member("id", id);
    json::object device = place_on_bus("virtio-net-pci", id, plugged.place);
    device["netdev"] = id;
    device["mac"] = plugged.key;
    device["romfile"] = "";
    co_await execute("device_add", std::move(device));
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  co_await try_execute(undo, std::move(undo_arguments));
  std::rethrow_exception(failure);
}

Task<> Hotplug::remove_disk(std::string serial, Milliseconds limit) {
  const std::string what = "disk " + serial;
  co_await remove(disks_, std::move(serial), what, limit);
}

Task<> Hotplug::remove_network_card(std::string mac, Milliseconds limit) {
  const std::string what = "network card " + mac;
  std::string key = lower_mac(mac);
  co_await remove(cards_, std::move(key), what, limit);
}

Task<> Hotplug::remove(Taken& taken, std::string key, std::string what, Milliseconds limit) {
  co_await wait_turn();
  const Turn turn(*this);
  const auto known = taken.find(key);
  if (known == taken.end()) throw Error(Code::not_found, "the machine has no {}", what);
  const std::string id = known->second;
  const auto plugged = plugged_.find(id);
  if (plugged == plugged_.end()) {
    throw Error(Code::wrong_state, "the {} was there when the machine started, and stays until it ends",
                what);
  }
  if (!deleted_.contains(id)) {
    refused_.erase(id);
    json::object arguments = one_member("id", id);
    // Once is enough for QEMU, which then refuses.
    if (plugged->second.leaving)
      co_await try_execute("device_del", std::move(arguments));
    else
      co_await execute("device_del", std::move(arguments));
    plugged->second.leaving = true;
    co_await wait_deleted(id, what, limit);
  }
  co_await sweep();
}

Task<> Hotplug::wait_deleted(std::string id, std::string what, Milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!deleted_.contains(id)) {
    if (refused_.contains(id)) throw Error(Code::busy, "the guest does not let go of the {}", what);
    const Milliseconds left = left_until(deadline);
    if (left == Milliseconds(0))
      throw Error(Code::timeout, "the guest did not let go of the {} within {} ms", what, limit.count());
    co_await changed_.wait_for(left);
  }
}

/// Takes back what stands behind devices that are gone, be it that the guest let go of them by itself.
Task<> Hotplug::sweep() {
  std::vector<std::string> gone;
  for (const auto& [id, plugged] : plugged_) {
    if (deleted_.contains(id)) gone.push_back(id);
  }
  for (const std::string& id : gone) {
    const Plugged plugged = plugged_.at(id);
    forget(id);
    co_await clean_up(id, plugged);
  }
}

void Hotplug::forget(const std::string& id) {
  const auto found = plugged_.find(id);
  if (found == plugged_.end()) return;
  (found->second.is_disk ? disks_ : cards_).erase(found->second.key);
  plugged_.erase(found);
  deleted_.erase(id);
  refused_.erase(id);
}

Task<> Hotplug::clean_up(std::string id, Plugged plugged) {
  if (!plugged.is_disk) {
    json::object backend = one_member("id", id);
    co_await try_execute("netdev_del", std::move(backend));
    co_return;
  }
  co_await remove_images(id);
}

/// All that can be, the first first.
Task<std::vector<Hotplug::Cpu>> Hotplug::query_cpus() {
  const json::value answer = co_await execute("query-hotpluggable-cpus");
  const json::array* list = answer.if_array();
  if (list == nullptr) throw Error(Code::corrupt, "query-hotpluggable-cpus did not answer with a list");
  std::vector<Cpu> cpus;
  for (const json::value& one : *list) {
    const json::object* fields = one.if_object();
    const json::value* props = fields != nullptr ? fields->if_contains("props") : nullptr;
    if (props == nullptr || !props->is_object()) throw Error(Code::corrupt, "a CPU has no place");
    cpus.push_back({text_member(*fields, "qom-path"), text_member(*fields, "type"), props->get_object()});
  }
  // QEMU has the last one in front.
  std::reverse(cpus.begin(), cpus.end());
  co_return cpus;
}

Task<> Hotplug::set_cpus(unsigned count, Milliseconds limit) {
  co_await wait_turn();
  const Turn turn(*this);
  if (count < 1 || count > most_cpus_)
    throw Error(Code::invalid_argument, "{} CPUs: this machine can have 1 to {} until it is started anew",
                count, most_cpus_);
  if (count == size_.cpus) co_return;
  // QEMU 7.2 ends with an assertion when one comes while its buffer for code is full, and with a double free
  // after one has gone.
  if (emulated_) {
    throw Error(Code::unsupported,
                "a machine under software emulation keeps its {} CPUs until it is started anew", size_.cpus);
  }
  const auto deadline = std::chrono::steady_clock::now() + limit;
  const std::vector<Cpu> cpus = co_await query_cpus();
  const auto is_there = [](const Cpu& cpu) { return !cpu.path.empty(); };
  size_.cpus = static_cast<unsigned>(std::count_if(cpus.begin(), cpus.end(), is_there));
  for (std::size_t i = 0; i < cpus.size() && size_.cpus < count; ++i) {
    if (is_there(cpus[i])) continue;
    json::object device = cpus[i].place;
    device["driver"] = cpus[i].type;
    device["id"] = fmt::format("cpu{}", next_number_++);
    co_await execute("device_add", std::move(device));
    ++size_.cpus;
  }
  for (std::size_t i = cpus.size(); i-- > 0 && size_.cpus > count;) {
    if (is_there(cpus[i])) co_await remove_cpu(i, cpus[i].path, limit, deadline);
  }
}

/// QEMU does not tell of every CPU's end, so it is asked.
Task<> Hotplug::remove_cpu(std::size_t index, std::string path, Milliseconds limit,
                           std::chrono::steady_clock::time_point deadline) {
  refused_.erase(path);
  json::object device = one_member("id", path);
  co_await execute("device_del", std::move(device));
  while (true) {
    const std::vector<Cpu> cpus = co_await query_cpus();
    if (index >= cpus.size() || cpus[index].path.empty()) break;
    if (refused_.contains(path)) throw Error(Code::busy, "the guest does not let go of CPU {}", index);
    const Milliseconds left = left_until(deadline);
    if (left == Milliseconds(0))
      throw Error(Code::timeout, "the guest did not let go of CPU {} within {} ms", index, limit.count());
    co_await changed_.wait_for(std::min(left, kLookAgain));
  }
  --size_.cpus;
}

/// Unlike DIMMs, virtio-mem can be given and taken in small pieces wherever the guest has them free.
Task<> Hotplug::add_memory_device() {
  const std::string backend = std::string(kMemoryId) + "-backend";
  json::object object = memory_backend(backend, reserved_memory_, shared_memory_);
  co_await execute("object-add", std::move(object));
  json::object device = place_on_bus("virtio-mem-pci", kMemoryId, kMemoryPlace);
  device.erase("disable-legacy");
  device["memdev"] = backend;
  device["requested-size"] = 0;
  std::exception_ptr failure;
  try {
    co_await execute("device_add", std::move(device));
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    json::object undo = one_member("id", backend);
    co_await try_execute("object-del", std::move(undo));
    std::rethrow_exception(failure);
  }
  has_memory_device_ = true;
}

Task<std::uint64_t> Hotplug::plugged_memory() {
  json::object property = memory_property("size");
  const json::value answer = co_await execute("qom-get", std::move(property));
  boost::system::error_code unfit;
  const auto bytes = answer.to_number<std::uint64_t>(unfit);
  if (unfit) throw Error(Code::corrupt, "QEMU did not say how much memory the guest has taken");
  co_return bytes;
}

Task<> Hotplug::request_memory(std::uint64_t bytes) {
  json::object property = memory_property("requested-size");
  property["value"] = bytes;
  co_await execute("qom-set", std::move(property));
}

Task<> Hotplug::set_memory(std::uint64_t bytes, Milliseconds limit) {
  co_await wait_turn();
  const Turn turn(*this);
  if (bytes < first_memory_ || bytes > first_memory_ + reserved_memory_)
    throw Error(Code::invalid_argument,
                "{} of memory: this machine can have {} to {} until it is started anew",
                format_binary_size(bytes), format_binary_size(first_memory_),
                format_binary_size(first_memory_ + reserved_memory_));
  const std::uint64_t more = (bytes - first_memory_ + kMemoryPiece - 1) / kMemoryPiece * kMemoryPiece;
  if (!has_memory_device_ && more == 0) co_return;
  if (!has_memory_device_) co_await add_memory_device();
  co_await request_memory(more);
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::uint64_t has = co_await plugged_memory();
  while (has != more) {
    const Milliseconds left = left_until(deadline);
    if (left == Milliseconds(0)) break;
    co_await changed_.wait_for(std::min(left, kLookAgain));
    has = co_await plugged_memory();
  }
  size_.memory_bytes = first_memory_ + has;
  if (has == more) co_return;
  co_await request_memory(has / kMemoryPiece * kMemoryPiece);
  throw Error(Code::timeout, "the guest {} memory only up to {} within {} ms, not {}; it keeps what it has",
              more < size_.memory_bytes - first_memory_ ? "gave back" : "took",
              format_binary_size(size_.memory_bytes), limit.count(),
              format_binary_size(first_memory_ + more));
}

}  // namespace berth::hypervisor::qemu
