#include "hypervisor/qemu/qemu.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <utility>

#include <boost/asio/this_coro.hpp>

#include "base/clock.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/process.hpp"
#include "hypervisor/initramfs.hpp"
#include "hypervisor/kernel.hpp"
#include "hypervisor/probe.hpp"
#include "hypervisor/testing/clone_contract.hpp"
#include "hypervisor/testing/copy_contract.hpp"
#include "hypervisor/testing/machine_contract.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

/// Real machines with the kernel of this host and the guest of testing/main.cpp.
struct QemuFixture final : MachineStarter {
  static const GuestKernel& kernel() {
    static const GuestKernel found = find_kernel();
    return found;
  }
  static const std::filesystem::path& initramfs() {
    static const TempDir cache(std::filesystem::temp_directory_path(), "berth-hypervisor-test");
    InitramfsSpec spec{kernel(), BERTH_TEST_GUEST};
    spec.folder_modules.assign(kFolderModules.begin(), kFolderModules.end());
    static const std::filesystem::path path = cached_initramfs(spec, cache.path());
    return path;
  }
  Task<std::unique_ptr<Machine>> start(MachineSpec spec) override {
    spec.name = "contract";
    spec.kernel = kernel().image;
    spec.initramfs = initramfs();
    return hypervisor.start(std::move(spec));
  }

  QemuHypervisor hypervisor;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Qemu, MachineContract, QemuFixture);
INSTANTIATE_TYPED_TEST_SUITE_P(Qemu, CloneContract, QemuFixture);
INSTANTIATE_TYPED_TEST_SUITE_P(Qemu, CopyContract, QemuFixture);

class QemuTest : public ::testing::Test {
 protected:
  QemuFixture fixture_;
};

