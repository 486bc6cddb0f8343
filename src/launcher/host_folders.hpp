#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async.hpp"
#include "base/error.hpp"
#include "hypervisor/hypervisor.hpp"
#include "launcher/paths.hpp"
#include "record/pod.hpp"

namespace berth::launcher {

enum class SourceKind { folder, file };

/// Nothing when it is not there. Throws invalid-argument for what is neither folder nor file.
std::optional<SourceKind> find_source(const std::string& source);

/// As find_source; throws not-found when it is not there.
SourceKind require_source(const std::string& source);

/// QEMU's virtiofsd. Throws not-found and names the package.
std::filesystem::path file_server_program();

/// Makes the folders that are missing and may be made. Throws not-found for others, and as the two above.
void prepare_sources(const std::vector<record::HostFolder>& folders);

/// The folders of the host that one machine has. A process of virtiofsd serves each, in namespaces of its own
/// where it sees that folder alone; all of them end with this object, and with this process however it ends.
class HostFolders {
 public:
  /// Starts the servers; `runtime` is a folder that nobody else may enter. Throws, naming the folder, as
  /// find_source and file_server_program do, and unavailable when the host does not let a server be confined.
  HostFolders(const asio::any_io_executor& executor, const std::filesystem::path& runtime, const Paths& paths,
              const std::vector<record::HostFolder>& folders);
  ~HostFolders();
  HostFolders(const HostFolders&) = delete;
  HostFolders& operator=(const HostFolders&) = delete;

  /// For the machine, once; the descriptors are of this object until machine_has_them().
  std::vector<hypervisor::SharedFolder> shared() const;
  void machine_has_them();
  /// Tells the guest which are files.
  void complete(std::map<std::string, config::MountSpec>& mounts) const;

  /// Why a server failed; nothing when none has within `limit`. One that ended with its machine has not
  /// failed.
  Task<std::optional<Error>> find_failure(Milliseconds limit);
  /// Returns when a server has ended, with what is to be said of it.
  Task<Error> wait_end_of_one();
  /// Ends them all.
  Task<> end(Milliseconds limit);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::launcher
