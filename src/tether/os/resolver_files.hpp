#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace berth::tether::os {

/// /etc/hosts of a container: Docker's fixed entries, its own name on its addresses (on 127.0.1.1 without
/// any), then `extra` (name to address), then the lines of the image's file that say something else.
std::string make_hosts_file(std::string_view hostname, std::string_view domain,
                            const std::vector<std::string>& addresses,
                            const std::map<std::string, std::string>& extra, std::string_view image_file);

/// /etc/resolv.conf; the image's file when there are no name servers.
std::string make_resolver_file(const std::vector<std::string>& nameservers,
                               const std::vector<std::string>& search, std::string_view image_file);

}  // namespace berth::tether::os
