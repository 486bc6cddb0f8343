#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/async.hpp"
#include "base/process.hpp"
#include "base/unique_fd.hpp"

namespace berth::hypervisor {

enum class Accelerator { kvm, tcg };
std::string_view to_string(Accelerator accelerator);

enum class DiskFormat {
  raw,
  qcow2,  ///< what it does not hold is in the layer below; made by make_overlay() of qcow2.hpp
};

/// A file of a disk, open for reading alone, that any number of machines may share.
struct DiskLayer {
  int fd = -1;  ///< as of Disk
  DiskFormat format = DiskFormat::raw;
};

/// Layers that a disk can have below its own file.
inline constexpr std::size_t kMostLayers = 64;

/// A disk image. The guest tells its disks apart by /sys/block/*/serial.
struct Disk {
  /// Of the caller, which may close it once start() or add_disk() has returned; open for reading alone when
  /// read_only, else for reading and writing.
  int fd = -1;
  /// The file may be shared by any number of machines; a writable one belongs to one machine.
  bool read_only = false;
  std::string serial;  ///< 1 to 20 characters of [A-Za-z0-9._-], unique in the machine
  DiskFormat format = DiskFormat::raw;
  /// What is below, the nearest first; all but the last are overlays, and of one size with the disk. What a
  /// file says of files below it is not followed.
  std::vector<DiskLayer> backing{};
};

/// A network card of the machine; the guest tells its cards apart by their addresses.
struct NetworkCard {
  enum class Backend {
    user,      ///< QEMU's own network behind the host's, see UserNetwork; at most one card of a machine
    stream,    ///< `fd` is a connected stream socket: each frame behind its length, 4 bytes big endian
    datagram,  ///< `fd` is a connected datagram socket: each datagram is a frame
    tap,       ///< `fd` is a tap interface of the host, opened with IFF_NO_PI
    none,      ///< nothing: what the guest sends is lost
  };
  Backend backend = Backend::user;
  std::string mac;  ///< "52:54:00:12:34:56", unique in the machine
  /// Of the caller, which may close it once start() or add_network_card() has returned; not for
  /// Backend::user.
  int fd = -1;
};

/// A machine that stands still, as files from which any number of others go on.
struct FrozenMachine {
  int memory = -1;  ///< open for reading only: what a machine writes to its memory stays its own
  int state = -1;   ///< of the devices, as Machine::freeze wrote it; at its beginning
};

/// Files of the host, which the guest mounts by the tag (file system type virtiofs). A machine that has one
/// is given memory that its servers can reach.
struct SharedFolder {
  std::string tag;  ///< 1 to 36 characters of [A-Za-z0-9._-], unique in the machine
  /// A connected stream socket at whose other end a server speaks vhost-user (virtiofsd). Of the caller,
  /// which may close it once start() has returned.
  int fd = -1;
};

struct PortForward {
  enum class Protocol { tcp, udp };
  Protocol protocol = Protocol::tcp;
  std::string host_address = "0.0.0.0";  ///< a numeric IPv4 address
  std::uint16_t host_port = 0;
  std::uint16_t guest_port = 0;

  bool operator==(const PortForward&) const = default;
};

/// What the guest sees behind a card with NetworkCard::Backend::user. There is no IPv6.
struct UserNetwork {
  static constexpr std::string_view guest = "10.0.2.15";
  static constexpr unsigned prefix_length = 24;
  static constexpr std::string_view gateway = "10.0.2.2";
  static constexpr std::string_view resolver = "10.0.2.3";
};

struct MachineSpec {
  std::string name;  ///< shown in the process list; the rules of berth::is_valid_name
  unsigned cpus = 1;
  std::uint64_t memory_bytes = std::uint64_t{256} << 20;  ///< rounded up to whole MiB
  /// What it may grow to while it runs, itself included; 0: not beyond what it starts with.
  unsigned most_cpus = 0;
  std::uint64_t most_memory_bytes = 0;
  Accelerator accelerator = Accelerator::tcg;

  std::filesystem::path kernel;
  std::filesystem::path initramfs;
  std::string kernel_arguments;  ///< added behind ours

  std::vector<Disk> disks;

  std::vector<NetworkCard> network_cards;
  std::vector<PortForward> forwards;  ///< to the card with Backend::user

  std::vector<SharedFolder> shared_folders;

  /// Its memory is this file of memory_bytes, open for reading and writing, which nobody else writes: so it
  /// is of a machine that freeze() is for. The file is given to the user that the machine runs as. -1: memory
  /// of its own.
  int memory_file = -1;
  /// It goes on where this one stands instead of booting. Its name, what is behind its disks and cards and
  /// its forwards are its own; all else has to be as it was, addresses of cards and serials of disks
  /// included. Descriptors are of the caller, which may close them once start() has returned.
  std::optional<FrozenMachine> frozen;
  /// It boots nothing and never runs: it takes what Machine::begin_copy of another machine sends into this
  /// connected stream socket's other end, into its memory_file, and is frozen then. All of it has to be as
  /// that machine's, but for its name and what is behind disks and cards; a card with Backend::user has to
  /// have that here, too. Of the caller, which may close it once start() has returned. -1: none.
  int receives = -1;

