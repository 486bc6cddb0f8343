#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "describe/describe.hpp"

namespace berth::link {

/// Version of what crosses host and guest. A host talks to its own version only: kernel, initramfs and
/// launcher come from one installation.
inline constexpr std::int32_t kLinkVersion = 1;

/// The names of the three virtio-serial ports, as the guest finds them in /sys/class/virtio-ports/*/name.
inline constexpr std::string_view kControlPort = "berth.control";
inline constexpr std::string_view kOutputPort = "berth.output";
inline constexpr std::string_view kAttachPort = "berth.attach";

/// The address of a network card that has none of its own, because its machine is a clone: the guest gives it
/// that of the first network whose card is not there, or hides it when there is none.
inline constexpr std::string_view kUnnamedCard = "52:54:00:be:47:00";

/// The tether's first words.
struct Hello {
  std::int32_t version = kLinkVersion;
  std::string kernel;                   ///< uname release
  std::int64_t uptime_nanoseconds = 0;  ///< CLOCK_BOOTTIME, of this and the following
  std::int64_t began_nanoseconds = 0;   ///< when the tether's program began
};

constexpr auto describe(const Hello*) {
  using namespace berth::describe;
  return fields(field<&Hello::version>("Version"), field<&Hello::kernel>("Kernel"),
                field<&Hello::uptime_nanoseconds>("Uptime"), field<&Hello::began_nanoseconds>("Began"));
}

/// Throws unsupported for a tether that speaks another version of the link.
void check_version(const Hello& hello);

/// Verbs of an order.
namespace verb {
inline constexpr std::string_view start = "start";       ///< start a configured session
inline constexpr std::string_view signal = "signal";     ///< a signal to a session's process, or to all of it
inline constexpr std::string_view resize = "resize";     ///< window size of a session's terminal
inline constexpr std::string_view hold = "hold-output";  ///< stop reading a session's output
inline constexpr std::string_view release = "release-output";  ///< go on reading it
inline constexpr std::string_view stats = "stats";             ///< answers with the keys of link::Stats
inline constexpr std::string_view power_off = "power-off";     ///< orderly end of the machine
inline constexpr std::string_view reboot = "reboot";           ///< the same, and the machine is reset
inline constexpr std::string_view clock =
    "clock";  ///< set or correct the wall clock; answers link::GuestClock
inline constexpr std::string_view freeze = "freeze";        ///< stop all processes of containers
inline constexpr std::string_view thaw = "thaw";            ///< set the wall clock, then let them go on
inline constexpr std::string_view processes = "processes";  ///< answers with the process ids of a session
inline constexpr std::string_view adjust = "adjust";  ///< use the CPUs and memory that the machine has now
/// gives up the connection over the attach port and skips what the host sent up to the token
inline constexpr std::string_view reset_attach = "reset-attach";
/// mounts image and scratch and makes them the containers' root, for a template of that image
inline constexpr std::string_view assemble = "assemble";
/// answers when the kernel has nothing left to do of its boot, for a template
inline constexpr std::string_view settle = "settle";
/// what the guest does so that a copy of its machine can be made; until thaw
inline constexpr std::string_view prepare_copy = "prepare-copy";
/// the first order that a copy gets: it is another pod from now on
inline constexpr std::string_view become = "become";
inline constexpr std::string_view forked = "forked";  ///< answers a process that asked for copies
}  // namespace verb

struct Order {
  std::string verb;
  std::string session;
  std::int32_t signal = 0;
  bool whole_session = false;  ///< every process of the session, not only its first
  std::int32_t columns = 0;
  std::int32_t rows = 0;
  std::int64_t time = 0;    ///< what the wall clock is to say: nanoseconds since 1970-01-01 UTC; 0: nothing
  std::int64_t offset = 0;  ///< of clock: nanoseconds that it is behind, see docs/control.md
  std::string token;        ///< a line of printable characters; of become: the new id, of forked: the answer
  std::int32_t cpus = 0;    ///< of adjust: answer when so many are online
};

constexpr auto describe(const Order*) {
  using namespace berth::describe;
  return fields(field<&Order::verb>("Verb"), field<&Order::session>("Session"),
                field<&Order::signal>("Signal"), field<&Order::whole_session>("WholeSession"),
                field<&Order::columns>("Columns"), field<&Order::rows>("Rows"), field<&Order::time>("Time"),
                field<&Order::token>("Token"), field<&Order::cpus>("CPUs"), field<&Order::offset>("Offset"));
}

/// Answer to verb::clock, as it is when the order has been carried out.
struct GuestClock {
  std::int64_t time = 0;  ///< nanoseconds since 1970-01-01 UTC
  std::int64_t left = 0;  ///< nanoseconds of a correction that are still to come, to a microsecond
};

constexpr auto describe(const GuestClock*) {
  using namespace berth::describe;
  return fields(field<&GuestClock::time>("Time"), field<&GuestClock::left>("Left"));
}

/// Answer to verb::stats; bytes, nanoseconds and counts since the start of the container.
struct Stats {
  std::uint64_t cpu_nanoseconds = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_limit_bytes = 0;
  std::uint64_t processes = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t tether_resident_bytes = 0;
  std::uint64_t tether_descriptors = 0;  ///< open ones
};

constexpr auto describe(const Stats*) {
  using namespace berth::describe;
  return fields(field<&Stats::cpu_nanoseconds>("CPU"), field<&Stats::memory_bytes>("Memory"),
                field<&Stats::memory_limit_bytes>("MemoryLimit"), field<&Stats::processes>("Processes"),
                field<&Stats::received_bytes>("Received"), field<&Stats::sent_bytes>("Sent"),
                field<&Stats::read_bytes>("Read"), field<&Stats::written_bytes>("Written"),
                field<&Stats::tether_resident_bytes>("TetherResident"),
                field<&Stats::tether_descriptors>("TetherDescriptors"));
}

}  // namespace berth::link
