#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"
#include "link/archive.hpp"
#include "tar/stream.hpp"

namespace berth::launcher {
class Client;
class CopyStream;
}  // namespace berth::launcher

namespace berth::engine {

/// The files of one container, for copies in and out. While this lives, a container that does not run has a
/// machine for it, which ends with the last of them.
class ContainerFiles {
 public:
  /// A read that is under way.
  class Reader {
   public:
    explicit Reader(std::unique_ptr<launcher::CopyStream> stream);
    Reader(Reader&&) noexcept;
    ~Reader();

    const link::archive::PathStat& stat() const { return stat_; }
    /// The next piece of the tar stream, foreign bytes; empty at its orderly end.
    std::string_view next();
    /// After the end: what could not be read, a line each.
    const std::string& warnings() const;

   private:
    std::unique_ptr<launcher::CopyStream> stream_;
    link::archive::PathStat stat_;
  };

  ContainerFiles(std::unique_ptr<launcher::Client> client, UniqueFd hold);
  ContainerFiles(ContainerFiles&&) noexcept;
  ~ContainerFiles();

  /// Paths are as of link::archive::Order. Throws not-found, invalid-argument for what is no folder where one
  /// must be.
  link::archive::PathStat stat(const std::string& path);
  Reader read(const std::string& path);
  /// Unpacks the tar stream that `give` puts into the sink, in the folder `path`. Files belong to root unless
  /// `keep_owners`. Returns what was left out, lines. Throws wrong-state for a read-only file system.
  std::string write(const std::string& path, bool keep_owners,
                    const std::function<void(const tar::Sink&)>& give);

 private:
  std::unique_ptr<launcher::Client> client_;
  UniqueFd hold_;
};

}  // namespace berth::engine
