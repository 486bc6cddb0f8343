#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

/// Numbers of SFTP version 3 (draft-ietf-secsh-filexfer-02), the version of OpenSSH.
namespace berth::tether::sftp {

/// The tether's program is the server when it is called so.
inline constexpr std::string_view kServerName = "sftp-server";

inline constexpr std::uint32_t kVersion = 3;
/// Of a packet, as OpenSSH's (PROTOCOL, limits@openssh.com); of the data in one.
inline constexpr std::size_t kPacketLimit = 256u << 10;
inline constexpr std::size_t kDataLimit = kPacketLimit - 1024;
inline constexpr std::size_t kHandleLimit = 256;

enum class Type : std::uint8_t {
  init = 1,
  version = 2,
  open = 3,
  close = 4,
  read = 5,
  write = 6,
  lstat = 7,
  fstat = 8,
  setstat = 9,
  fsetstat = 10,
  opendir = 11,
  readdir = 12,
  remove = 13,
  mkdir = 14,
  rmdir = 15,
  realpath = 16,
  stat = 17,
  rename = 18,
  readlink = 19,
  symlink = 20,
  status = 101,
  handle = 102,
  data = 103,
  name = 104,
  attributes = 105,
  extended = 200,
  extended_reply = 201,
};

enum class Status : std::uint32_t {
  ok = 0,
  end_of_file = 1,
  no_such_file = 2,
  permission_denied = 3,
  failure = 4,
  bad_message = 5,
  unsupported = 8,
};

namespace open_flag {
inline constexpr std::uint32_t read = 1;
inline constexpr std::uint32_t write = 2;
inline constexpr std::uint32_t append = 4;
inline constexpr std::uint32_t create = 8;
inline constexpr std::uint32_t truncate = 16;
inline constexpr std::uint32_t exclusive = 32;
}  // namespace open_flag

}  // namespace berth::tether::sftp
