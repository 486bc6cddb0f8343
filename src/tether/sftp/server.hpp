#pragma once

#include <dirent.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"
#include "link/wire.hpp"
#include "tether/sftp/protocol.hpp"

namespace berth::tether::sftp {

/// Answers one client with the rights of the process, as sftp-server(8) does: SFTP version 3 with OpenSSH's
/// extensions posix-rename, hardlink, fsync, lsetstat and limits. Blocks.
class Server {
 public:
  Server();
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// The answer to one packet, both without the length in front. Throws Code::corrupt for what is no packet.
  std::string answer(std::string_view packet);

 private:
  struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  /// A file, or a directory that is being read.
  struct Handle {
    UniqueFd file;
    std::unique_ptr<DIR, CloseDirectory> directory;
    bool used() const { return file || directory; }
  };
  using Reader = link::wire::Reader;

  std::string answer_request(Type type, std::uint32_t id, Reader& request);
  std::string answer_extended(std::uint32_t id, Reader& request);
  std::string open(std::uint32_t id, Reader& request);
  std::string open_directory(std::uint32_t id, Reader& request);
  std::string close(std::uint32_t id, Reader& request);
  std::string read(std::uint32_t id, Reader& request);
  std::string write(std::uint32_t id, Reader& request);
  std::string stat(std::uint32_t id, Reader& request, bool follow);
  std::string stat_handle(std::uint32_t id, Reader& request);
  std::string read_directory(std::uint32_t id, Reader& request);
  std::string real_path(std::uint32_t id, Reader& request);
  std::string read_link(std::uint32_t id, Reader& request);

  Handle* free_handle(std::string& name);
  Handle* find(const std::string& name);

  std::array<Handle, kHandleLimit> handles_;
};

/// Serves packets with their lengths until the input ends. Returns the exit status: 0, or 1 for a client that
/// does not keep to the protocol.
int serve(int input, int output);

}  // namespace berth::tether::sftp
