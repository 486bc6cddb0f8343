#include "hypervisor/qemu/arguments.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <signal.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include <boost/json/serialize.hpp>

#include "base/error.hpp"
#include "base/text.hpp"
#include "hypervisor/qemu/machine_spec.hpp"

namespace berth::hypervisor::qemu {
namespace {

constexpr int kFirstPrivilegedFree = 1024;  // net.ipv4.ip_unprivileged_port_start

/// The options cost nothing where they do not help; bench/boot-options.sh tells what each saves.
constexpr std::string_view kMachine =
    "q35,usb=off,vmport=off,smbus=off,sata=off,hpet=off,smm=off,dump-guest-core=off,mem-merge=off,"
    "suppress-vmdesc=on";
/// What QEMU calls memory that nothing is said about: the name is part of a frozen machine.
constexpr std::string_view kMemoryId = "pc.ram";
constexpr std::string_view kTcg = "tcg,tb-size=64";
/// All that QEMU can emulate, as images may be built for x86-64-v3; five-level paging only makes page walks
/// longer, and the string instructions that erms and fsrm call fast are emulated byte by byte.
constexpr std::string_view kTcgCpu = "max,la57=off,erms=off,fsrm=off";
constexpr std::string_view kSandbox =
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

constexpr std::string_view kKernelArguments =
    "console=ttyS0 quiet panic=-1 8250.nr_uarts=1 cryptomgr.notests random.trust_cpu=on lsm=landlock,yama";
/// Memory beyond 4 GiB would make the kernel set 64 MiB aside for devices that cannot reach there; ours can.
constexpr std::string_view kMemoryKernelArguments = "swiotlb=noforce";
/// Software emulation has no speculation to guard against.
constexpr std::string_view kTcgKernelArguments = "no_timer_check tsc=reliable mitigations=off";

/// The descriptor set of a layer of a disk; those of the disks' own files are their numbers.
std::int64_t layer_set(std::size_t disk, std::size_t layer) {
  constexpr std::size_t kFirst = 1000;
  return static_cast<std::int64_t>(kFirst + disk * kMostLayers + layer);
}

/// Collects the words of the command line and the descriptors that it names.
class CommandLine {
 public:
  explicit CommandLine(ProcessSpec& process) : process_(process) {}

  void add(std::string_view word) { process_.arguments.emplace_back(word); }
  void add(std::string_view option, std::string value) {
    add(option);
    process_.arguments.push_back(std::move(value));
  }
  /// The number that `fd` has in QEMU.
  int pass(int fd) {
    process_.descriptors.emplace_back(fd, next_);
    return next_++;
  }
  void open_read_only(int number) { process_.opened_read_only.push_back(number); }

