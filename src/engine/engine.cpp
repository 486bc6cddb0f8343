#include "engine/engine.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/files.hpp"
#include "base/ids.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "base/trace.hpp"
#include "disk/store.hpp"
#include "engine/container_spec.hpp"
#include "engine/engine_state.hpp"
#include "engine/machine_parts.hpp"
#include "engine/new_record.hpp"
#include "engine/ports.hpp"
#include "engine/scratch.hpp"
#include "engine/templates.hpp"
#include "hypervisor/qemu/qemu.hpp"
#include "image/rootfs.hpp"
#include "image/store.hpp"
#include "launcher/cleanup.hpp"
#include "launcher/client.hpp"
#include "launcher/host_folders.hpp"
#include "launcher/http.hpp"
#include "launcher/machine_plan.hpp"
#include "launcher/start.hpp"
#include "launcher/volumes.hpp"
#include "volume/store.hpp"

namespace berth::engine {
namespace {

constexpr std::chrono::seconds kDefaultGrace{10};
/// What a launcher may take beyond the grace: kill, orderly power-off, record.
constexpr std::chrono::seconds kStopSlack{60};
constexpr std::chrono::seconds kRequestLimit{30};
constexpr std::chrono::seconds kStartLimit{300};
constexpr std::chrono::seconds kPauseLimit{90};
constexpr std::chrono::seconds kForever{0};

/// What a later start may make may be missing; what is there must be something that can be mounted.
void check_sources(const std::vector<record::HostFolder>& folders) {
  for (const record::HostFolder& folder : folders) {
    if (!folder.make_source) launcher::require_source(folder.source);
    launcher::find_source(folder.source);
  }
}

Attachment attachment(launcher::UpgradedStream upgraded, bool tty) {
  return {std::move(upgraded.stream), std::move(upgraded.early), tty};
}

}  // namespace

bool is_active(record::Status status) {
  return status != record::Status::created && status != record::Status::exited &&
         status != record::Status::removing;
}

Error not_running(const record::Pod& pod) {
  return Error(Code::wrong_state, "container {} is not running: start it with `berth start {}`", pod.name(),
               pod.name());
}

/// Opened when it is needed: most commands have nothing to do with volumes.
volume::Store& Engine::State::volume_store() {
  if (!volumes) volumes = std::make_unique<volume::Store>(paths.database(), paths.volumes());
  return *volumes;
}

std::optional<record::Pod> Engine::State::settle(record::Pod pod) {
  if (!is_active(pod.host.status)) {
    const std::optional<record::Intent> intent = records->find_intent(pod.id());
    if (!intent) return std::nullopt;  // removed since it was read
    if (*intent == record::Intent::none) return pod;
  }
  std::optional<FileLock> held = FileLock::try_acquire(paths.pod_lock(pod.id()));
  if (!held) return pod;  // its launcher, or the command that makes or removes it, is alive
  if (!launcher::recover_pod(*records, paths, pod.id(), *held, clock)) return std::nullopt;
  return records->find(pod.id());
}

record::Pod Engine::State::touch(std::string_view name) {
  std::optional<record::Pod> pod = settle(records->get(name));
  if (!pod) throw Error(Code::not_found, "no such container: {}", name);
  return std::move(*pod);
}

void Engine::State::sweep_locks(const std::vector<record::Pod>& recorded) {
  std::set<std::string_view> known;
  for (const record::Pod& pod : recorded) known.insert(pod.id());
  for (const auto& entry : std::filesystem::directory_iterator(paths.data / "locks")) {
    const std::string id = entry.path().filename();
    if (known.contains(id)) continue;
    std::optional<FileLock> lock = FileLock::try_acquire(entry.path());
    if (lock && !records->find(id)) lock->remove_file();
  }
}

/// The volumes know their container before its record knows them, so that none is lost when this is cut off.
record::Pod Engine::State::give_volumes(const record::Pod& pod, const std::vector<VolumeRequest>& requests) {
  std::vector<volume::Volume> given;
  for (const VolumeRequest& request : requests)
    given.push_back(volume_store().attach(pod.id(), request.name, clock.now()));
  return records->update(pod.id(), [&](record::Pod& changed) {
    for (std::size_t i = 0; i < requests.size(); ++i) add_volume(changed, requests[i], given[i]);
  });
}

record::Pod Engine::State::running(std::string_view name) {
  record::Pod pod = touch(name);
  if (!is_active(pod.host.status)) throw not_running(pod);
  return pod;
}

Engine::Engine(Paths paths) : state_(std::make_unique<State>(std::move(paths))) {
  const trace::Span span("stores");
  const Paths& p = state_->paths;
  make_private_directory(p.data);
  for (const char* folder : {"pods", "locks"}) make_directories(p.data / folder, 0700);
  make_directories(p.cache(), 0700);
  make_private_directory(p.runtime);
  state_->records = std::make_unique<record::Store>(p.database());
  state_->images = std::make_unique<image::Store>(p.images());
}

Engine::~Engine() = default;

const Paths& Engine::paths() const {
  return state_->paths;
}

image::Store& Engine::images() {
  return *state_->images;
}

volume::Store& Engine::volumes() {
  return state_->volume_store();
}

record::Store& Engine::records() {
  return *state_->records;
}

record::Pod Engine::create(const CreateOptions& options) {
  trace::Span span("image");
  const image::Image image = state_->images->get(options.image);
  record::Pod pod = make_pod(options, image, state_->clock.now());
  check_sources(pod.host.folders);
  image::rootfs(*state_->images, image);
  span.done();

