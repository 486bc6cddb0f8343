#include <fmt/format.h>

#include <exception>
#include <utility>

#include <boost/json/array.hpp>

#include "base/error.hpp"
#include "base/io.hpp"
#include "hypervisor/qemu/arguments.hpp"
#include "hypervisor/qemu/hotplug.hpp"
#include "hypervisor/qemu/machine_spec.hpp"

namespace berth::hypervisor::qemu {
namespace json = boost::json;
namespace {

std::int64_t integer(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr || !value->is_int64()) throw Error(Code::corrupt, "QEMU did not say where a file is");
  return value->get_int64();
}

json::object disk_device(const Disk& disk, const std::string& id, const std::string& node, unsigned place) {
  json::object device = place_on_bus("virtio-blk-pci", id, place);
  device["drive"] = node;
  device["serial"] = disk.serial;
  if (!disk.read_only) {
    device["discard"] = true;
    device["werror"] = "report";
    device["rerror"] = "report";
  }
  return device;
}

/// The numbers in one descriptor set, from the answer of query-fdsets.
std::vector<std::int64_t> descriptors_in(const json::value& answer, std::int64_t set) {
  std::vector<std::int64_t> found;
  const json::array* sets = answer.if_array();
  if (sets == nullptr) throw Error(Code::corrupt, "query-fdsets did not answer with a list");
  for (const json::value& one : *sets) {
    const json::object* fields = one.if_object();
    if (fields == nullptr || integer(*fields, "fdset-id") != set) continue;
    const json::value* list = fields->if_contains("fds");
    if (list == nullptr || !list->is_array()) throw Error(Code::corrupt, "a descriptor set has no list");
    for (const json::value& descriptor : list->get_array()) {
      if (descriptor.is_object()) found.push_back(integer(descriptor.get_object(), "fd"));
    }
  }
  return found;
}

/// Whether a device writes to the node, by the answer of query-block.
bool is_top_of_device(const json::value& answer, std::string_view node) {
  const json::array* devices = answer.if_array();
  if (devices == nullptr) throw Error(Code::corrupt, "query-block did not answer with a list");
  for (const json::value& device : *devices) {
    const json::object* fields = device.if_object();
    const json::value* medium = fields != nullptr ? fields->if_contains("inserted") : nullptr;
    const json::object* inserted = medium != nullptr ? medium->if_object() : nullptr;
    const json::value* name = inserted != nullptr ? inserted->if_contains("node-name") : nullptr;
    if (name != nullptr && name->is_string() && name->get_string() == node) return true;
  }
  return false;
}

}  // namespace

Task<> Hotplug::add_disk(Disk disk) {
  check_disk(disk);
  const std::uint64_t bytes = disk_bytes(disk);
  co_await wait_turn();
  const Turn turn(*this);
  co_await sweep();
  if (disks_.contains(disk.serial))
    throw Error(Code::already_exists, "the machine has a disk {} already", disk.serial);
  const std::string id = fmt::format("plug{}", next_number_++);
  Plugged plugged;
  plugged.key = disk.serial;
  plugged.place = take_place();
  plugged.is_disk = true;
  Files files;
  files.bytes = bytes;
  files.read_only = disk.read_only;
  files_[id] = std::move(files);
  std::exception_ptr failure;
  try {
    co_await plug_disk(id, disk, plugged.place);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await remove_images(id);
    std::rethrow_exception(failure);
  }
  disks_.emplace(disk.serial, id);
  plugged_.emplace(id, plugged);
}

Task<> Hotplug::plug_disk(std::string id, Disk disk, unsigned place) {
  std::vector<int> descriptors{disk.fd};
  for (const DiskLayer& layer : disk.backing) descriptors.push_back(layer.fd);
  std::vector<BlockImage> images = block_images(disk, id, std::vector<std::int64_t>(descriptors.size(), -1));
  for (BlockImage& image : images) {
    image.descriptor_set = integer(co_await add_descriptor(descriptors.back()), "fdset-id");
    descriptors.pop_back();
    files_[id].images.push_back(image);
    co_await add_image(image);
  }
  json::object device = disk_device(disk, id, images.back().node, place);
  co_await execute("device_add", std::move(device));
}

/// What QEMU says of it: its set and its number there.
Task<json::object> Hotplug::add_descriptor(int fd, json::object arguments) {
  UniqueFd file = duplicate(fd);
  const json::value answer = co_await qmp_.execute_with(std::move(file), "add-fd", std::move(arguments));
  const json::object* fields = answer.if_object();
  if (fields == nullptr) throw Error(Code::corrupt, "QEMU did not say where a file is");
  co_return *fields;
}

Task<> Hotplug::add_image(BlockImage image) {
  std::vector<json::object> nodes = block_nodes(image);
  for (json::object& node : nodes) co_await execute("blockdev-add", std::move(node));
}

