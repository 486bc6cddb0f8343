#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/process.hpp"
#include "base/unique_fd.hpp"
#include "launcher/host_folders.hpp"

namespace berth::launcher {

/// What one file server serves.
struct FolderService {
  std::filesystem::path program;  ///< virtiofsd
  std::string source;
  SourceKind kind = SourceKind::folder;
  bool read_only = false;
};

/// The name of a source that is a file in the folder that the guest sees.
inline constexpr const char* kSharedFile = "file";

/// Command line of virtiofsd; `listener` is its descriptor of a listening socket.
std::vector<std::string> file_server_arguments(int listener, const std::string& folder);

struct FolderServer {
  Process process;
  UniqueFd machine;  ///< connected with it, for the machine
  UniqueFd errors;   ///< what it writes on standard error
};

/// Starts one; it is confined when this returns. `helper` is our own program, see kFolderCommand; `runtime`
/// is a folder that nobody else may enter. Throws what the helper reports.
FolderServer start_folder_server(const std::filesystem::path& helper, const std::filesystem::path& runtime,
                                 const FolderService& service);

/// The helper: main() returns what this returns when argv[1] is kFolderCommand, before anything else. It
/// makes the namespaces, mounts what is served, and starts virtiofsd as the first process of a process
/// namespace, so that all of it ends with the helper.
inline constexpr const char* kFolderCommand = "__serve-folder";
int folder_server_main(int argc, char** argv);

}  // namespace berth::launcher
