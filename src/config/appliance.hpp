#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/executor.hpp"

/// The configuration of the appliance, VIC's virtual container host, with the names, keys and scopes it has
/// there.
namespace berth::config {

struct Connection {
  std::string target;
  std::string username;
  std::string token;
  std::string target_thumbprint;
  std::chrono::nanoseconds keepalive{};
  bool operator==(const Connection&) const = default;
};

/// net/mail's Address.
struct MailAddress {
  std::string name;
  std::string address;
  bool operator==(const MailAddress&) const = default;
};

struct Contacts {
  std::vector<MailAddress> admin;
  std::vector<MailAddress> infrastructure_admin;
  bool operator==(const Contacts&) const = default;
};

struct RawCertificate {
  Bytes key;
  Bytes cert;
  bool operator==(const RawCertificate&) const = default;
};

struct Certificate {
  std::vector<std::optional<RawCertificate>> user_certificates;
  std::map<std::string, std::optional<RawCertificate>> network_certificates;
  std::optional<RawCertificate> host_certificate;
  Bytes certificate_authorities;
  Bytes registry_certificate_authorities;
  std::map<std::string, std::optional<RawCertificate>> host_certificates;
  bool operator==(const Certificate&) const = default;
};

/// Sizes in bytes.
struct Storage {
  std::vector<Url> image_stores;
  std::int64_t storage_quota = 0;
  std::map<std::string, std::optional<Url>> volume_locations;
  std::int64_t scratch_size = 0;
  bool operator==(const Storage&) const = default;
};

struct Network {
  std::string bridge_network;
  std::map<std::string, std::optional<ContainerNetwork>> container_networks;
  std::optional<IpNetwork> bridge_ip_range;
  std::optional<IpMask> bridge_network_width;
  bool operator==(const Network&) const = default;
};

struct SharesInfo {
  std::int32_t shares = 0;
  std::string level;
  bool operator==(const SharesInfo&) const = default;
};

struct ResourceAllocation {
  std::optional<std::int64_t> reservation;
  std::optional<bool> expandable_reservation;
  std::optional<std::int64_t> limit;
  std::optional<SharesInfo> shares;
  std::optional<std::int64_t> overhead_limit;
  bool operator==(const ResourceAllocation&) const = default;
};

struct Resources {
  ResourceAllocation cpu;
  ResourceAllocation memory;
  ResourceAllocation io;
  ResourceAllocation storage;
  bool operator==(const Resources&) const = default;
};

/// An object of the platform.
struct ManagedObject {
  std::string type;
  std::string value;
  bool operator==(const ManagedObject&) const = default;
};

/// Size and stores of the containers are settled when the appliance is made, and not stored.
struct Container {
  Resources container_vm_size;
  std::vector<ManagedObject> compute_resources;
  std::string bootstrap_image_path;
  std::string container_name_convention;
  std::vector<Url> container_stores;
  bool use_vm_group = false;
  std::string vm_group_name;
  std::int64_t container_count = 0;
  bool operator==(const Container&) const = default;
};

/// The blacklist is not stored.
struct Registry {
  std::vector<std::string> registry_whitelist;
  std::vector<std::string> registry_blacklist;
  std::vector<std::string> insecure_registries;
  bool operator==(const Registry&) const = default;
};

struct ApplianceConfig {
  ExecutorConfig executor;
  Connection connection;
  Contacts contacts;
  Certificate certificate;
  Storage storage;
  Network network;
  Container container;
  Registry registry;
  bool create_bridge_network = false;
  std::string grant_permissions_level;
  std::vector<std::string> create_options;
  bool operator==(const ApplianceConfig&) const = default;
};

}  // namespace berth::config

#include "config/appliance_fields.hpp"
