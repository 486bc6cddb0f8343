#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace berth::tether::os {

/// What a container's files under /etc say.
struct NameSettings {
  std::string hostname;
  std::string domain;
  std::vector<std::string> addresses;                              ///< of the container
  std::vector<std::pair<std::string, std::string>> network_names;  ///< name, address
  std::map<std::string, std::string> extra_hosts;                  ///< name: addresses with blanks between
  std::vector<std::string> nameservers;
  std::vector<std::string> search;
  std::vector<std::string> options;
  bool operator==(const NameSettings&) const = default;
};

/// Our part of /etc/hosts: Docker's fixed entries, the container's own name on its addresses (on 127.0.1.1
/// and ::1 without any), its networks, extra hosts. Words that would break a line are left out.
std::string make_hosts(const NameSettings& settings);
/// Our part of /etc/resolv.conf; empty when nothing is known.
std::string make_resolver(const NameSettings& settings);

/// What of an image's file stands below our part: /etc/hosts without names that ours gives, /etc/resolv.conf
/// without settings that ours makes.
std::string rest_of_hosts(std::string_view image_file, std::string_view ours);
std::string rest_of_resolver(std::string_view image_file, std::string_view ours);

/// The file with our part in its marks in the place of the one that was there, or before everything; what
/// else is in the file stays as it is. Nothing but the file when our part is empty and was not there.
std::string blend(std::string_view file, std::string_view ours);

}  // namespace berth::tether::os
