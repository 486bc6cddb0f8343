#pragma once

#include <map>
#include <string>

namespace berth::volume {

/// Where an NFS volume is.
struct NfsSource {
  std::string server;  ///< a name or an IP address
  std::string path;
  std::string options;  ///< of config::parse_nfs_options
};

/// What `--opt type=nfs --opt o=addr=SERVER,... --opt device=:PATH` mean. Throws invalid-argument for what
/// names no server or path, and what the options throw.
NfsSource parse_nfs_source(const std::map<std::string, std::string>& options);

}  // namespace berth::volume
