#include "hypervisor/qemu/block_nodes.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "hypervisor/qcow2.hpp"

namespace berth::hypervisor::qemu {
namespace json = boost::json;

std::vector<BlockImage> block_images(const Disk& disk, const std::string& id,
                                     const std::vector<std::int64_t>& sets) {
  std::vector<BlockImage> images;
  const auto add = [&](const std::string& name, std::int64_t set, DiskFormat format, bool shared) {
    BlockImage image;
    image.file = name + "-file";
    image.node = format == DiskFormat::raw ? image.file : name + "-content";
    if (!images.empty()) image.backing = images.back().node;
    image.descriptor_set = set;
    image.format = format;
    image.shared = shared;
    images.push_back(std::move(image));
  };
  for (std::size_t i = disk.backing.size(); i-- > 0;)
    add(fmt::format("{}-layer{}", id, i), sets.at(i + 1), disk.backing[i].format, true);
  add(id, sets.at(0), disk.format, disk.read_only);
  return images;
}

BlockImage overlay_image(const std::string& id, unsigned number, std::int64_t descriptor_set) {
  BlockImage image;
  image.node = fmt::format("{}-overlay{}-content", id, number);
  image.file = fmt::format("{}-overlay{}-file", id, number);
  image.descriptor_set = descriptor_set;
  image.format = DiskFormat::qcow2;
  return image;
}

std::vector<json::object> block_nodes(const BlockImage& image) {
  json::object file{{"driver", "file"},
                    {"node-name", image.file},
                    {"filename", fmt::format("/dev/fdset/{}", image.descriptor_set)}};
  // As in the command line, see arguments.cpp. To seal changes nothing else: QEMU would refuse.
  const bool read_only = image.shared || image.sealed_by >= 0;
  if (image.shared) file["locking"] = "off";
  if (!image.shared) file["discard"] = "unmap";
  if (read_only) file["read-only"] = true;
  if (image.format == DiskFormat::raw) return {std::move(file)};
  json::object content{{"driver", "qcow2"}, {"node-name", image.node}, {"file", image.file}};
  content["backing"] = image.backing.empty() ? json::value() : json::value(image.backing);
  if (!image.shared) content["discard"] = "unmap";
  if (read_only) content["read-only"] = true;
  return {std::move(file), std::move(content)};
}

void check_layers(const Disk& disk) {
  if (disk.backing.size() > kMostLayers) {
    throw Error(Code::capacity,
                "disk {} has {} layers below it, and a machine takes at most {}: each fork or snapshot adds "
                "one",
                disk.serial, disk.backing.size(), kMostLayers);
  }
  DiskFormat above = disk.format;
  for (const DiskLayer& layer : disk.backing) {
    if (above == DiskFormat::raw)
      throw Error(Code::invalid_argument, "disk {} has a layer below a raw image", disk.serial);
    if (layer.fd < 0) throw Error(Code::invalid_argument, "a layer of disk {} is not open", disk.serial);
    above = layer.format;
  }
}

std::uint64_t image_bytes(int fd, DiskFormat format, bool read_only, const std::string& serial) {
  const int flags = check(::fcntl(fd, F_GETFL), "disk " + serial);
  if ((flags & O_ACCMODE) != (read_only ? O_RDONLY : O_RDWR)) {
    throw Error(Code::invalid_argument, "disk {} is not open for {}", serial,
                read_only ? "reading alone" : "reading and writing");
  }
  if (format == DiskFormat::qcow2) return check_overlay(fd);
  return file_bytes(fd, "disk " + serial);
}

std::uint64_t disk_bytes(const Disk& disk) {
  const std::uint64_t bytes = image_bytes(disk.fd, disk.format, disk.read_only, disk.serial);
  for (const DiskLayer& layer : disk.backing) {
    if (image_bytes(layer.fd, layer.format, true, disk.serial) != bytes)
      throw Error(Code::invalid_argument, "the layers of disk {} differ in size", disk.serial);
  }
  return bytes;
}

}  // namespace berth::hypervisor::qemu