  /// Only root may give them: the user, group and groups that the machine's process runs as. What the machine
  /// itself needs (the group of /dev/kvm, CAP_NET_BIND_SERVICE for a forwarded port below 1024) is added.
  std::optional<Credentials> credentials;
};

/// Whether one of its cards has Backend::user.
bool has_user_network(const MachineSpec& spec);

/// The three byte streams between host and guest. In the guest: /dev/virtio-ports/berth.NAME.
enum class Port { control, output, attach };
inline constexpr std::size_t kPortCount = 3;
std::string_view to_string(Port port);

/// How a machine ended.
struct MachineEnd {
  enum class Reason {
    powered_off,  ///< the guest switched itself off
    panicked,     ///< the guest's kernel panicked; detail is the console's panic line when there is one
    reset,        ///< the guest rebooted: machines never start again by themselves
    quit,         ///< ended by us: quit(), or the machine was destroyed
    killed,       ///< somebody else's signal ended the host process
    failed,       ///< the host process gave up; detail holds its last lines
  };
  Reason reason = Reason::failed;
  ExitStatus exit;  ///< of the host process
  std::string detail;

  /// One line for a user, e.g. "the guest kernel panicked: VFS: Unable to mount root fs".
  std::string describe() const;
};
std::string_view to_string(MachineEnd::Reason reason);

struct DiskStatistics {
  std::string serial;
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_written = 0;
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::uint64_t flushes = 0;
};

struct MachineStatistics {
  std::chrono::milliseconds cpu_time{0};  ///< user and system time of the host process, all threads
  std::uint64_t resident_bytes = 0;       ///< of the host process, guest memory included
  /// Of that what it has written and nobody shares, and its share of all by the number of sharers; 0: the
  /// host does not tell.
  std::uint64_t private_bytes = 0;
  std::uint64_t proportional_bytes = 0;
  std::vector<DiskStatistics> disks;
};

/// CPUs and memory of a machine, which change while it runs.
struct Size {
  unsigned cpus = 0;
  std::uint64_t memory_bytes = 0;
  bool operator==(const Size&) const = default;
};

/// Disks and network cards that a machine can be given while it runs.
inline constexpr unsigned kPlugPlaces = 30;
/// Memory is added and taken away in pieces of so many bytes.
inline constexpr std::uint64_t kMemoryPiece = std::uint64_t{4} << 20;

/// A copy of a machine that goes on its way to a receiver (MachineSpec::receives) while the machine runs; its
/// steps in this order, one at a time. Destroyed before finish() has returned, it is given up, and the
/// machine goes on as if nothing had been. So it is when a step throws: Code::unavailable when the receiver
/// has gone, timeout. It may outlive the machine.
class MachineCopy {
 public:
  virtual ~MachineCopy() = default;

  /// Sends the memory while the machine runs, until what changes meanwhile can be sent within some 20 ms; not
  /// longer than `limit`, which is no error.
  virtual Task<> approach(Milliseconds limit) = 0;
  /// Returns when the machine stands still, with all but the last changes sent. Its disks can have a snapshot
  /// now, which goes with the copy. resume() throws until finish().
  virtual Task<> stop() = 0;
  /// Sends the rest, which the receiver has when its wait_received() returns. The machine stands still until
  /// resume().
  virtual Task<> finish() = 0;
};

/// One running virtual machine. Used from one loop. Destroying it kills its host process and reaps it; a
/// coroutine that still waits in it gets its answer (wait_end) or an Error with Code::unavailable.
///
/// Each order throws Code::timeout when the machine's process does not answer in time and Code::wrong_state
/// when the machine has ended.
class Machine {
 public:
  virtual ~Machine() = default;

  virtual pid_t pid() const = 0;

  /// The host's end of a port, a connected non-blocking stream socket. Each can be taken once
  /// (Code::wrong_state). Bytes written before the guest opens its end wait for it. The guest closing its end
  /// is not seen here: the stream ends with the machine.
  virtual UniqueFd take_port(Port port) = 0;

  /// Waits for the end and says how it came; for any number of callers, also after the end.
  virtual Task<MachineEnd> wait_end() = 0;
  /// Ends the machine without asking the guest: lets the host process write its disks back and exit, and
  /// kills it past `limit`. It is reaped when this returns. One that has ended is fine.
  virtual Task<> quit(Milliseconds limit) = 0;