TEST_F(QemuTest, TellsTheVersion) {
  EXPECT_THAT(fixture_.hypervisor.version(), ::testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+.*"));
}

TEST_F(QemuTest, AMissingProgramNamesThePackage) {
  EXPECT_EQ(code_thrown([] { QemuHypervisor("/nonexistent/qemu"); }), Code::not_found);
}

TEST_F(QemuTest, TellsAForeignKill) {
  run_task([this]() -> Task<> {
    const auto machine = co_await fixture_.start(MachineSpec());
    ::kill(machine->pid(), SIGKILL);
    const MachineEnd end = co_await machine->wait_end();
    EXPECT_EQ(end.reason, MachineEnd::Reason::killed);
    EXPECT_EQ(end.exit.signal, SIGKILL);
  });
}

TEST_F(QemuTest, TellsATermination) {
  run_task([this]() -> Task<> {
    const auto machine = co_await fixture_.start(MachineSpec());
    ::kill(machine->pid(), SIGTERM);
    const MachineEnd end = co_await machine->wait_end();
    EXPECT_EQ(end.reason, MachineEnd::Reason::killed);
    EXPECT_THAT(end.detail, HasSubstr("terminating on signal 15"));
  });
}

TEST_F(QemuTest, AnEarlyPanicIsFoundOnTheConsole) {
  run_task([this]() -> Task<> {
    MachineSpec spec;
    spec.kernel_arguments = "rdinit=/absent root=/dev/absent";
    const auto machine = co_await fixture_.start(std::move(spec));
    const MachineEnd end = co_await machine->wait_end();
    EXPECT_EQ(end.reason, MachineEnd::Reason::panicked);
    EXPECT_THAT(end.detail, HasSubstr("Unable to mount root fs"));
  });
}

TEST_F(QemuTest, QuitKillsAStoppedProcess) {
  run_task([this]() -> Task<> {
    const auto machine = co_await fixture_.start(MachineSpec());
    ::kill(machine->pid(), SIGSTOP);
    co_await machine->quit(Milliseconds(100));
    const MachineEnd end = co_await machine->wait_end();
    EXPECT_EQ(end.reason, MachineEnd::Reason::quit);
    EXPECT_EQ(end.exit.signal, SIGKILL);
  });
}

TEST_F(QemuTest, DestroyingReapsTheProcess) {
  run_task([this]() -> Task<> {
    auto machine = co_await fixture_.start(MachineSpec());
    const pid_t pid = machine->pid();
    machine.reset();
    EXPECT_EQ(::kill(pid, 0), -1);
  });
}

TEST_F(QemuTest, CountsCpuTimeAndMemory) {
  run_task([this]() -> Task<> {
    const auto machine = co_await fixture_.start(MachineSpec());
    Stream control(co_await asio::this_coro::executor, machine->take_port(Port::control));
    co_await wait_hello(*machine, control);
    const MachineStatistics statistics = co_await machine->statistics();
    EXPECT_GT(statistics.cpu_time, Milliseconds(100));
    EXPECT_GT(statistics.resident_bytes, std::uint64_t{20} << 20);
  });
}

TEST_F(QemuTest, ForwardsReachTheGuest) {
  const PortForward forward{PortForward::Protocol::tcp, "127.0.0.1", free_port(), 80};
  MachineSpec spec;
  spec.network_cards = {{NetworkCard::Backend::user, "52:54:00:12:34:56", -1}};
  spec.forwards = {forward};
  run_task([&]() -> Task<> {
    const auto executor = co_await asio::this_coro::executor;
    const auto machine = co_await fixture_.start(spec);
    Stream control(executor, machine->take_port(Port::control));
    co_await wait_hello(*machine, control);
    co_await control.write_all("serve 80\n");
    EXPECT_EQ(co_await read_line(control), "serving");
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(forward.host_port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "connect");
    Stream connection(executor, std::move(socket));
    EXPECT_EQ(co_await read_line(connection), "guest");
  });
}

TEST_F(QemuTest, AMissingKernelIsNotFound) {
  run_task([this]() -> Task<> {
    MachineSpec spec;
    spec.name = "missing";
    spec.kernel = "/nonexistent/vmlinuz";
    spec.initramfs = QemuFixture::initramfs();
    EXPECT_EQ(co_await code_of(discard(fixture_.hypervisor.start(std::move(spec)))), Code::not_found);
  });
}

TEST_F(QemuTest, TooMuchMemoryIsACapacityError) {
  run_task([this]() -> Task<> {
    MachineSpec spec;
    spec.memory_bytes = std::uint64_t{1} << 42;
    EXPECT_EQ(co_await code_of(discard(fixture_.start(std::move(spec)))), Code::capacity);
  });
}

TEST_F(QemuTest, RunsAsAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may change the user";
  constexpr uid_t kNobody = 65534;
  run_task([]() -> Task<> {
    // The initramfs lies in a folder that the other user cannot enter.
    QemuFixture fixture;
    DiskFile scratch(std::uint64_t{1} << 20, false);
    MachineSpec spec;
    spec.credentials = Credentials{kNobody, kNobody, {}, {}};
    spec.disks = {{scratch.fd(), false, "scratch"}};
    const auto machine = co_await fixture.start(std::move(spec));
    const std::string status = read_file("/proc/" + std::to_string(machine->pid()) + "/status");
    EXPECT_THAT(status, HasSubstr("Uid:\t65534\t65534\t65534\t65534"));
    EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
    EXPECT_THAT(status, HasSubstr("CapEff:\t0000000000000000"));
    EXPECT_THAT(status, HasSubstr("Seccomp:\t2"));
    Stream control(co_await asio::this_coro::executor, machine->take_port(Port::control));
    co_await wait_hello(*machine, control);
    co_await control.write_all("write scratch\n");
    EXPECT_EQ(co_await read_line(control), "written");
  });
}

/// Whether the process has the file open for writing.
bool can_write(pid_t pid, const DiskFile& file) {
  struct stat wanted;
  check(::fstat(file.layer().get(), &wanted), "fstat");
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    struct stat info;
    if (::stat(entry.path().c_str(), &info) != 0 || info.st_ino != wanted.st_ino) continue;
    const std::string number = entry.path().filename();
    const std::string text = read_file("/proc/" + std::to_string(pid) + "/fdinfo/" + number);
    const unsigned long flags = std::strtoul(text.c_str() + text.find("flags:") + 6, nullptr, 8);
    if ((flags & O_ACCMODE) != O_RDONLY) return true;
  }
  return false;
}

