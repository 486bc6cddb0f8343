#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/unique_fd.hpp"

namespace berth {

/// Largest file that read_file accepts unless told otherwise, in bytes.
inline constexpr std::size_t kReadFileLimit = 64u << 20;

/// open(2) with O_CLOEXEC; throws with the path in the message.
UniqueFd open_file(const std::filesystem::path& path, int flags, mode_t mode = 0600);

/// Both ends close-on-exec: {read end, write end}.
std::pair<UniqueFd, UniqueFd> make_pipe(int flags = 0);

/// A connected pair of unix stream sockets, close-on-exec.
std::pair<UniqueFd, UniqueFd> make_socket_pair(int type_flags = 0);

/// A second descriptor of the same open file, close-on-exec.
UniqueFd duplicate(int fd);

void set_nonblocking(int fd, bool on = true);

/// Writes everything, blocking; throws on error.
void write_all(int fd, std::string_view bytes);

/// Reads to the end; throws Code::capacity beyond `limit` bytes.
std::string read_all(int fd, std::size_t limit = kReadFileLimit);

/// The whole file; throws not-found when it is missing.
std::string read_file(const std::filesystem::path& path, std::size_t limit = kReadFileLimit);
/// The whole file, or nothing when it is missing.
std::optional<std::string> find_file(const std::filesystem::path& path, std::size_t limit = kReadFileLimit);

enum class AfterPowerCut { kept, lost };

/// Replaces `path` so that a reader sees the old or the new content, also after a power cut unless it is
/// `lost` then.
void write_file_atomically(const std::filesystem::path& path, std::string_view content, mode_t mode = 0600,
                           AfterPowerCut after_power_cut = AfterPowerCut::kept);

/// Writes in place, as kernel interface files (/proc, /sys) need it.
void write_kernel_file(const std::filesystem::path& path, std::string_view content);

}  // namespace berth