  /// Presses the ACPI power button; what follows is the guest's choice.
  virtual Task<> power_button() = 0;
  /// When this returns the guest stands still, its clocks too, until resume(). One that is paused already, or
  /// runs already, is fine.
  virtual Task<> pause() = 0;
  virtual Task<> resume() = 0;
  virtual Task<> inject_nmi() = 0;
  /// Stops for good and writes the state of its devices to the file, which with MachineSpec::memory_file
  /// makes a FrozenMachine once the machine has ended. The descriptor is of the caller. Throws wrong-state
  /// for a machine without such a file, and what keeps the state from being written.
  virtual Task<> freeze(int state_file) = 0;
  /// Of a machine with MachineSpec::receives: returns when it stands as the other machine stood. Throws
  /// timeout, unavailable when the other machine has gone or was not of its kind.
  virtual Task<> wait_received(Milliseconds limit) = 0;
  /// Begins a copy of this machine, which goes on running, into the connected stream socket, which is of the
  /// caller. Throws busy while there is another, unsupported for a machine that cannot be copied: with shared
  /// folders, or with what it was given while it ran.
  virtual Task<std::unique_ptr<MachineCopy>> begin_copy(int stream) = 0;

  virtual Task<MachineStatistics> statistics() = 0;

  /// Throws Code::already_exists when the host's port is taken.
  virtual Task<> add_forward(const PortForward& forward) = 0;
  /// Throws Code::not_found when there is no such forward.
  virtual Task<> remove_forward(const PortForward& forward) = 0;

  // What a running machine is given and gives back. These orders are carried out one after the other. One
  // that fails leaves nothing behind. A guest that does not let go of something within `limit` makes that
  // order throw Code::timeout; the guest may still do so later, and the order may be given again.

  /// Throws invalid-argument for a disk that cannot be, already-exists, capacity when there is no place left.
  virtual Task<> add_disk(const Disk& disk) = 0;
  /// Throws not-found, and wrong-state for a disk that the machine was started with.
  virtual Task<> remove_disk(std::string serial, Milliseconds limit) = 0;
  /// From now on what the guest writes to the disk goes to `overlay`, an untouched overlay of the disk's size
  /// that is open for reading and writing; what the disk had stays below, written back and unchanged. Of the
  /// caller, which may close it once this has returned. The guest may run or be paused. Throws not-found,
  /// wrong-state for a read-only disk, invalid-argument for no overlay, capacity beyond kMostLayers. After a
  /// timeout it may have come about, or come about later: settle_disk() tells, and until it has this throws
  /// busy.
  virtual Task<> snapshot_disk(std::string serial, int overlay) = 0;
  /// After snapshot_disk() has thrown timeout: whether the disk has that overlay now; if not it never will.
  /// Throws timeout as long as the machine's process does not answer.
  virtual Task<bool> settle_disk(std::string serial) = 0;
  /// After snapshot_disk(): takes away from the machine's process the means to write to the layer below, of
  /// which `layer` is a descriptor for reading alone. Where the guest is paused, its process lets go of them
  /// with the first call after it has gone on. Throws not-found, wrong-state for a disk without a snapshot.
  virtual Task<> seal_disk(std::string serial, int layer) = 0;
  /// Throws as add_disk does.
  virtual Task<> add_network_card(const NetworkCard& card) = 0;
  /// Throws as remove_disk does.
  virtual Task<> remove_network_card(std::string mac, Milliseconds limit) = 0;

  /// What it has now.
  virtual Size size() const = 0;
  /// Adds CPUs, or takes the last ones away; returns when the guest has let go of those. Throws
  /// invalid-argument for none or more than MachineSpec::most_cpus, unsupported where CPUs cannot go.
  virtual Task<> set_cpus(unsigned count, Milliseconds limit) = 0;
  /// Memory in all; the guest has taken it, or given it back, when this returns. Throws invalid-argument for
  /// less than it was started with or more than MachineSpec::most_memory_bytes, and timeout when the guest
  /// has not; it then keeps what it has.
  virtual Task<> set_memory(std::uint64_t bytes, Milliseconds limit) = 0;

  /// The last bytes (at most kConsoleTail) of the guest kernel's console, as the guest wrote them.
  virtual std::string console_tail() const = 0;
};

inline constexpr std::size_t kConsoleTail = 64 * 1024;

class Hypervisor {
 public:
  virtual ~Hypervisor() = default;

  /// Starts a machine; it runs when this returns. Throws, with nothing left behind: invalid-argument for a
  /// spec that cannot be, already-exists for a host port that is taken, capacity when the host has not the
  /// memory, not-found and unavailable when something the machine needs is missing on the host, timeout.
  virtual Task<std::unique_ptr<Machine>> start(MachineSpec spec) = 0;
};

}  // namespace berth::hypervisor
