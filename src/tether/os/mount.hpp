#pragma once

#include <string>

#include "base/unique_fd.hpp"

namespace berth::tether::os {

/// mount(2) with the target in the message of its Error.
void mount_file_system(const std::string& source, const std::string& target, const std::string& type,
                       unsigned long flags = 0, const char* data = nullptr);

/// Binds one file or directory on another. `flags` (MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC) replace the
/// flags of the source when there are any.
void bind_mount(const std::string& source, const std::string& target, unsigned long flags = 0);

/// "/proc/self/fd/N": names what the descriptor is open on, whatever is mounted or renamed since.
std::string descriptor_path(int fd);

/// What follows only links that stay below `root` (openat2, RESOLVE_IN_ROOT). O_PATH descriptors.
/// Nothing when it is missing.
UniqueFd find_in_root(int root, const std::string& path);
/// Makes missing directories with mode 0755; the last component becomes an empty file when `file` is true.
UniqueFd make_in_root(int root, const std::string& path, bool file = false);

}  // namespace berth::tether::os
