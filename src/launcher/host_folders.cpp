#include "launcher/host_folders.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/tail.hpp"
#include "base/text.hpp"
#include "launcher/folder_server.hpp"

namespace berth::launcher {
namespace {

/// QEMU's own server, in C; the one in Rust that follows it has other options and another place.
constexpr const char* kFileServer = "/usr/lib/qemu/virtiofsd";
constexpr std::size_t kErrorTail = 2048;
/// From the end of a server to the end of what it had written.
constexpr Milliseconds kDrainLimit{1'000};

Error source_is_missing(const std::string& source) {
  return Error(Code::not_found,
               "the folder {} is not there on this host: make it first, or use -v, which makes it",
               printable(source, 300));
}

}  // namespace

std::optional<SourceKind> find_source(const std::string& source) {
  struct stat status {};
  if (::stat(source.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw errno_error(printable(source, 300));
  }
  if (S_ISDIR(status.st_mode)) return SourceKind::folder;
  if (S_ISREG(status.st_mode)) return SourceKind::file;
  throw Error(Code::invalid_argument,
              "{} cannot be mounted: only folders and regular files of this host reach a virtual machine",
              printable(source, 300));
}

SourceKind require_source(const std::string& source) {
  const std::optional<SourceKind> kind = find_source(source);
  if (!kind) throw source_is_missing(source);
  return *kind;
}

std::filesystem::path file_server_program() {
  if (::access(kFileServer, X_OK) == 0) return kFileServer;
  throw Error(Code::not_found, "{} is missing, which folders of this host need: install the package {}",
              kFileServer, "qemu-system-common");
}

void prepare_sources(const std::vector<record::HostFolder>& folders) {
  if (!folders.empty()) file_server_program();
  for (const record::HostFolder& folder : folders) {
    if (find_source(folder.source)) continue;
    if (!folder.make_source) throw source_is_missing(folder.source);
    make_directories(folder.source, 0755);
  }
}

/// One server.
struct Served {
  Served(const asio::any_io_executor& executor, FolderServer server)
      : process(std::move(server.process)), errors(executor, std::move(server.errors), kErrorTail) {}

  Error failure() const {
    const std::string said(trim(errors.text()));
    return Error(Code::unavailable, "the file server of the host's folder {} ended: it {}{}{}",
                 printable(source, 300), status->describe(), said.empty() ? "" : ": ", printable(said, 300));
  }

  std::string source;
  SourceKind kind = SourceKind::folder;
  Process process;
  Tail errors;
  std::optional<ExitStatus> status;
};

struct HostFolders::State {
  explicit State(const asio::any_io_executor& executor) : changed(executor) {}

  const Served* first_ended() const {
    for (const auto& one : served) {
      if (one->status) return one.get();
    }
    return nullptr;
  }
  bool all_ended() const {
    return std::all_of(served.begin(), served.end(), [](const auto& one) { return one->status.has_value(); });
  }

  static Task<> supervise(std::shared_ptr<State> state, Served* one) {
    const ExitStatus status = co_await wait_exit(one->process);
    co_await one->errors.wait_end(kDrainLimit);
    one->status = status;
    state->changed.notify_all();
  }
  static Task<std::optional<Error>> find_failure(std::shared_ptr<State> state, Milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (true) {
      for (const auto& one : state->served) {
        if (one->status && !one->status->success()) co_return one->failure();
      }
      if (state->all_ended() || !co_await state->changed.wait_until(deadline)) co_return std::nullopt;
    }
  }
  static Task<Error> wait_end_of_one(std::shared_ptr<State> state) {
    while (state->first_ended() == nullptr) co_await state->changed.wait();
    co_return state->first_ended()->failure();
  }
  static Task<> end(std::shared_ptr<State> state, Milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (const auto& one : state->served) one->process.signal(SIGKILL);
    while (!state->all_ended()) {
      if (!co_await state->changed.wait_until(deadline)) co_return;
    }
  }

  Event changed;
  std::vector<std::unique_ptr<Served>> served;
  std::vector<UniqueFd> machine_ends;
};

HostFolders::HostFolders(const asio::any_io_executor& executor, const std::filesystem::path& runtime,
                         const Paths& paths, const std::vector<record::HostFolder>& folders)
    : state_(std::make_shared<State>(executor)) {
  for (const record::HostFolder& folder : folders) {
    FolderService service;
    service.program = file_server_program();
    service.source = folder.source;
    service.read_only = folder.read_only;
    service.kind = require_source(folder.source);
    try {
      FolderServer server = start_folder_server(paths.launcher_program(), runtime, service);
      state_->machine_ends.push_back(std::move(server.machine));
      state_->served.push_back(std::make_unique<Served>(executor, std::move(server)));
    } catch (Error& error) {
      error.add_context("the folder " + printable(folder.source, 300));
      throw;
    }
    Served& one = *state_->served.back();
    one.source = folder.source;
    one.kind = service.kind;
  }
  for (const auto& one : state_->served)
    spawn_detached(executor, "file server", State::supervise(state_, one.get()));
}

HostFolders::~HostFolders() {
  try {
    for (const auto& one : state_->served) one->process.signal(SIGKILL);
  } catch (const Error& error) {
    log::warning("{}", error.what());
  }
}

std::vector<hypervisor::SharedFolder> HostFolders::shared() const {
  std::vector<hypervisor::SharedFolder> shared;
  for (std::size_t i = 0; i < state_->machine_ends.size(); ++i)
    shared.push_back({record::folder_tag(i), state_->machine_ends[i].get()});
  return shared;
}

void HostFolders::machine_has_them() {
  state_->machine_ends.clear();
}

void HostFolders::complete(std::map<std::string, config::MountSpec>& mounts) const {
  for (auto& [id, mount] : mounts) {
    if (mount.source.scheme != "virtiofs") continue;
    for (std::size_t i = 0; i < state_->served.size(); ++i) {
      if (mount.source.host == record::folder_tag(i) && state_->served[i]->kind == SourceKind::file)
        mount.source.path = std::string("/") + kSharedFile;
    }
  }
}

Task<std::optional<Error>> HostFolders::find_failure(Milliseconds limit) {
  return State::find_failure(state_, limit);
}

Task<Error> HostFolders::wait_end_of_one() {
  return State::wait_end_of_one(state_);
}

Task<> HostFolders::end(Milliseconds limit) {
  return State::end(state_, limit);
}

}  // namespace berth::launcher