 private:
  ProcessSpec& process_;
  int next_ = 3;
};

/// Memory that is not QEMU's alone. What a clone writes stays its own, whoever it is; see
/// ProcessSpec::opened_read_only.
std::optional<std::string> memory_object(CommandLine& line, const MachineSpec& spec,
                                         const Channels& channels) {
  const std::string size = fmt::format("id={},size={}M", kMemoryId, memory_mib(spec));
  if (has_shared_memory(spec)) return fmt::format("memory-backend-memfd,{},share=on", size);
  if (channels.memory < 0) return std::nullopt;
  const int fd = line.pass(channels.memory);
  if (spec.frozen) line.open_read_only(fd);
  return fmt::format("memory-backend-file,{},mem-path=/proc/self/fd/{},share={}", size, fd,
                     spec.frozen ? "off" : "on");
}

void add_machine(CommandLine& line, const MachineSpec& spec, const Channels& channels) {
  const bool kvm = spec.accelerator == Accelerator::kvm;
  line.add("-name", spec.name);
  line.add("-nodefaults");
  line.add("-no-user-config");
  line.add("-display", "none");
  line.add("-no-reboot");
  line.add("-S");
  line.add("-msg", "timestamp=off");
  line.add("-sandbox", std::string(kSandbox));
  std::string machine(kMachine);
  if (std::optional<std::string> object = memory_object(line, spec, channels)) {
    line.add("-object", std::move(*object));
    machine += fmt::format(",memory-backend={}", kMemoryId);
  }
  if (!boots(spec)) line.add("-incoming", "defer");
  line.add("-machine", std::move(machine));
  line.add("-accel", kvm ? "kvm" : std::string(kTcg));
  line.add("-cpu", kvm ? "host" : std::string(kTcgCpu));
  // See Hotplug::set_cpus.
  const unsigned most = kvm ? std::max(spec.cpus, spec.most_cpus) : spec.cpus;
  line.add("-smp", fmt::format("cpus={},maxcpus={},sockets=1,cores={},threads=1", spec.cpus, most, most));
  const std::uint64_t reserved = reserved_memory(spec) / kMiB;
  line.add("-m", reserved == 0
                     ? fmt::format("{}M", memory_mib(spec))
                     : fmt::format("{}M,maxmem={}M", memory_mib(spec), memory_mib(spec) + reserved));
}

/// Reading them takes a third of the time that QEMU needs to be ready, so one that does not boot has none.
/// QEMU opens these by path only; the link in /proc leads to the open file whatever folder it is in.
void add_kernel(CommandLine& line, const MachineSpec& spec, const Channels& channels, const HostFacts& host) {
  line.add("-kernel", fmt::format("/proc/self/fd/{}", line.pass(channels.kernel)));
  line.add("-initrd", fmt::format("/proc/self/fd/{}", line.pass(channels.initramfs)));
  line.add("-append", kernel_command_line(spec, host));
}

void add_channel(CommandLine& line, std::string_view id, int fd) {
  line.add("-chardev", fmt::format("socket,id={},fd={}", id, line.pass(fd)));
}

void add_channels(CommandLine& line, const Channels& channels) {
  add_channel(line, "monitor", channels.monitor);
  line.add("-mon", "chardev=monitor,mode=control");
  add_channel(line, "console", channels.console);
  line.add("-serial", "chardev:console");
  line.add("-device",
           fmt::format("virtio-serial-pci,id=ports,max_ports={},disable-legacy=on", kPortCount + 1));
  for (const Port port : {Port::control, Port::output, Port::attach}) {
    const std::string_view name = to_string(port);
    add_channel(line, name, channels.ports[static_cast<std::size_t>(port)]);
    line.add("-device", fmt::format("virtserialport,bus=ports.0,nr={},chardev={},name=berth.{}",
                                    static_cast<unsigned>(port) + 1, name, name));
  }
}

void add_disk_device(CommandLine& line, const Disk& disk, std::size_t index, const std::string& node) {
  std::string device = fmt::format("virtio-blk-pci,id={},drive={},serial={},disable-legacy=on",
                                   disk_id(index), node, disk.serial);
  if (!disk.read_only) device += ",discard=on,werror=report,rerror=report";
  line.add("-device", std::move(device));
}

void add_layered_disk(CommandLine& line, const Disk& disk, std::size_t index) {
  line.add("-add-fd", fmt::format("fd={},set={}", line.pass(disk.fd), index));
  for (std::size_t i = 0; i < disk.backing.size(); ++i)
    line.add("-add-fd", fmt::format("fd={},set={}", line.pass(disk.backing[i].fd), layer_set(index, i)));
  const std::vector<BlockImage> images = first_images(disk, index);
  for (const BlockImage& image : images) {
    for (const boost::json::object& node : block_nodes(image))
      line.add("-blockdev", boost::json::serialize(node));
  }
  add_disk_device(line, disk, index, images.back().node);
}

/// The host's page cache holds writes until the guest asks for a flush, which reaches the host's disk: what
/// the guest has synced survives. Freed blocks become holes. A full host disk is an I/O error in the guest;
/// QEMU's default would be to stop the machine for good.
void add_disk(CommandLine& line, const Disk& disk, std::size_t index) {
  if (disk.format != DiskFormat::raw) {
    add_layered_disk(line, disk, index);
    return;
  }
  const int fd = line.pass(disk.fd);
  line.add("-add-fd", fmt::format("fd={},set={}", fd, index));
  std::string file =
      fmt::format("driver=file,node-name={}-file,filename=/dev/fdset/{}", disk_id(index), index);
  // A lock is held by the open file, and readers share theirs by descriptor: it would tell nothing.
  file += disk.read_only ? ",read-only=on,locking=off" : ",discard=unmap";
  line.add("-blockdev", std::move(file));
  add_disk_device(line, disk, index, disk_id(index) + "-file");
}

std::string user_backend(const MachineSpec& spec, std::string_view id) {
  std::string user = fmt::format("user,id={},ipv6=off,net={}/{},host={},dns={},dhcpstart={}", id, "10.0.2.0",
                                 UserNetwork::prefix_length, UserNetwork::gateway, UserNetwork::resolver,
                                 UserNetwork::guest);
  for (const PortForward& forward : spec.forwards) user += ",hostfwd=" + forward_rule(forward);
  return user;
}

std::string descriptor_backend(const NetworkCard& card, std::string_view id, int fd) {
  switch (card.backend) {
    case NetworkCard::Backend::stream:
      return fmt::format("socket,id={},fd={}", id, fd);
    case NetworkCard::Backend::datagram:
      return fmt::format("dgram,id={},local.type=fd,local.str={}", id, fd);
    default:
      return fmt::format("tap,id={},fd={}", id, fd);
  }
}

void add_network_card(CommandLine& line, const MachineSpec& spec, std::size_t index) {
  const NetworkCard& card = spec.network_cards[index];
  const bool is_user = card.backend == NetworkCard::Backend::user;
  std::string device = "virtio-net-pci";
  if (card.backend != NetworkCard::Backend::none) {
    const std::string id = is_user ? std::string(kUserNetworkId) : fmt::format("net{}", index);
    line.add("-netdev", is_user ? user_backend(spec, id) : descriptor_backend(card, id, line.pass(card.fd)));
    device += ",netdev=" + id;
  }
  // A clone would tell the network its template's address.
  line.add("-device",
           device + fmt::format(",mac={},romfile=,guest_announce=off,disable-legacy=on", card.mac));
}

void add_shared_folder(CommandLine& line, const SharedFolder& folder, std::size_t index) {
  const std::string server = fmt::format("folder{}", index);
  add_channel(line, server, folder.fd);
  line.add("-device", fmt::format("vhost-user-fs-pci,chardev={},tag={}", server, folder.tag));
}

Credentials complete_credentials(const MachineSpec& spec, std::optional<gid_t> kvm_group) {
  Credentials credentials = *spec.credentials;
  if (spec.accelerator == Accelerator::kvm && kvm_group) credentials.groups.push_back(*kvm_group);
  const bool privileged =
      std::any_of(spec.forwards.begin(), spec.forwards.end(),
                  [](const PortForward& forward) { return forward.host_port < kFirstPrivilegedFree; });
  if (privileged) credentials.ambient_capabilities.push_back(CAP_NET_BIND_SERVICE);
  return credentials;
}

}  // namespace

std::string disk_id(std::size_t index) {
  return fmt::format("disk{}", index);
}

std::vector<BlockImage> first_images(const Disk& disk, std::size_t index) {
  std::vector<std::int64_t> sets{static_cast<std::int64_t>(index)};
  for (std::size_t i = 0; i < disk.backing.size(); ++i) sets.push_back(layer_set(index, i));
  return block_images(disk, disk_id(index), sets);
}

std::string forward_key(const PortForward& forward) {
  in_addr address{};
  if (::inet_pton(AF_INET, forward.host_address.c_str(), &address) != 1) {
    const bool is_ipv6 = forward.host_address.find(':') != std::string::npos;
    throw Error(
        is_ipv6 ? Code::unsupported : Code::invalid_argument,
        "cannot forward from \"{}\": user networking forwards from numeric IPv4 addresses of this host",
        printable(forward.host_address));
  }
  if (forward.host_port == 0 || forward.guest_port == 0) {
    throw Error(Code::invalid_argument, "port 0 cannot be forwarded");
  }
  const std::string_view protocol = forward.protocol == PortForward::Protocol::tcp ? "tcp" : "udp";
  return fmt::format("{}:{}:{}", protocol, forward.host_address, forward.host_port);
}

std::string forward_rule(const PortForward& forward) {
  return fmt::format("{}-:{}", forward_key(forward), forward.guest_port);
}

std::string kernel_command_line(const MachineSpec& spec, const HostFacts& host) {
  std::string line(kKernelArguments);
  if (spec.accelerator == Accelerator::tcg) {
    line.append(" ").append(kTcgKernelArguments);
    // The guest reads the host's counter. A busy host makes the guest's own measurement of its rate wrong,
    // and with it the guest's clock: seconds that last too short or for ever were both seen.
    if (host.tsc_khz != 0) line += fmt::format(" tsc_early_khz={}", host.tsc_khz);
  }
  if (reserved_memory(spec) != 0) line.append(" ").append(kMemoryKernelArguments);
  if (!spec.kernel_arguments.empty()) line.append(" ").append(spec.kernel_arguments);
  return line;
}

std::vector<std::string> machine_words(MachineSpec spec) {
  constexpr int kSomeDescriptor = 0;
  spec.name = "template";
  spec.forwards.clear();
  spec.credentials.reset();
  spec.memory_file = -1;
  spec.frozen.reset();
  spec.receives = -1;
  for (Disk& disk : spec.disks) {
    disk.fd = kSomeDescriptor;
    disk.format = DiskFormat::raw;
    disk.backing.clear();
  }
  for (NetworkCard& card : spec.network_cards) card.backend = NetworkCard::Backend::none;
  // The host's facts are as they were as long as it is not booted again.
  return make_process_spec(spec, "", {}, {}).arguments;
}

ProcessSpec make_process_spec(const MachineSpec& spec, const std::filesystem::path& program,
                              const Channels& channels, const HostFacts& host) {
  check_spec(spec);
  ProcessSpec process;
  process.program = program;
  process.environment = {{"LANG=C"}};
  process.directory = "/";
  process.standard_error = channels.standard_error;
  process.new_session = true;
  process.parent_death_signal = SIGKILL;
  process.no_new_privileges = true;
  if (spec.credentials) process.credentials = complete_credentials(spec, host.kvm_group);

  CommandLine line(process);
  if (channels.state >= 0) line.pass(channels.state);
  add_machine(line, spec, channels);
  if (boots(spec)) add_kernel(line, spec, channels, host);
  add_channels(line, channels);
  line.add("-device", "pvpanic-pci");
  line.add("-device", "virtio-rng-pci,disable-legacy=on");
  line.add("-device",
           "virtio-balloon-pci,free-page-reporting=on,page-poison=off,deflate-on-oom=on,disable-legacy=on");
  // One bridge costs a start nothing; root ports, one for each place, cost some milliseconds each.
  line.add("-device", fmt::format("pcie-pci-bridge,id={}", kPlugBus));
  for (std::size_t i = 0; i < spec.disks.size(); ++i) add_disk(line, spec.disks[i], i);
  for (std::size_t i = 0; i < spec.network_cards.size(); ++i) add_network_card(line, spec, i);
  for (std::size_t i = 0; i < spec.shared_folders.size(); ++i)
    add_shared_folder(line, spec.shared_folders[i], i);
  return process;
}

}  // namespace berth::hypervisor::qemu
