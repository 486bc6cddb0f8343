#pragma once

#include "config/appliance.hpp"

/// How the appliance's types are stored.
namespace berth::config {

constexpr auto describe(const Connection*) {
  using namespace fields_of;
  return fields(field<&Connection::target>("Target", "target", ro),
                field<&Connection::username>("Username", "username", ro),
                field<&Connection::token>("Token", "token", scope::secret),
                field<&Connection::target_thumbprint>("TargetThumbprint", "target_thumbprint", ro),
                field<&Connection::keepalive>("Keepalive", "keepalive", ro));
}

constexpr auto describe(const MailAddress*) {
  using namespace fields_of;
  return fields(field<&MailAddress::name>("Name"), field<&MailAddress::address>("Address"));
}

constexpr auto describe(const Contacts*) {
  using namespace fields_of;
  return fields(field<&Contacts::admin>("Admin"),
                field<&Contacts::infrastructure_admin>("InfrastructureAdmin"));
}

constexpr auto describe(const RawCertificate*) {
  using namespace fields_of;
  return fields(field<&RawCertificate::key>("Key", "Key", scope::secret),
                field<&RawCertificate::cert>("Cert"));
}

constexpr auto describe(const Certificate*) {
  using namespace fields_of;
  return fields(
      field<&Certificate::user_certificates>("UserCertificates"),
      field<&Certificate::network_certificates>("NetworkCertificates"),
      field<&Certificate::host_certificate>("HostCertificate", "HostCertificate", ro),
      field<&Certificate::certificate_authorities>("CertificateAuthorities", "CertificateAuthorities", ro),
      field<&Certificate::registry_certificate_authorities>("RegistryCertificateAuthorities",
                                                            "RegistryCertificateAuthorities", ro),
      field<&Certificate::host_certificates>("HostCertificates"));
}

constexpr auto describe(const Storage*) {
  using namespace fields_of;
  return fields(field<&Storage::image_stores>("ImageStores", "image_stores", ro),
                field<&Storage::storage_quota>("StorageQuota", "storage_quota", ro),
                field<&Storage::volume_locations>("VolumeLocations", "VolumeLocations", ro),
                field<&Storage::scratch_size>("ScratchSize", "scratch_size", ro));
}

constexpr auto describe(const Network*) {
  using namespace fields_of;
  return fields(field<&Network::bridge_network>("BridgeNetwork", "bridge_network", ro),
                field<&Network::container_networks>("ContainerNetworks", "container_networks", ro),
                field<&Network::bridge_ip_range>("BridgeIPRange", "bridge-ip-range", ro),
                field<&Network::bridge_network_width>("BridgeNetworkWidth", "bridge-net-width", ro));
}

constexpr auto describe(const SharesInfo*) {
  using namespace fields_of;
  return fields(field<&SharesInfo::shares>("Shares"), field<&SharesInfo::level>("Level"));
}

constexpr auto describe(const ResourceAllocation*) {
  using namespace fields_of;
  return fields(field<&ResourceAllocation::reservation>("Reservation"),
                field<&ResourceAllocation::expandable_reservation>("ExpandableReservation"),
                field<&ResourceAllocation::limit>("Limit"), field<&ResourceAllocation::shares>("Shares"),
                field<&ResourceAllocation::overhead_limit>("OverheadLimit"));
}

constexpr auto describe(const Resources*) {
  using namespace fields_of;
  return fields(field<&Resources::cpu>("CPU"), field<&Resources::memory>("Memory"),
                field<&Resources::io>("IO"), field<&Resources::storage>("Storage"));
}

constexpr auto describe(const ManagedObject*) {
  using namespace fields_of;
  return fields(field<&ManagedObject::type>("Type"), field<&ManagedObject::value>("Value"));
}

constexpr auto describe(const Container*) {
  using namespace fields_of;
  return fields(field<&Container::container_vm_size>("ContainerVMSize", "ContainerVMSize", ro).depth(0),
                field<&Container::compute_resources>("ComputeResources", "ComputeResources", ro),
                field<&Container::bootstrap_image_path>("BootstrapImagePath", "bootstrap_image_path", ro),
                field<&Container::container_name_convention>("ContainerNameConvention"),
                field<&Container::use_vm_group>("UseVMGroup"),
                field<&Container::vm_group_name>("VMGroupName"),
                field<&Container::container_stores>("ContainerStores", "ContainerStores", ro).depth(0),
                field<&Container::container_count>("ContainerCount", "container_count", ro));
}

constexpr auto describe(const Registry*) {
  using namespace fields_of;
  return fields(field<&Registry::registry_whitelist>("RegistryWhitelist", "whitelist_registries", ro),
                field<&Registry::registry_blacklist>("RegistryBlacklist", "RegistryBlacklist", ro).depth(0),
                field<&Registry::insecure_registries>("InsecureRegistries", "insecure_registries", ro));
}

constexpr auto describe(const ApplianceConfig*) {
  using namespace fields_of;
  return fields(
      field<&ApplianceConfig::executor>("ExecutorConfig", "init", ro),
      field<&ApplianceConfig::connection>("Connection", "connect", ro),
      field<&ApplianceConfig::contacts>("Contacts", "contact", ro),
      field<&ApplianceConfig::certificate>("Certificate", "cert", ro),
      field<&ApplianceConfig::storage>("Storage", "storage", ro),
      field<&ApplianceConfig::network>("Network", "network", ro),
      field<&ApplianceConfig::container>("Container", "container", ro),
      field<&ApplianceConfig::registry>("Registry", "registry", ro),
      field<&ApplianceConfig::create_bridge_network>("CreateBridgeNetwork", "create_bridge_network", ro),
      field<&ApplianceConfig::grant_permissions_level>("GrantPermsLevel", "grant_permissions", ro),
      field<&ApplianceConfig::create_options>("VicMachineCreateOptions", "vic_machine_create_options", ro));
}

}  // namespace berth::config

namespace berth::describe {
// Made once, in appliance.cpp.
extern template const Type& type_of<config::ApplianceConfig>();
}  // namespace berth::describe
