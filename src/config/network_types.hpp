#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "describe/describe.hpp"

/// Addresses and locations, stored as Go's net and net/url types are.
namespace berth::config {

/// An address as net.IP holds it: no bytes, 4, or 16 (an IPv4 address may be the 16 bytes of ::ffff:a.b.c.d).
struct IpAddress : describe::Bytes {
  static bool valid(std::string_view bytes) {
    return bytes.empty() || bytes.size() == 4 || bytes.size() == 16;
  }

  /// Throws invalid-argument.
  static IpAddress parse(std::string_view text);
  /// From host byte order.
  static IpAddress v4(std::uint32_t number);

  bool is_v4() const;
  /// Of an IPv4 address, in host byte order; throws invalid-argument for another.
  std::uint32_t v4_number() const;
  /// "10.0.0.1", "fe80::1"; empty for none.
  std::string to_string() const;
  /// As to_string, but the 16 bytes of an IPv4 address are "::ffff:10.0.0.1", so that set_text gives the same
  /// bytes.
  std::string text() const;
  bool set_text(std::string_view text);
};

/// A mask as net.IPMask holds it: no bytes, 4, or 16.
struct IpMask : describe::Bytes {
  static bool valid(std::string_view bytes) { return IpAddress::valid(bytes); }
  /// Written as an address: "255.255.255.0", "ffff::".
  std::string text() const { return IpAddress{{data}}.text(); }
  bool set_text(std::string_view text);

  /// `bits` leading ones of `size` bytes.
  static IpMask of(int bits, int size);
  /// The number of leading ones, or nothing when it is not a row of ones.
  std::optional<int> bits() const;
};

/// An address with the mask of its network.
struct IpNetwork {
  IpAddress ip;
  IpMask mask;

  /// "10.0.0.1/24", the address kept as it is; throws invalid-argument.
  static IpNetwork parse(std::string_view text);
  bool empty() const { return ip.empty(); }
  /// "10.0.0.1/24"; empty for none.
  std::string to_string() const;
  bool contains(const IpAddress& address) const;
  bool operator==(const IpNetwork&) const = default;
};

constexpr auto describe(const IpNetwork*) {
  using namespace describe;
  return fields(field<&IpNetwork::ip>("IP"), field<&IpNetwork::mask>("Mask"));
}

/// First and last address of a pool.
struct IpRange {
  IpAddress first;
  IpAddress last;
  bool operator==(const IpRange&) const = default;
};

constexpr auto describe(const IpRange*) {
  using namespace describe;
  return fields(field<&IpRange::first>("FirstIP", "first", scope::read_only),
                field<&IpRange::last>("LastIP", "last", scope::read_only));
}

/// User name and password of a URL; sealed where they are stored.
struct UserInfo {
  std::string username;
  std::optional<std::string> password;
  bool operator==(const UserInfo&) const = default;
};

constexpr auto describe(const UserInfo*) {
  using namespace describe;
  return fields(field<&UserInfo::username>("Username", "Username", scope::secret),
                field<&UserInfo::password>("Password", "Password", scope::secret));
}

/// The public fields of Go's url.URL.
struct Url {
  std::string scheme;
  std::string opaque;
  std::optional<UserInfo> user;
  std::string host;
  std::string path;
  std::string raw_path;
  bool force_query = false;
  std::string raw_query;
  std::string fragment;
  bool operator==(const Url&) const = default;
};

constexpr auto describe(const Url*) {
  using namespace describe;
  return fields(field<&Url::scheme>("Scheme"), field<&Url::opaque>("Opaque"), field<&Url::user>("User"),
                field<&Url::host>("Host"), field<&Url::path>("Path"), field<&Url::raw_path>("RawPath"),
                field<&Url::force_query>("ForceQuery"), field<&Url::raw_query>("RawQuery"),
                field<&Url::fragment>("Fragment"));
}

}  // namespace berth::config
