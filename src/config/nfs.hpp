#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// Mount options of NFS, by the names that nfs(5) has for them.
namespace berth::config {

struct NfsOptions {
  std::string address;  ///< of the server: a name or an IP address; may be empty
  std::string version;  ///< "3", "4.0", "4.1", "4.2"; empty: the newest 4.x that the server has
  std::uint16_t port = 2049;
  bool read_only = false;
  std::string rest;  ///< the others, with commas between: flags of mount(8) and data of the kernel's client
  bool operator==(const NfsOptions&) const = default;
};

/// "addr=nas,rw,vers=4.2,timeo=100". Only options that are known get through, with values in their ranges.
/// Throws invalid-argument, unsupported for other security than sec=sys.
NfsOptions parse_nfs_options(std::string_view text);

/// Throws invalid-argument for what can be no export: it begins with '/', and has no control characters.
void check_nfs_path(std::string_view path);

/// Throws invalid-argument for what is neither a host name nor an IP address.
void check_nfs_server(std::string_view server);

}  // namespace berth::config
