#include "volume/nfs.hpp"

#include "base/error.hpp"
#include "base/text.hpp"
#include "config/nfs.hpp"

namespace berth::volume {
namespace {

std::string value_of(const std::map<std::string, std::string>& options, const std::string& name) {
  const auto found = options.find(name);
  return found == options.end() ? std::string() : found->second;
}

}  // namespace

NfsSource parse_nfs_source(const std::map<std::string, std::string>& options) {
  const std::string type = value_of(options, "type");
  if (type != "nfs" && type != "nfs4") {
    throw Error(Code::invalid_argument,
                "--opt type={}: the only type is nfs; without a type a volume is a disk",
                printable(type, 100));
  }
  const std::string device = value_of(options, "device");
  const std::size_t colon = device.starts_with('[') ? device.find("]:") + 1 : device.find(':');
  if (device.empty() || colon == std::string::npos || device[colon] != ':') {
    throw Error(Code::invalid_argument, "--opt device '{}': use :/PATH of the server's export",
                printable(device, 100));
  }
  NfsSource source;
  source.options = value_of(options, "o");
  source.path = device.substr(colon + 1);
  config::check_nfs_path(source.path);
  const config::NfsOptions parsed = config::parse_nfs_options(source.options);
  if (type == "nfs4" && parsed.version == "3")
    throw Error(Code::invalid_argument, "--opt type=nfs4 and vers=3 exclude each other: use type=nfs");
  source.server = parsed.address;
  if (source.server.empty()) {
    source.server = device.substr(0, colon);
    if (source.server.starts_with('[')) source.server = source.server.substr(1, source.server.size() - 2);
    if (source.server.empty())
      throw Error(Code::invalid_argument, "no NFS server is named: use --opt o=addr=SERVER,...");
    config::check_nfs_server(source.server);
  }
  return source;
}

}  // namespace berth::volume