  const trace::Span record_span("record and disk");
  FileLock lock = state_->lock(pod);
  try {
    HostPorts ports(state_->records->held_ports());
    pod = store_new(*state_->records, pod, ports);
    if (!options.volumes.empty()) pod = state_->give_volumes(pod, options.volumes);
    make_directories(state_->paths.pod(pod.id()), 0700);
    disk::Store(state_->paths.database(), state_->paths.disks())
        .create(disk::pod_user(pod.id()), launcher::kScratchBytes,
                [&](const std::filesystem::path& file) { make_scratch_disk(state_->paths.cache(), file); });
    state_->records->set_intent(pod.id(), record::Intent::none);
  } catch (const Error&) {
    launcher::remove_pod(*state_->records, state_->paths, pod.id(), lock, AnonymousVolumes::remove);
    throw;
  }
  return pod;
}

launcher::Launcher::Settings Engine::launcher_settings(const record::Pod& pod) {
  trace::Span span("accelerator");
  const hypervisor::QemuHypervisor qemu;
  const auto [choice, was_known] = choose_accelerator(state_->paths, pod);
  const bool is_news = !was_known || explain_accelerator;
  if (is_news && !choice.note.empty() && on_notice) on_notice(choice.note);
  span.done();
  const trace::Span parts_span("machine's parts");
  launcher::Launcher::Settings settings = machine_parts(state_->paths, pod);
  settings.paths = state_->paths;
  settings.id = pod.id();
  settings.accelerator = choice.accelerator;
  settings.image = image::rootfs(*state_->images, state_->images->get(pod.host.image_id));
  settings.qemu = qemu.program_fingerprint();
  if (!pod.host.snapshot.empty() && pod.host.started == 0) {
    settings.snapshot = pod.host.snapshot;
    return settings;
  }
  if (!pod.host.boots && template_policy() != TemplatePolicy::never)
    settings.template_id = template_for(pod, settings);
  if (!settings.template_id.empty() && pod.host.started == 0)
    settings.image_template_id = image_template_for(settings.template_id, settings.image);
  return settings;
}

UniqueFd Engine::launch(record::Pod& pod, std::uint32_t copy_number) {
  launcher::Launcher::Settings settings = launcher_settings(pod);
  settings.copy_number = copy_number;
  const trace::Span span("launch");
  FileLock lock = state_->lock(pod);
  const std::optional<record::Pod> now = state_->records->find(pod.id());
  if (!now) throw Error(Code::not_found, "no such container: {}", pod.name());
  pod = *now;
  if (is_active(pod.host.status))
    throw Error(Code::wrong_state, "container {} is running already", pod.name());
  launcher::end_left_machine(pod);
  check_memory(pod.host.memory_bytes);
  state_->records->check_ports(pod.id(), pod.host.ports);
  check_ports_free(pod.host.ports);
  launcher::take_volumes(*state_->records, state_->paths, pod, kLockLimit);
  launcher::prepare_sources(pod.host.folders);
  UniqueFd client = launcher::start_launcher(settings, std::move(lock));
  const bool lacks_template = !settings.template_id.empty() && !templates().contains(settings.template_id);
  if (lacks_template && template_policy() == TemplatePolicy::automatic)
    make_template_later(state_->paths, pod, settings.template_id);
  return client;
}

hypervisor::TemplateStore Engine::templates() const {
  return hypervisor::TemplateStore(state_->paths.templates());
}

/// A container that `run` made and that could not even be launched goes away with the failure.
template <typename Start>
auto Engine::launch_or_remove(record::Pod& pod, Start start) {
  try {
    return start();
  } catch (const Error&) {
    if (record::goes_with_failure(pod)) {
      if (std::optional<FileLock> lock = FileLock::try_acquire(state_->paths.pod_lock(pod.id()))) {
        launcher::remove_pod(*state_->records, state_->paths, pod.id(), *lock, AnonymousVolumes::remove);
      }
    }
    throw;
  }
}

void Engine::start(std::string_view name) {
  record::Pod pod = state_->touch(name);
  if (is_active(pod.host.status)) {
    state_->client(pod).request("/v1/started", kStartLimit);
    return;
  }
  launch_or_remove(pod,
                   [&] { return launcher::Client::request_on(launch(pod), "/v1/started", kStartLimit); });
}

Attachment Engine::start_attached(std::string_view name, const AttachOptions& options) {
  record::Pod pod = state_->touch(name);
  return launch_or_remove(pod, [&] {
    const std::string target = fmt::format("/v1/attach?slow=wait&stdin={}&columns={}&rows={}",
                                           options.with_input ? 1 : 0, options.columns, options.rows);
    return attachment(launcher::Client::open_stream_on(launch(pod), target), pod.session().tty);
  });
}

Attachment Engine::attach(std::string_view name, const AttachOptions& options) {
  const record::Pod pod = state_->running(name);
  const bool input = options.with_input && pod.session().open_stdin;
  const std::string target = fmt::format("/v1/attach?stdin={}&tail={}&slow={}", input ? 1 : 0, options.tail,
                                         options.may_lose_output ? "lose" : "cut-off");
  return attachment(state_->client(pod).open_stream(target), pod.session().tty);
}

namespace {

launcher::ExecRequest exec_request(const ExecOptions& options) {
  launcher::ExecRequest request;
  request.command = options.command;
  request.environment = options.environment;
  request.working_directory = options.working_directory;
  request.user = options.user;
  request.tty = options.tty;
  request.open_stdin = options.open_stdin;
  request.columns = options.columns;
  request.rows = options.rows;
  return request;
}

}  // namespace

Attachment Engine::exec(std::string_view name, const ExecOptions& options) {
  const record::Pod pod = state_->running(name);
  const std::string order = launcher::format_exec(exec_request(options));
  return attachment(state_->client(pod).open_stream("/v1/exec", order), options.tty);
}

Forwarder Engine::forwarder(std::string_view name) {
  const record::Pod pod = state_->running(name);
  return [paths = state_->paths, id = pod.id()](std::uint16_t port) {
    const std::string target = fmt::format("/v1/forward?port={}", port);
    return attachment(launcher::Client(paths, id).open_bytes(target), false);
  };
}

Login Engine::login(std::string_view name) {
  const record::Pod pod = state_->running(name);
  Login login;
  login.user = pod.session().user.empty() ? "root" : pod.session().user;
  login.host_key_alias = pod.id();
  login.key = std::filesystem::absolute(state_->paths.pod_login_key(pod.id()));
  login.known_hosts = std::filesystem::absolute(state_->paths.pod_known_hosts(pod.id()));
  return login;
}

Attachment Engine::connect_login(std::string_view name) {
  return attachment(state_->client(state_->running(name)).open_bytes("/v1/ssh"), false);
}

std::string Engine::exec_detached(std::string_view name, const ExecOptions& options) {
  const record::Pod pod = state_->running(name);
  return state_->client(pod).request("/v1/exec", kStartLimit, launcher::format_exec(exec_request(options)));
}

void Engine::stop(std::string_view name, std::optional<std::chrono::seconds> grace) {
  const record::Pod pod = state_->touch(name);
  if (!is_active(pod.host.status)) return;
  const std::chrono::seconds patience = grace.value_or(kDefaultGrace);
  try {
    state_->client(pod).request(fmt::format("/v1/stop?grace={}", patience.count()), patience + kStopSlack);
  } catch (const Error& error) {
    // A launcher that ended in the meantime has stopped its pod, one way or the other.
    if (error.code() != Code::unavailable) throw;
    if (const auto left = state_->records->find(pod.id())) state_->settle(*left);
  }
}

void Engine::kill(std::string_view name, int signal) {
  const record::Pod pod = state_->running(name);
  state_->client(pod).request(fmt::format("/v1/kill?signal={}", signal), kRequestLimit);
}

void Engine::pause(std::string_view name) {
  state_->client(state_->running(name)).request("/v1/pause", kPauseLimit);
}

void Engine::unpause(std::string_view name) {
  state_->client(state_->running(name)).request("/v1/unpause", kPauseLimit);
}

launcher::Exit Engine::wait(std::string_view name) {
  record::Pod pod = state_->touch(name);
  if (is_active(pod.host.status)) {
    try {
      return launcher::decode_exit(state_->client(pod).request("/v1/wait", kForever));
    } catch (const Error& error) {
      if (error.code() != Code::unavailable) throw;
      pod = state_->touch(pod.id());
    }
  }
  launcher::Exit exit;
  exit.code = pod.host.exit_code;
  exit.error = pod.host.error;
  exit.oom_killed = pod.host.oom_killed;
  return exit;
}

void Engine::update(std::string_view name, const launcher::UpdateRequest& request) {
  constexpr std::chrono::seconds kUpdateLimit{90};
  const record::Pod pod = state_->touch(name);
  if (request.cpus) check_cpus(*request.cpus);
  if (request.memory_bytes) check_memory_size(*request.memory_bytes);
  if (is_active(pod.host.status)) {
    if (request.memory_bytes && *request.memory_bytes > pod.host.memory_bytes)
      check_memory(*request.memory_bytes - pod.host.memory_bytes);
    state_->client(pod).request("/v1/update", kUpdateLimit, launcher::format_update(request));
    return;
  }
  state_->records->update(pod.id(), [&](record::Pod& now) {
    if (request.memory_bytes) now.host.memory_bytes = *request.memory_bytes;
    if (!request.cpus) return;
    now.host.cpus = *request.cpus;
    now.session().resources.nano_cpus = nano_cpus_of(*request.cpus);
  });
}

std::string Engine::remove(std::string_view name, bool force, AnonymousVolumes volumes) {
  record::Pod pod = state_->touch(name);
  const auto deadline = std::chrono::steady_clock::now() + kLockLimit;
  while (true) {
    if (is_active(pod.host.status)) {
      if (!force) {
        const bool paused = pod.host.status == record::Status::paused;
        throw Error(Code::wrong_state, "container {} is {} it first, or remove it with -f", pod.name(),
                    paused ? "paused: unpause and stop" : "running: stop");
      }
      stop(pod.id(), std::chrono::seconds(0));
    }
    constexpr std::chrono::milliseconds kPatience{200};
    try {
      FileLock lock =
          FileLock::acquire(state_->paths.pod_lock(pod.id()), kPatience, "container " + pod.name());
      launcher::remove_pod(*state_->records, state_->paths, pod.id(), lock, volumes);
      return pod.id();
    } catch (const Error& error) {
      if (error.code() != Code::busy || std::chrono::steady_clock::now() >= deadline) throw;
    }
    // Whoever holds the lock may be a launcher that has just begun, or one that copies files.
    const std::optional<record::Pod> now = state_->records->find(pod.id());
    if (!now) return pod.id();
    pod = *now;
    if (force && !is_active(pod.host.status)) end_files(pod);
  }
}

record::Pod Engine::get(std::string_view name) {
  return state_->touch(name);
}

std::vector<record::Pod> Engine::list() {
  std::vector<record::Pod> recorded = state_->records->list();
  state_->sweep_locks(recorded);
  std::vector<record::Pod> settled;
  for (record::Pod& pod : recorded) {
    if (std::optional<record::Pod> kept = state_->settle(std::move(pod))) settled.push_back(std::move(*kept));
  }
  return settled;
}

Usage Engine::usage(std::string_view name) {
  Usage usage;
  usage.pod = state_->running(name);
  const launcher::UsageReport report =
      launcher::parse_usage(state_->client(usage.pod).request("/v1/stats", kRequestLimit));
  usage.guest = report.guest;
  usage.machine_resident_bytes = report.machine.resident_bytes;
  usage.machine_private_bytes = report.machine.private_bytes;
  usage.machine_proportional_bytes = report.machine.proportional_bytes;
  usage.machine_cpu_nanoseconds =
      static_cast<std::uint64_t>(std::chrono::nanoseconds(report.machine.cpu_time).count());
  return usage;
}

launcher::LogReader Engine::logs(std::string_view name, const launcher::LogQuery& query) {
  return launcher::LogReader(state_->paths.pod(state_->touch(name).id()), query);
}

bool is_running(const record::Pod& pod) {
  return is_active(pod.host.status);
}

}  // namespace berth::engine
