#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/executor.hpp"

/// Mounts of NFS servers' exports by the kernel's client. All of it may block for as long as a server is
/// silent: it is for workers.
namespace berth::tether::os {

/// By what names become addresses, and which client this machine is.
struct NfsSurroundings {
  std::string client;                        ///< no other machine of a server's calls itself so
  std::map<std::string, std::string> hosts;  ///< name, and its addresses with blanks between them
  std::vector<std::string> nameservers;      ///< IPv4 and IPv6 addresses; the former are asked
  std::vector<std::string> search;
};

/// Mounts `nfs://SERVER/PATH` with the mode string's options (config::parse_nfs_options) on `place`: from the
/// first of the server's addresses that works. Throws not-found naming the server, with the reason for each
/// address; invalid-argument for options that cannot be.
void mount_nfs(const config::MountSpec& spec, const std::string& place, const NfsSurroundings& surroundings);

/// The addresses of a server: itself, those of `hosts`, else those that a name server says. Throws not-found.
std::vector<std::string> resolve_server(const std::string& server, const NfsSurroundings& surroundings);

/// What mount(2) is told, without its flags.
std::string nfs_data(std::string_view address, std::string_view own_address, std::string_view version,
                     std::uint16_t port, std::string_view rest);

}  // namespace berth::tether::os