TEST_F(QemuTest, ASealedLayerCannotBeWrittenAnyMore) {
  run_task([this]() -> Task<> {
    LayeredDisk disk;
    MachineSpec spec;
    spec.disks = {{disk.base.fd(), false, "scratch"}};
    const auto machine = co_await fixture_.start(std::move(spec));
    EXPECT_TRUE(can_write(machine->pid(), disk.base));
    Stream control(co_await asio::this_coro::executor, machine->take_port(Port::control));
    co_await wait_hello(*machine, control);
    co_await write_layers(*machine, control, disk);
    EXPECT_FALSE(can_write(machine->pid(), disk.base));
    EXPECT_FALSE(can_write(machine->pid(), disk.middle));
    EXPECT_TRUE(can_write(machine->pid(), disk.top));

    // One that stands still lets go of them when it has gone on.
    DiskFile next = DiskFile::overlay(kLayeredBytes);
    const UniqueFd top = disk.top.layer();
    co_await machine->pause();
    co_await machine->snapshot_disk("scratch", next.fd());
    co_await machine->seal_disk("scratch", top.get());
    co_await machine->resume();
    co_await machine->seal_disk("scratch", top.get());
    EXPECT_FALSE(can_write(machine->pid(), disk.top));

    // What a machine leaves as it is, and when it has all that was written.
    co_await machine->pause();
    EXPECT_TRUE(is_untouched_overlay(next.fd(), kLayeredBytes));
    co_await machine->resume();
    EXPECT_EQ(co_await ask(control, "write scratch 4096"), "written");
    co_await machine->pause();
    EXPECT_FALSE(is_untouched_overlay(next.fd(), kLayeredBytes));
  });
}

TEST_F(QemuTest, ADiskTakesNoMoreLayersThanItMay) {
  run_task([this]() -> Task<> {
    DiskFile base(kLayeredBytes, false);
    MachineSpec spec;
    spec.disks = {{base.fd(), false, "scratch"}};
    const auto machine = co_await fixture_.start(std::move(spec));
    std::vector<DiskFile> overlays;
    for (std::size_t i = 0; i <= kMostLayers; ++i) overlays.push_back(DiskFile::overlay(kLayeredBytes));
    for (std::size_t i = 0; i < kMostLayers; ++i)
      co_await machine->snapshot_disk("scratch", overlays[i].fd());
    EXPECT_EQ(co_await code_of(machine->snapshot_disk("scratch", overlays.back().fd())), Code::capacity);
    Stream control(co_await asio::this_coro::executor, machine->take_port(Port::control));
    co_await wait_hello(*machine, control);
    EXPECT_EQ(co_await ask(control, "write scratch 4096"), "written");
    EXPECT_EQ(co_await ask(control, "read scratch 4096"), "berth was here");
  });
}

