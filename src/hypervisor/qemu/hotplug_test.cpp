#include "hypervisor/qemu/hotplug.hpp"

#include <gtest/gtest.h>

#include <boost/asio/this_coro.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/error.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor::qemu {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kBytes = std::uint64_t{1} << 20;

/// Plays a QEMU that carries out all that it is told, and does not answer snapshots.
class SilentQemu {
 public:
  SilentQemu(const asio::any_io_executor& executor, UniqueFd socket) : stream_(executor, std::move(socket)) {}

  Task<> serve() {
    try {
      while (true) co_await answer(co_await read_line(stream_));
    } catch (const Error&) {
      // The client has gone.
    }
  }
  bool carries_out = true;
  std::vector<std::string> commands;

 private:
  Task<> answer(std::string line) {
    const json::object message = json::parse(line).as_object();
    commands.emplace_back(message.at("execute").as_string());
    if (commands.back() == "blockdev-snapshot") {
      overlay_ = message.at("arguments").at("overlay").as_string();
      co_return;
    }
    json::object reply{{"id", message.at("id")}, {"return", json::object()}};
    if (commands.back() == "add-fd") reply["return"] = json::object{{"fdset-id", 7}, {"fd", 9}};
    if (commands.back() == "query-block") {
      json::object medium{{"node-name", carries_out ? overlay_ : "scratch"}};
      json::object device{{"device", ""}, {"inserted", std::move(medium)}};
      json::array devices;
      devices.push_back(std::move(device));
      reply["return"] = std::move(devices);
    }
    const std::string bytes = json::serialize(reply) + "\n";
    co_await stream_.write_all(bytes);
  }

  Stream stream_;
  std::string overlay_;
};

class HotplugTest : public testing::TestWithParam<bool> {};

TEST_P(HotplugTest, QemuIsAskedWhatBecameOfASnapshotThatItDidNotAnswer) {
  run_task([carries_out = GetParam()]() -> Task<> {
    const auto executor = co_await asio::this_coro::executor;
    auto [near, far] = make_socket_pair();
    SilentQemu qemu(executor, std::move(far));
    qemu.carries_out = carries_out;
    Event ended(executor);
    bool has_ended = false;
    const auto serve = [&]() -> Task<> {
      co_await qemu.serve();
      has_ended = true;
      ended.notify_all();
    };
    spawn_detached(executor, "QEMU", serve());
    {
      QmpClient client(executor, std::move(near), {});
      const DiskFile base(kBytes, false);
      const DiskFile overlay = DiskFile::overlay(kBytes);
      MachineSpec spec;
      spec.disks = {{base.fd(), false, "scratch"}};
      Hotplug hotplug(executor, client, spec, Milliseconds(1));
      EXPECT_EQ(co_await code_of(hotplug.snapshot_disk("scratch", overlay.fd())), Code::timeout);
      EXPECT_EQ(co_await code_of(hotplug.snapshot_disk("scratch", overlay.fd())), Code::busy);
      EXPECT_EQ(qemu.commands.back(), "blockdev-snapshot");
      bool is_there = false;
      co_await hotplug.settle_disk("scratch", is_there);
      EXPECT_EQ(is_there, carries_out);
      EXPECT_EQ(qemu.commands.back(), carries_out ? "query-block" : "remove-fd");
      // It has a layer that can be sealed, or the next snapshot can be taken.
      const DiskFile layer(kBytes, true);
      EXPECT_EQ(co_await code_of(hotplug.seal_disk("scratch", layer.fd())),
                carries_out ? Code::corrupt : Code::wrong_state);
      EXPECT_EQ(co_await code_of(hotplug.snapshot_disk("scratch", overlay.fd())), Code::timeout);
    }
    while (!has_ended) co_await ended.wait();
  });
}

INSTANTIATE_TEST_SUITE_P(BothWays, HotplugTest, testing::Bool());

}  // namespace
}  // namespace berth::hypervisor::qemu
