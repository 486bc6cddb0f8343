#include "hypervisor/qemu/arguments.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <signal.h>

#include <algorithm>

#include "base/error.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor::qemu {
namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

constexpr HostFacts kHost{gid_t{105}, 2500000};
constexpr Channels kChannels{10, 11, {12, 13, 14}, 15, 16, 17};

MachineSpec plain_spec() {
  MachineSpec spec;
  spec.name = "web";
  return spec;
}

ProcessSpec process_for(const MachineSpec& spec) {
  return make_process_spec(spec, "/usr/bin/qemu-system-x86_64", kChannels, kHost);
}

/// The values of every `option`.
std::vector<std::string> values(const ProcessSpec& process, const std::string& option) {
  std::vector<std::string> result;
  for (std::size_t i = 0; i + 1 < process.arguments.size(); ++i) {
    if (process.arguments[i] == option) result.push_back(process.arguments[i + 1]);
  }
  return result;
}

std::optional<Code> refusal(const MachineSpec& spec) {
  return code_thrown([&] { process_for(spec); });
}

TEST(Arguments, ConfineTheProcess) {
  const ProcessSpec process = process_for(plain_spec());
  EXPECT_THAT(values(process, "-sandbox"),
              ElementsAre("on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
  EXPECT_TRUE(process.no_new_privileges);
  EXPECT_TRUE(process.new_session);
  EXPECT_EQ(process.parent_death_signal, SIGKILL);
  EXPECT_THAT(*process.environment, ElementsAre("LANG=C"));
  EXPECT_EQ(process.standard_input, -1);
  EXPECT_EQ(process.standard_output, -1);
  EXPECT_EQ(process.standard_error, 17);
  EXPECT_FALSE(process.credentials);
  EXPECT_THAT(process.arguments,
              AllOf(Contains("-nodefaults"), Contains("-no-user-config"), Contains("-no-reboot")));
}

TEST(Arguments, PassEveryChannelByItsNumber) {
  const ProcessSpec process = process_for(plain_spec());
  EXPECT_THAT(process.descriptors, ElementsAre(Pair(15, 3), Pair(16, 4), Pair(10, 5), Pair(11, 6),
                                               Pair(12, 7), Pair(13, 8), Pair(14, 9)));
  EXPECT_THAT(values(process, "-kernel"), ElementsAre("/proc/self/fd/3"));
  EXPECT_THAT(values(process, "-initrd"), ElementsAre("/proc/self/fd/4"));
  EXPECT_THAT(values(process, "-chardev"),
              ElementsAre("socket,id=monitor,fd=5", "socket,id=console,fd=6", "socket,id=control,fd=7",
                          "socket,id=output,fd=8", "socket,id=attach,fd=9"));
  EXPECT_THAT(values(process, "-device"),
              AllOf(Contains("virtserialport,bus=ports.0,nr=1,chardev=control,name=berth.control"),
                    Contains("virtserialport,bus=ports.0,nr=3,chardev=attach,name=berth.attach")));
}

TEST(Arguments, ChooseTheAccelerator) {
  MachineSpec spec = plain_spec();
  EXPECT_THAT(values(process_for(spec), "-accel"), ElementsAre(HasSubstr("tcg,")));
  EXPECT_THAT(kernel_command_line(spec, kHost), HasSubstr("mitigations=off tsc_early_khz=2500000"));
  spec.accelerator = Accelerator::kvm;
  EXPECT_THAT(values(process_for(spec), "-accel"), ElementsAre("kvm"));
  EXPECT_THAT(values(process_for(spec), "-cpu"), ElementsAre("host"));
  EXPECT_THAT(kernel_command_line(spec, kHost), AllOf(Not(HasSubstr("mitigations")), Not(HasSubstr("tsc"))));
}

TEST(Arguments, RoundMemoryUp) {
  MachineSpec spec = plain_spec();
  spec.memory_bytes = (std::uint64_t{300} << 20) + 1;
  spec.cpus = 3;
  EXPECT_THAT(values(process_for(spec), "-m"), ElementsAre("301M"));
  EXPECT_THAT(values(process_for(spec), "-smp"), ElementsAre("cpus=3,maxcpus=3,sockets=1,cores=3,threads=1"));
}

TEST(Arguments, LeaveRoomToGrow) {
  MachineSpec spec = plain_spec();
  EXPECT_THAT(values(process_for(spec), "-device"), Contains("pcie-pci-bridge,id=plug"));
  EXPECT_THAT(kernel_command_line(spec, kHost), Not(HasSubstr("swiotlb")));
  spec.most_cpus = 4;
  spec.most_memory_bytes = (std::uint64_t{1} << 30) + 1;
  EXPECT_THAT(values(process_for(spec), "-m"), ElementsAre("256M,maxmem=1024M"));
  EXPECT_THAT(values(process_for(spec), "-smp"), ElementsAre("cpus=1,maxcpus=1,sockets=1,cores=1,threads=1"));
  spec.accelerator = Accelerator::kvm;
  EXPECT_THAT(values(process_for(spec), "-smp"), ElementsAre("cpus=1,maxcpus=4,sockets=1,cores=4,threads=1"));
  EXPECT_THAT(kernel_command_line(spec, kHost), HasSubstr("swiotlb=noforce"));
  spec.cpus = 5;
  EXPECT_EQ(refusal(spec), Code::invalid_argument);
  spec.most_cpus = 0;
  spec.most_memory_bytes = 1;
  EXPECT_EQ(refusal(spec), Code::invalid_argument);
}

TEST(Arguments, GiveDisksBySet) {
  MachineSpec spec = plain_spec();
  spec.disks = {{20, true, "image"}, {21, false, "scratch"}};
  const ProcessSpec process = process_for(spec);
  EXPECT_THAT(process.descriptors, AllOf(Contains(Pair(20, 10)), Contains(Pair(21, 11))));
  EXPECT_THAT(values(process, "-add-fd"), ElementsAre("fd=10,set=0", "fd=11,set=1"));
  EXPECT_THAT(values(process, "-blockdev"),
              ElementsAre("driver=file,node-name=disk0-file,filename=/dev/fdset/0,read-only=on,locking=off",
                          "driver=file,node-name=disk1-file,filename=/dev/fdset/1,discard=unmap"));
  EXPECT_THAT(values(process, "-device"),
              Contains(AllOf(HasSubstr("virtio-blk-pci,id=disk1"), HasSubstr("serial=scratch"),
                             HasSubstr("werror=report"))));
}

TEST(Arguments, GiveTheLayersOfADiskByName) {
  MachineSpec spec = plain_spec();
  spec.disks = {{20, true, "image"},
                {21, false, "scratch", DiskFormat::qcow2, {{22, DiskFormat::qcow2}, {23, DiskFormat::raw}}}};
  const ProcessSpec process = process_for(spec);
  EXPECT_THAT(values(process, "-add-fd"),
              ElementsAre("fd=10,set=0", "fd=11,set=1", "fd=12,set=1064", "fd=13,set=1065"));
  EXPECT_THAT(
      values(process, "-blockdev"),
      ElementsAre(
          _,
          R"({"driver":"file","node-name":"disk1-layer1-file","filename":"/dev/fdset/1065","locking":"off","read-only":true})",
          R"({"driver":"file","node-name":"disk1-layer0-file","filename":"/dev/fdset/1064","locking":"off","read-only":true})",
          R"({"driver":"qcow2","node-name":"disk1-layer0-content","file":"disk1-layer0-file","backing":"disk1-layer1-file","read-only":true})",
          R"({"driver":"file","node-name":"disk1-file","filename":"/dev/fdset/1","discard":"unmap"})",
          R"({"driver":"qcow2","node-name":"disk1-content","file":"disk1-file","backing":"disk1-layer0-content","discard":"unmap"})"));
  EXPECT_THAT(values(process, "-device"), Contains(HasSubstr("id=disk1,drive=disk1-content,serial=scratch")));
  // No name in the file's header is followed.
  spec.disks = {{21, false, "scratch", DiskFormat::qcow2}};
  EXPECT_THAT(values(process_for(spec), "-blockdev"), Contains(HasSubstr(R"("backing":null)")));
}

TEST(Arguments, BoundTheLayersOfADisk) {
  MachineSpec spec = plain_spec();
  spec.disks = {{20, false, "scratch", DiskFormat::qcow2, {}}};
  spec.disks[0].backing.assign(kMostLayers, {21, DiskFormat::qcow2});
  EXPECT_EQ(refusal(spec), std::nullopt);
  spec.disks[0].backing.push_back({21, DiskFormat::raw});
  EXPECT_EQ(refusal(spec), Code::capacity);
  spec.disks[0].backing = {{21, DiskFormat::raw}, {22, DiskFormat::raw}};
  EXPECT_EQ(refusal(spec), Code::invalid_argument);
  spec.disks[0].backing = {{-1, DiskFormat::raw}};
  EXPECT_EQ(refusal(spec), Code::invalid_argument);
  spec.disks[0] = {20, false, "scratch", DiskFormat::raw, {{21, DiskFormat::raw}}};
  EXPECT_EQ(refusal(spec), Code::invalid_argument);
}

TEST(Arguments, GiveANetwork) {
  MachineSpec spec = plain_spec();
  EXPECT_THAT(values(process_for(spec), "-netdev"), ElementsAre());
  spec.network_cards = {{NetworkCard::Backend::user, "52:54:00:00:00:01", -1}};
  spec.forwards = {{PortForward::Protocol::tcp, "127.0.0.1", 8080, 80},
                   {PortForward::Protocol::udp, "0.0.0.0", 53, 5353}};
  EXPECT_THAT(
      values(process_for(spec), "-netdev"),
      ElementsAre(AllOf(HasSubstr("user,id=user,ipv6=off"), HasSubstr(",hostfwd=tcp:127.0.0.1:8080-:80"),
                        HasSubstr(",hostfwd=udp:0.0.0.0:53-:5353"))));
  EXPECT_THAT(values(process_for(spec), "-device"),
              Contains(HasSubstr("virtio-net-pci,netdev=user,mac=52:54:00:00:00:01")));
}

TEST(Arguments, GiveNetworkCardsByDescriptor) {
  MachineSpec spec = plain_spec();
  spec.network_cards = {{NetworkCard::Backend::stream, "52:54:00:00:00:01", 30},
                        {NetworkCard::Backend::datagram, "52:54:00:00:00:02", 31},
                        {NetworkCard::Backend::tap, "52:54:00:00:00:03", 32}};
  const ProcessSpec process = process_for(spec);
  EXPECT_THAT(process.descriptors,
              AllOf(Contains(Pair(30, 10)), Contains(Pair(31, 11)), Contains(Pair(32, 12))));
  EXPECT_THAT(
      values(process, "-netdev"),
      ElementsAre("socket,id=net0,fd=10", "dgram,id=net1,local.type=fd,local.str=11", "tap,id=net2,fd=12"));
  EXPECT_THAT(values(process, "-device"),
              Contains(HasSubstr("virtio-net-pci,netdev=net1,mac=52:54:00:00:00:02")));
}

TEST(Arguments, GiveSharedFoldersByDescriptor) {
  MachineSpec spec = plain_spec();
  EXPECT_THAT(values(process_for(spec), "-object"), ElementsAre());
  EXPECT_THAT(values(process_for(spec), "-machine"), ElementsAre(Not(HasSubstr("memory-backend"))));
  spec.shared_folders = {{"folder0", 40}, {"folder1", 41}};
  const ProcessSpec process = process_for(spec);
  EXPECT_THAT(process.descriptors, AllOf(Contains(Pair(40, 10)), Contains(Pair(41, 11))));
  EXPECT_THAT(values(process, "-chardev"),
              AllOf(Contains("socket,id=folder0,fd=10"), Contains("socket,id=folder1,fd=11")));
  EXPECT_THAT(values(process, "-device"), AllOf(Contains("vhost-user-fs-pci,chardev=folder0,tag=folder0"),
                                                Contains("vhost-user-fs-pci,chardev=folder1,tag=folder1")));
  // Their servers reach no other memory.
  EXPECT_THAT(values(process, "-object"), ElementsAre("memory-backend-memfd,id=pc.ram,size=256M,share=on"));
  EXPECT_THAT(values(process, "-machine"), ElementsAre(HasSubstr(",memory-backend=pc.ram")));
}

TEST(Arguments, AddWhatTheUserOfTheProcessNeeds) {
  MachineSpec spec = plain_spec();
  spec.credentials = Credentials{900, 901, {}, {}};
  spec.accelerator = Accelerator::kvm;
  EXPECT_THAT(process_for(spec).credentials->groups, ElementsAre(105));
  EXPECT_THAT(process_for(spec).credentials->ambient_capabilities, ElementsAre());
  spec.accelerator = Accelerator::tcg;
  spec.network_cards = {{NetworkCard::Backend::user, "52:54:00:00:00:01", -1}};
  spec.forwards = {{PortForward::Protocol::tcp, "127.0.0.1", 80, 80}};
  EXPECT_THAT(process_for(spec).credentials->groups, ElementsAre());
  EXPECT_THAT(process_for(spec).credentials->ambient_capabilities, ElementsAre(CAP_NET_BIND_SERVICE));
}

TEST(Arguments, RefuseWhatCannotBe) {
  const auto refuses = [](const std::function<void(MachineSpec&)>& change) {
    MachineSpec spec = plain_spec();
    change(spec);
    return refusal(spec) == Code::invalid_argument;
  };
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.name = "a,b"; }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.cpus = 0; }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.cpus = 256; }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.memory_bytes = 1 << 20; }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.memory_bytes = UINT64_MAX; }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.kernel_arguments = "a\nb"; }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.kernel_arguments = std::string(5000, 'a'); }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.disks = {{20, true, "a,b"}}; }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.disks = {{20, true, std::string(21, 'a')}}; }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.disks = {{20, true, "a"}, {21, true, "a"}}; }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.disks = {{-1, true, "a"}}; }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) {
    spec.forwards = {{PortForward::Protocol::tcp, "127.0.0.1", 1, 1}};
  }));
  const auto card = [](const char* mac, NetworkCard::Backend backend = NetworkCard::Backend::user) {
    return NetworkCard{backend, mac, -1};
  };
  EXPECT_TRUE(refuses([&](MachineSpec& spec) {
    spec.network_cards = {card("52:54:00:00:00:01"), card("52:54:00:00:00:02")};
  })) << "two user networks";
  EXPECT_TRUE(refuses([&](MachineSpec& spec) {
    spec.network_cards = {card("52:54:00:00:00:01", NetworkCard::Backend::datagram)};
  })) << "no descriptor";
  EXPECT_TRUE(refuses([&](MachineSpec& spec) {
    spec.network_cards.assign(2, {NetworkCard::Backend::tap, "52:54:00:00:00:01", 20});
  })) << "the same address";
  for (const char* tag : {"", "a,b", "a/b", "0123456789012345678901234567890123456"}) {
    EXPECT_TRUE(refuses([&](MachineSpec& spec) { spec.shared_folders = {{tag, 40}}; })) << tag;
  }
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.shared_folders = {{"a", -1}}; }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) { spec.shared_folders = {{"a", 40}, {"a", 41}}; }));
  EXPECT_TRUE(refuses([](MachineSpec& spec) {
    for (int i = 0; i < 26; ++i) spec.shared_folders.push_back({"a" + std::to_string(i), 40});
  }));
  for (const char* mac :
       {"", "52:54:00:00:00", "53:54:00:00:00:01", "52:54:00:00:00:0g", "52-54-00-00-00-01"}) {
    EXPECT_TRUE(refuses([&](MachineSpec& spec) { spec.network_cards = {card(mac)}; })) << mac;
  }
}

TEST(ForwardRule, TakesNumericAddressesOnly) {
  EXPECT_EQ(forward_rule({PortForward::Protocol::udp, "10.1.2.3", 53, 54}), "udp:10.1.2.3:53-:54");
  const auto refusal_of = [](const char* address, std::uint16_t host, std::uint16_t guest) {
    return code_thrown([&] { forward_rule({PortForward::Protocol::tcp, address, host, guest}); });
  };
  EXPECT_EQ(refusal_of("localhost", 1, 1), Code::invalid_argument);
  EXPECT_EQ(refusal_of("127.0.0.1,restrict=no", 1, 1), Code::invalid_argument);
  EXPECT_EQ(refusal_of("::1", 1, 1), Code::unsupported);
  EXPECT_EQ(refusal_of("127.0.0.1", 0, 1), Code::invalid_argument);
  EXPECT_EQ(refusal_of("127.0.0.1", 1, 0), Code::invalid_argument);
}

}  // namespace
}  // namespace berth::hypervisor::qemu