/// A file server of QEMU's for `folder`, and the socket that leads to it.
std::pair<Process, UniqueFd> serve_folder(const std::filesystem::path& folder,
                                          const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const auto* plain = reinterpret_cast<const sockaddr*>(&address);
  const UniqueFd listener(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  UniqueFd machine(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  check(::bind(listener.get(), plain, sizeof address), "bind");
  check(::listen(listener.get(), 1), "listen");
  check(::connect(machine.get(), plain, sizeof address), "connect");
  ProcessSpec spec;
  spec.program = "/usr/lib/qemu/virtiofsd";
  spec.arguments = {"--fd=3", "-f", "-o", "source=" + folder.string(), "-o", "log_level=err"};
  spec.descriptors = {{listener.get(), 3}};
  spec.parent_death_signal = SIGKILL;
  return {Process::spawn(spec), std::move(machine)};
}

TEST_F(QemuTest, SharesAFolderOfTheHostAndGrows) {
  if (::geteuid() != 0) GTEST_SKIP() << "virtiofsd confines itself only as root";
  const TempDir folder(std::filesystem::temp_directory_path(), "berth-folder-test");
  const std::filesystem::path shared = folder.path() / "shared";
  make_directories(shared);
  write_file_atomically(shared / "given", "by the host");
  run_task([&]() -> Task<> {
    constexpr std::uint64_t kMore = std::uint64_t{384} << 20;
    auto server = serve_folder(shared, folder.path() / "sock");
    MachineSpec spec;
    spec.shared_folders = {{"here", server.second.get()}};
    spec.most_memory_bytes = std::uint64_t{512} << 20;
    const auto machine = co_await fixture_.start(std::move(spec));
    server.second.reset();
    Stream control(co_await asio::this_coro::executor, machine->take_port(Port::control));
    co_await wait_hello(*machine, control);
    co_await control.write_all("folder here\n");
    EXPECT_EQ(co_await read_line(control), "by the host");
    EXPECT_EQ(read_file(shared / "made"), "by the guest");
    co_await control.write_all("memory 256\n");
    EXPECT_EQ(co_await read_line(control), "done");
    co_await machine->set_memory(kMore, Milliseconds(30'000));
    co_await control.write_all("memory 384\n");
    EXPECT_EQ(co_await read_line(control), "done");
    EXPECT_EQ(machine->size().memory_bytes, kMore);
    co_await control.write_all("folder here\n");
    EXPECT_EQ(co_await read_line(control), "by the host");
    co_await machine->quit(Milliseconds(10'000));
    // The server ends with the machine that it served.
    EXPECT_TRUE(server.first.wait_for(std::chrono::seconds(10)));
  });
}

/// Memory that is the process's alone, in MiB.
std::uint64_t private_mib(pid_t pid) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/smaps_rollup");
  return std::strtoull(text.c_str() + text.find("Private_Dirty:") + 14, nullptr, 10) / 1024;
}

TEST_F(QemuTest, ACloneGivesBackWhatItsGuestFrees) {
  run_task([this]() -> Task<> {
    FrozenFiles files;
    co_await make_frozen(fixture_, files, MachineSpec(), "remember template");
    Running clone = co_await start_clone(fixture_, files, MachineSpec());
    EXPECT_EQ(co_await ask(*clone.control, "recall"), "template");
    const std::uint64_t before = private_mib(clone.machine->pid());
    EXPECT_EQ(co_await ask(*clone.control, "take 64"), "done");
    const std::uint64_t taken = private_mib(clone.machine->pid());
    EXPECT_GE(taken, before + 60);
    EXPECT_EQ(co_await ask(*clone.control, "give-back"), "done");
    // The guest's kernel reports free memory every two seconds.
    std::uint64_t after = taken;
    for (int tries = 0; tries < 200 && after > before + 30; ++tries) {
      co_await sleep_for(Milliseconds(50));
      after = private_mib(clone.machine->pid());
    }
    std::printf("a clone's own memory: %llu MiB, %llu with 64 more, then %llu\n",
                static_cast<unsigned long long>(before), static_cast<unsigned long long>(taken),
                static_cast<unsigned long long>(after));
    EXPECT_LE(after, before + 30);
    EXPECT_EQ(co_await ask(*clone.control, "take 64"), "done");
    co_await clone.machine->quit(Milliseconds(10'000));
    const MachineEnd end = co_await clone.machine->wait_end();
    EXPECT_EQ(end.detail, "");
  });
}

TEST_F(QemuTest, ClonesRunAsUsersWhoCannotWriteTheTemplate) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may change the user";
  run_task([this]() -> Task<> {
    constexpr uid_t kFirstUser = 200'000;
    FrozenFiles files;
    check(::fchmod(files.memory.fd(), 0600), "fchmod");
    MachineSpec spec;
    spec.credentials = Credentials{kFirstUser, kFirstUser, {}, {}};
    co_await make_frozen(fixture_, files, spec, "remember template");
    check(::fchown(files.memory.fd(), 0, 0), "fchown");
    check(::fchmod(files.memory.fd(), 0400), "fchmod");
    spec.credentials = Credentials{kFirstUser + 1, kFirstUser + 1, {}, {}};
    Running clone = co_await start_clone(fixture_, files, spec);
    EXPECT_EQ(co_await ask(*clone.control, "recall"), "template");
    EXPECT_FALSE(can_write(clone.machine->pid(), files.memory));

    FrozenFiles copy;
    co_await copy_machine(fixture_, *clone.machine, copy, spec);
    check(::fchown(copy.memory.fd(), 0, 0), "fchown");
    Running second = co_await start_clone(fixture_, copy, spec);
    EXPECT_EQ(co_await ask(*second.control, "recall"), "template");
  });
}

TEST_F(QemuTest, KeepsNoDescriptors) {
  const auto count = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  };
  run_task([this]() -> Task<> { co_await fixture_.start(MachineSpec()); });
  const auto before = count();
  for (int i = 0; i < 3; ++i) {
    run_task([this]() -> Task<> { co_await fixture_.start(MachineSpec()); });
  }
  EXPECT_EQ(count(), before);
}

// Whatever the KVM of the host is like, there is an answer, soon.
TEST_F(QemuTest, TheProbeAnswersInTime) {
  const TempDir folder(std::filesystem::temp_directory_path(), "berth-probe-test");
  const SystemClock clock;
  KvmProbe probe(fixture_.hypervisor, clock,
                 {folder.path(), QemuFixture::kernel(), QemuFixture::initramfs(), std::nullopt,
                  fixture_.hypervisor.program_fingerprint()});
  const auto start = std::chrono::steady_clock::now();
  run_task([&]() -> Task<> {
    const KvmAnswer answer = co_await probe.ask();
    EXPECT_FALSE(answer.reason.empty());
    RecordProperty("kvm", answer.reason);
  });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
}

}  // namespace
}  // namespace berth::hypervisor
