#include "hypervisor/probe.hpp"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <utility>

#include <boost/asio/this_coro.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::hypervisor {
namespace fs = std::filesystem;
namespace json = boost::json;
namespace {

constexpr std::uint64_t kProbeMemory = std::uint64_t{256} << 20;

std::string text_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::string to_json(const KvmAnswer& answer) {
  return json::serialize(json::object{{"usable", answer.usable},
                                      {"reason", answer.reason},
                                      {"kernel", answer.kernel},
                                      {"boot_id", answer.boot_id},
                                      {"qemu", answer.qemu},
                                      {"when", answer.when}}) +
         "\n";
}

/// Nothing for what this program did not write: the probe is made again then.
std::optional<KvmAnswer> from_json(std::string_view text) {
  json::error_code failure;
  const json::value value = json::parse(text, failure);
  const json::object* object = failure ? nullptr : value.if_object();
  const json::value* usable = object != nullptr ? object->if_contains("usable") : nullptr;
  if (usable == nullptr || !usable->is_bool()) return std::nullopt;
  return KvmAnswer{usable->get_bool(),          text_of(*object, "reason"), text_of(*object, "kernel"),
                   text_of(*object, "boot_id"), text_of(*object, "qemu"),   text_of(*object, "when")};
}

/// KVM may be the cause; anything else would be in the way of software emulation too.
bool is_answer(const Error& error) {
  return error.code() == Code::timeout || error.code() == Code::unavailable || error.code() == Code::internal;
}

}  // namespace

KvmProbe::KvmProbe(Hypervisor& hypervisor, const Clock& clock, Settings settings)
    : hypervisor_(hypervisor),
      clock_(clock),
      settings_(std::move(settings)),
      boot_id_(trim(read_file("/proc/sys/kernel/random/boot_id"))) {}

fs::path KvmProbe::file() const {
  return settings_.state / ("kvm-" + settings_.kernel.release + ".json");
}

KvmAnswer KvmProbe::make_answer(bool usable, std::string reason) const {
  return {usable,   std::move(reason), settings_.kernel.release,
          boot_id_, settings_.qemu,    format_time(clock_.now())};
}

std::optional<KvmAnswer> KvmProbe::kept() const {
  const auto text = find_file(file());
  auto answer = text ? from_json(*text) : std::nullopt;
  const bool holds = answer && answer->boot_id == boot_id_ && answer->kernel == settings_.kernel.release &&
                     answer->qemu == settings_.qemu;
  return holds ? answer : std::nullopt;
}

std::optional<std::string> KvmProbe::device_problem() const {
  const UniqueFd fd(::open(settings_.device.c_str(), O_RDWR | O_CLOEXEC));
  if (fd) return std::nullopt;
  const std::string device = settings_.device.string();
  if (errno == ENOENT || errno == ENXIO || errno == ENODEV) return "this host has no " + device;
  if (errno == EACCES || errno == EPERM) {
    return "this user may not open " + device + " (being in its group, mostly kvm, gives the right)";
  }
  return device + " cannot be opened: " + ::strerror(errno);
}

Task<KvmAnswer> KvmProbe::ask() {
  // Not kept: a right to the device may come at any time, and asking costs nothing.
  if (const auto problem = device_problem()) co_return make_answer(false, *problem);
  if (const auto answer = kept()) co_return *answer;
  co_return co_await ask_again();
}

Task<KvmAnswer> KvmProbe::ask_again() {
  if (const auto problem = device_problem()) co_return make_answer(false, *problem);
  std::optional<Error> failure;
  try {
    co_await with_deadline(settings_.limit, "a boot with KVM", boot(failure));
  } catch (const Error& error) {
    failure = error;
  }
  if (failure && !is_answer(*failure)) throw Error(*failure);
  const KvmAnswer answer = failure ? make_answer(false, describe(*failure))
                                   : make_answer(true, "KVM runs the kernel " + settings_.kernel.release);
  make_directories(settings_.state);
  write_file_atomically(file(), to_json(answer), 0644);
  co_return answer;
}

std::string KvmProbe::describe(const Error& failure) const {
  const std::string device = settings_.device.string();
  if (failure.code() != Code::timeout) {
    return fmt::format("{} opens, but a machine does not run with it: {}", device, failure.what());
  }
  return fmt::format("{} opens, but the kernel {} did not come up with it within {} ms", device,
                     settings_.kernel.release, settings_.limit.count());
}

/// Returns once the guest has sent something, or with what kept it from that.
Task<> KvmProbe::boot(std::optional<Error>& failure) try {
  MachineSpec spec;
  spec.name = "kvm-probe";
  spec.memory_bytes = kProbeMemory;
  spec.accelerator = Accelerator::kvm;
  spec.kernel = settings_.kernel.image;
  spec.initramfs = settings_.initramfs;
  spec.credentials = settings_.credentials;
  const auto machine = co_await hypervisor_.start(std::move(spec));
  Stream control(co_await asio::this_coro::executor, machine->take_port(Port::control));
  char byte = 0;
  std::size_t count = 0;
  try {
    count = co_await control.read_some(&byte, 1);
  } catch (const Error& error) {
    if (error.code() != Code::unavailable) throw;  // a connection reset is an end too
  }
  if (count > 0) co_return;
  const MachineEnd end = co_await machine->wait_end();
  failure.emplace(Code::unavailable, end.describe());
} catch (const Error& error) {
  failure = error;
}

AcceleratorRequest parse_accelerator(std::string_view text) {
  if (text == "auto") return AcceleratorRequest::automatic;
  if (text == "kvm") return AcceleratorRequest::kvm;
  if (text == "tcg") return AcceleratorRequest::tcg;
  throw Error(Code::invalid_argument, "unknown accelerator \"{}\": one of auto, kvm, tcg",
              printable(text, 100));
}

Task<AcceleratorChoice> choose_accelerator(AcceleratorRequest request, KvmProbe& probe) {
  if (request == AcceleratorRequest::tcg) co_return AcceleratorChoice{};
  const KvmAnswer answer = co_await probe.ask();
  if (answer.usable) co_return AcceleratorChoice{Accelerator::kvm, {}};
  if (request == AcceleratorRequest::kvm) {
    throw Error(Code::unsupported, "KVM cannot be used: {}; use --accel auto or tcg", answer.reason);
  }
  co_return AcceleratorChoice{Accelerator::tcg, "software emulation instead of KVM: " + answer.reason};
}

}  // namespace berth::hypervisor