Task<> Hotplug::remove_image(BlockImage image) {
  json::object content{{"node-name", image.node}};
  co_await try_execute("blockdev-del", std::move(content));
  if (image.node != image.file) {
    json::object file{{"node-name", image.file}};
    co_await try_execute("blockdev-del", std::move(file));
  }
  json::object set{{"fdset-id", image.descriptor_set}};
  co_await try_execute("remove-fd", std::move(set));
}

Task<> Hotplug::remove_images(std::string id) {
  const Files files = std::exchange(files_[id], {});
  files_.erase(id);
  for (auto image = files.images.rbegin(); image != files.images.rend(); ++image)
    co_await remove_image(*image);
}

Hotplug::Files& Hotplug::files_of(const std::string& serial) {
  const auto known = disks_.find(serial);
  if (known == disks_.end() || deleted_.contains(known->second))
    throw Error(Code::not_found, "the machine has no disk {}", serial);
  return files_.at(known->second);
}

Task<> Hotplug::snapshot_disk(std::string serial, int overlay) {
  const std::uint64_t bytes = image_bytes(overlay, DiskFormat::qcow2, false, serial);
  co_await wait_turn();
  const Turn turn(*this);
  Files& files = files_of(serial);
  if (files.read_only) throw Error(Code::wrong_state, "nothing is written to disk {}", serial);
  if (files.unsettled) throw Error(Code::busy, "a snapshot of disk {} is under way", serial);
  if (files.images.size() > kMostLayers)
    throw Error(Code::capacity, "disk {} has {} layers below it already", serial, kMostLayers);
  if (bytes != files.bytes)
    throw Error(Code::invalid_argument, "the overlay is not of the size of disk {}", serial);
  const std::int64_t set = integer(co_await add_descriptor(overlay), "fdset-id");
  const BlockImage image = overlay_image(disks_.at(serial), ++files.overlays, set);
  const std::string below = files.images.back().node;
  std::exception_ptr failure;
  try {
    co_await put_over(image, below);
  } catch (const Error& error) {
    failure = std::current_exception();
    if (error.code() == Code::timeout) files.unsettled = image;
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    // What QEMU may come to use yet has to stay.
    if (!files.unsettled) co_await remove_image(image);
    std::rethrow_exception(failure);
  }
  files.images.push_back(image);
  files.images.back().backing = below;
  ++files.snapshots;
}

Task<> Hotplug::put_over(BlockImage overlay, std::string below) {
  co_await add_image(overlay);
  json::object arguments{{"node", below}, {"overlay", overlay.node}};
  co_await qmp_.execute("blockdev-snapshot", std::move(arguments), snapshot_limit_);
}

/// QEMU carries out one command after the other: when it answers this one, it is done with those before.
Task<> Hotplug::settle_disk(std::string serial, bool& is_there) {
  co_await wait_turn();
  const Turn turn(*this);
  Files& files = files_of(serial);
  is_there = false;
  if (!files.unsettled) co_return;
  const json::value devices = co_await execute("query-block");
  BlockImage image = *files.unsettled;
  is_there = is_top_of_device(devices, image.node);
  files.unsettled.reset();
  if (is_there) {
    image.backing = files.images.back().node;
    files.images.push_back(std::move(image));
    ++files.snapshots;
  } else {
    co_await remove_image(std::move(image));
  }
}

Task<> Hotplug::seal_disk(std::string serial, int layer) {
  co_await wait_turn();
  const Turn turn(*this);
  Files& files = files_of(serial);
  if (files.snapshots == 0) throw Error(Code::wrong_state, "disk {} has no layer to seal", serial);
  BlockImage& below = files.images.at(files.images.size() - 2);
  if (below.sealed_by < 0) {
    image_bytes(layer, below.format, true, serial);
    json::object same_set{{"fdset-id", below.descriptor_set}};
    BlockImage sealed = below;
    sealed.sealed_by = integer(co_await add_descriptor(layer, std::move(same_set)), "fd");
    co_await reopen_sealed(sealed);
    below = sealed;
  }
  std::vector<BlockImage> all;
  for (const BlockImage& image : files.images) {
    if (image.sealed_by >= 0) all.push_back(image);
  }
  co_await close_writable(std::move(all));
}

/// QEMU opens the file anew by the one descriptor of its set that is for reading alone.
Task<> Hotplug::reopen_sealed(BlockImage layer) {
  json::array nodes;
  for (json::object& node : block_nodes(layer)) nodes.insert(nodes.begin(), std::move(node));
  json::object arguments{{"options", std::move(nodes)}};
  co_await execute("blockdev-reopen", std::move(arguments));
}

/// QEMU closes what is removed from a set only while the guest runs.
Task<> Hotplug::close_writable(std::vector<BlockImage> sealed) {
  const json::value sets = co_await execute("query-fdsets");
  for (const BlockImage& image : sealed) {
    for (const std::int64_t descriptor : descriptors_in(sets, image.descriptor_set)) {
      if (descriptor == image.sealed_by) continue;
      json::object arguments{{"fdset-id", image.descriptor_set}, {"fd", descriptor}};
      co_await execute("remove-fd", std::move(arguments));
    }
  }
}

}  // namespace berth::hypervisor::qemu
