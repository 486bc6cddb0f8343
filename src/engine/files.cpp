#include "engine/files.hpp"

#include <thread>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/log.hpp"
#include "engine/engine.hpp"
#include "engine/engine_state.hpp"
#include "engine/machine_parts.hpp"
#include "launcher/cleanup.hpp"
#include "launcher/client.hpp"
#include "launcher/copy_client.hpp"
#include "launcher/host_folders.hpp"
#include "launcher/start.hpp"
#include "launcher/volumes.hpp"

namespace berth::engine {

using link::archive::Verb;

namespace {

constexpr std::chrono::seconds kEndLimit{60};

}  // namespace

ContainerFiles::Reader::Reader(std::unique_ptr<launcher::CopyStream> stream)
    : stream_(std::move(stream)), stat_(stream_->path_stat()) {}

ContainerFiles::Reader::Reader(Reader&&) noexcept = default;
ContainerFiles::Reader::~Reader() = default;

std::string_view ContainerFiles::Reader::next() {
  return stream_->next();
}

const std::string& ContainerFiles::Reader::warnings() const {
  return stream_->warnings();
}

ContainerFiles::ContainerFiles(std::unique_ptr<launcher::Client> client, UniqueFd hold)
    : client_(std::move(client)), hold_(std::move(hold)) {}

ContainerFiles::ContainerFiles(ContainerFiles&&) noexcept = default;
ContainerFiles::~ContainerFiles() = default;

link::archive::PathStat ContainerFiles::stat(const std::string& path) {
  launcher::CopyStream stream(*client_, {Verb::stat, path, false});
  link::archive::PathStat stat = stream.path_stat();
  stream.finish();
  return stat;
}

ContainerFiles::Reader ContainerFiles::read(const std::string& path) {
  const launcher::CopyRequest request{Verb::read, path, false};
  return Reader(std::make_unique<launcher::CopyStream>(*client_, request));
}

std::string ContainerFiles::write(const std::string& path, bool keep_owners,
                                  const std::function<void(const tar::Sink&)>& give) {
  launcher::CopyStream stream(*client_, {Verb::write, path, keep_owners});
  give([&stream](std::string_view piece) { stream.send(piece); });
  stream.finish();
  return stream.warnings();
}

/// The first connection of a launcher for copies; nothing when somebody else is at work on the container.
std::optional<UniqueFd> Engine::launch_for_files(const record::Pod& pod) {
  launcher::Launcher::Settings settings = launcher_settings(pod);
  settings.files_only = true;
  std::optional<FileLock> lock = FileLock::try_acquire(state_->paths.pod_lock(pod.id()));
  if (!lock) return std::nullopt;
  const std::optional<record::Pod> now = state_->records->find(pod.id());
  if (!now) {
    lock->remove_file();
    throw Error(Code::not_found, "no such container: {}", pod.name());
  }
  if (is_active(now->host.status) || state_->records->intent(pod.id()) != record::Intent::none)
    return std::nullopt;
  launcher::end_left_machine(*now);
  check_memory(now->host.memory_bytes);
  launcher::take_volumes(*state_->records, state_->paths, *now, kLockLimit);
  launcher::prepare_sources(now->host.folders);
  return launcher::start_launcher(settings, std::move(*lock));
}

ContainerFiles Engine::files(std::string_view name) {
  constexpr std::chrono::milliseconds kPause{20};
  const auto deadline = std::chrono::steady_clock::now() + kLockLimit;
  while (true) {
    const record::Pod pod = state_->touch(name);
    try {
      return {std::make_unique<launcher::Client>(state_->client(pod)), state_->client(pod).hold_files()};
    } catch (const Error& error) {
      if (error.code() != Code::unavailable) throw;
    }
    // It has no launcher, or one that ends.
    if (!is_active(pod.host.status)) {
      if (std::optional<UniqueFd> connection = launch_for_files(pod)) {
        return {std::make_unique<launcher::Client>(state_->client(pod)),
                launcher::Client::hold_files_on(std::move(*connection))};
      }
    }
    if (std::chrono::steady_clock::now() >= deadline)
      throw Error(Code::busy, "container {} is busy: it is being started, stopped or removed; try again",
                  pod.name());
    // flock(2) has no form with a time limit.
    std::this_thread::sleep_for(kPause);
  }
}

/// Whoever copies files of a container that does not run is told that it goes.
void Engine::end_files(const record::Pod& pod) {
  try {
    state_->client(pod).request("/v1/stop?grace=0", kEndLimit);
  } catch (const Error& error) {
    log::debug("end the machine for files of container {}: {}", pod.name(), error.what());
  }
}

}  // namespace berth::engine
