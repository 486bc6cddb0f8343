#include "launcher/launcher.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "extraconfig/codec.hpp"
#include "hypervisor/fake/fake.hpp"
#include "launcher/cleanup.hpp"
#include "launcher/launcher_test.hpp"

namespace berth::launcher {
namespace {

TEST_F(LauncherTest, AGuestThatSaysItsPortIsBrokenDoesNotHoldUpItsStart) {
  refusal_ = Error(Code::unavailable, "nobody is here");
  make_launcher();
  attach_client();
  run();
  ASSERT_TRUE(client_exit_);
  EXPECT_EQ(client_exit_->code, 125);
  EXPECT_THAT(store_->get(id_).host.error, testing::HasSubstr("nobody is here"));
}

TEST_F(LauncherTest, ARunGoesFromStartToARecordedEnd) {
  script_ = [](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    co_await tether.write(link::OutputKind::standard_output, "hello\n");
    co_await tether.end_session(7);
  };
  make_launcher();
  attach_client();
  run();
  ASSERT_TRUE(client_exit_);
  EXPECT_EQ(client_exit_->code, 7);
  EXPECT_EQ(client_output_, "hello\n");
  const record::Pod pod = store_->get("test");
  EXPECT_EQ(pod.host.status, record::Status::exited);
  EXPECT_EQ(pod.host.exit_code, 7);
  EXPECT_EQ(pod.host.machine.pid, 0);
  EXPECT_TRUE(FileLock::try_acquire(paths_.pod_lock(id_))) << "the lock is still held";
  ASSERT_FALSE(tether_->orders.empty());
  EXPECT_EQ(tether_->orders.back().verb, link::verb::power_off);
  EXPECT_EQ(logged(), "hello\n");
}

TEST_F(LauncherTest, AMachineOfWhichNothingStaysIsSwitchedOffToGiveBackItsLease) {
  const config::IpNetwork given = config::IpNetwork::parse("192.0.2.5/24");
  for (const bool lends : {false, true}) {
    SCOPED_TRACE(lends);
    script_ = [&](ScriptedTether& tether) -> Task<> {
      co_await tether.start_session();
      if (lends) {
        config::ExecutorConfig leased = tether.config_;
        leased.networks.at("n").assigned = given;
        co_await tether.report_difference(
            extraconfig::diff(extraconfig::encode(tether.config_), extraconfig::encode(leased)));
      }
      co_await tether.end_session(0);
    };
    pod_.executor.networks["n"].common.id = "52:54:00:00:00:01";
    pod_.host.auto_remove = true;
    make_launcher();
    run();
    EXPECT_EQ(tether_->count(link::verb::power_off), lends ? 1u : 0u);
    EXPECT_FALSE(store_->find("test"));
    launcher_.reset();
    loop_.restart();
  }
}

TEST_F(LauncherTest, AMachineForCopiesLeavesTheRecordAndTheLogAsTheyAre) {
  std::unique_ptr<Counted> hold;
  bool files_seen = false;
  script_ = [&](ScriptedTether& tether) -> Task<> {
    EXPECT_FALSE(tether.config_.sessions.at(id_).active);
    EXPECT_FALSE(tether.config_.mounts.contains("hidden"));
    // A guest that claims to run the container is not believed.
    co_await tether.start_session();
    co_await tether.write(link::OutputKind::standard_output, "forged\n");
    co_await tether.end_session(1);
    co_await launcher_->wait_files();
    files_seen = true;
    EXPECT_EQ(store_->get("test").host.status, record::Status::exited);
    hold.reset();
  };
  config::MountSpec hidden;
  hidden.source.scheme = "tmpfs";
  hidden.path = "/tmp";
  pod_.executor.mounts["hidden"] = hidden;
  pod_.host.status = record::Status::exited;
  pod_.host.exit_code = 9;
  pod_.host.started = 5;
  pod_.host.finished = 6;
  pod_.host.auto_remove = true;
  files_only_ = true;
  make_launcher();
  hold.reset(new Counted(launcher_->hold_files()));
  run();
  EXPECT_TRUE(files_seen);
  record::Pod pod = store_->get("test");
  EXPECT_EQ(pod.host, pod_.host);
  EXPECT_EQ(pod.executor.sessions, pod_.executor.sessions);
  EXPECT_TRUE(FileLock::try_acquire(paths_.pod_lock(id_))) << "the lock is still held";
  ASSERT_FALSE(tether_->orders.empty());
  EXPECT_EQ(tether_->orders.back().verb, link::verb::power_off);
  EXPECT_EQ(logged(), "");
}

TEST_F(LauncherTest, AMachineForCopiesThatBreaksDownSaysWhy) {
  silent_ = true;
  boot_limit_ = Milliseconds(100);
  pod_.host.status = record::Status::exited;
  files_only_ = true;
  make_launcher();
  std::string reason;
  const auto wait = [&]() -> Task<> {
    const Counted hold = launcher_->hold_files();
    try {
      co_await launcher_->wait_files();
    } catch (const Error& error) {
      reason = error.what();
    }
  };
  spawn_detached(loop_.get_executor(), "files", wait());
  run();
  EXPECT_NE(reason.find("did not answer"), std::string::npos) << reason;
  EXPECT_EQ(store_->get("test").host.status, record::Status::exited);
  EXPECT_EQ(store_->get("test").host.error, "");
}

TEST_F(LauncherTest, RecordsAddressesAsTheyComeAndGo) {
  script_ = [this](ScriptedTether& tether) -> Task<> {
    const auto tell = [](ScriptedTether& guest, const char* address) -> Task<> {
      const extraconfig::Pairs before = extraconfig::encode(guest.config_);
      auto& assigned = guest.config_.networks.at("net").assigned;
      assigned = *address != '\0' ? config::IpNetwork::parse(address) : config::IpNetwork();
      co_await guest.report_difference(extraconfig::diff(before, extraconfig::encode(guest.config_)));
    };
    const auto recorded = [this] {
      return store_->get("test").executor.networks.at("net").assigned.to_string();
    };
    co_await tell(tether, "192.0.2.5/24");
    co_await tether.start_session();
    EXPECT_EQ(recorded(), "192.0.2.5/24");
    co_await tell(tether, "192.0.2.6/24");
    EXPECT_EQ(recorded(), "192.0.2.6/24");
    co_await tell(tether, "");
    EXPECT_EQ(recorded(), "");
    co_await tether.end_session(0);
  };
  pod_.executor.networks["net"].network.common.name = "net";
  make_launcher();
  attach_client();
  run();
}

TEST_F(LauncherTest, AClientLeavesWithItsRunAndTheSessionIsStartedAgain) {
  script_ = [this](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    co_await tether.write(link::OutputKind::standard_output, "one\n");
    co_await tether.write(link::OutputKind::end, "");
    config::ExitLog first;
    first.exit_status = 3;
    co_await tether.report([&](config::SessionConfig& session) {
      session.exit_status = 3;
      session.detail.stop_time = 1;
      session.restarting = true;
      session.diagnostics.exit_logs.push_back(first);
    });
    EXPECT_EQ(store_->get("test").host.status, record::Status::restarting);
    EXPECT_EQ(store_->get("test").host.exit_code, 3);
    co_await tether.write(link::OutputKind::open, tether.config_.sessions.begin()->first);
    co_await tether.write(link::OutputKind::standard_output, "two\n");
    co_await tether.write(link::OutputKind::end, "");
    co_await tether.write(link::OutputKind::open, tether.config_.sessions.begin()->first);
    co_await tether.write(link::OutputKind::standard_output, "three\n");
    // The second run has come and gone between two reports.
    co_await tether.report([&](config::SessionConfig& session) {
      session.detail.stop_time = 0;
      session.restarting = false;
      session.diagnostics.resurrection_count = 2;
      session.diagnostics.exit_logs.push_back(first);
    });
    EXPECT_EQ(store_->get("test").host.status, record::Status::running);
    co_await tether.end_session(0);
  };
  pod_.session().restart = true;
  make_launcher();
  attach_client();
  run();
  ASSERT_TRUE(client_exit_);
  EXPECT_EQ(client_exit_->code, 3);
  EXPECT_EQ(client_output_, "one\n");
  const record::Pod pod = store_->get("test");
  EXPECT_EQ(pod.host.status, record::Status::exited);
  EXPECT_EQ(pod.host.exit_code, 0);
  EXPECT_EQ(pod.session().diagnostics.resurrection_count, 2);
  EXPECT_EQ(logged(), "one\ntwo\nthree\n");
}

TEST_F(LauncherTest, TheGuestSeesNoHiddenKeyAndItsKeysAreNotStored) {
  script_ = [](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    co_await tether.end_session(0);
  };
  pod_.executor.annotations["secret"] = "for the host only";
  make_launcher();
  run();
  EXPECT_TRUE(tether_->config_.annotations.empty());
  EXPECT_TRUE(tether_->config_.common.name.empty());
  EXPECT_FALSE(tether_->config_.key.data.empty());
  EXPECT_FALSE(tether_->config_.entropy.data.empty());
  EXPECT_TRUE(store_->get("test").executor.key.data.empty());
}

TEST_F(LauncherTest, ACommandThatCannotRunIsTheClientsExit) {
  script_ = [](ScriptedTether& tether) -> Task<> {
    co_await tether.report(
        [](config::SessionConfig& session) { session.started = "not-found: exec: \"x\": no such file"; });
  };
  make_launcher();
  attach_client();
  run();
  ASSERT_TRUE(client_exit_);
  EXPECT_EQ(client_exit_->code, 127);
  EXPECT_EQ(client_exit_->error, "exec: \"x\": no such file");
  EXPECT_EQ(store_->get("test").host.status, record::Status::created);
}

TEST_F(LauncherTest, WhatRunMadeAndNeverStartedGoesAway) {
  pod_.host.remove_unless_started = true;
  script_ = [](ScriptedTether& tether) -> Task<> {
    co_await tether.report([](config::SessionConfig& session) { session.started = "not-executable: no"; });
  };
  make_launcher();
  run();
  EXPECT_FALSE(store_->find(id_));
  EXPECT_FALSE(std::filesystem::exists(paths_.pod(id_)));
  EXPECT_FALSE(std::filesystem::exists(paths_.pod_lock(id_)));
}

TEST_F(LauncherTest, WhatRunMadeAndHasRunOnceStays) {
  pod_.host.remove_unless_started = true;
  pod_.host.started = 1;
  pod_.host.finished = 2;
  script_ = [](ScriptedTether& tether) -> Task<> {
    co_await tether.report([](config::SessionConfig& session) { session.started = "not-executable: no"; });
  };
  make_launcher();
  run();
  const record::Pod left = store_->get(id_);
  EXPECT_EQ(left.host.status, record::Status::exited);
  EXPECT_EQ(left.host.exit_code, 126);
  EXPECT_EQ(left.host.finished, 2);
}

TEST_F(LauncherTest, APanicIsReportedAsWhatItIs) {
  script_ = [this](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    guest_->panic("out of patience");
  };
  make_launcher();
  attach_client();
  run();
  ASSERT_TRUE(client_exit_);
  EXPECT_EQ(client_exit_->code, 125);
  EXPECT_NE(client_exit_->error.find("panic"), std::string::npos) << client_exit_->error;
  EXPECT_EQ(store_->get("test").host.status, record::Status::exited);
}

TEST_F(LauncherTest, ASilentMachineIsGivenUp) {
  silent_ = true;
  boot_limit_ = Milliseconds(50);
  make_launcher();
  attach_client();
  run();
  ASSERT_TRUE(client_exit_);
  EXPECT_EQ(client_exit_->code, 125);
  EXPECT_FALSE(guest_->running());
}

TEST_F(LauncherTest, AMachineThatCannotStartIsAnError) {
  hypervisor_.fail_next_start(Error(Code::already_exists, "port 80 is taken"));
  make_launcher();
  attach_client();
  run();
  ASSERT_TRUE(client_exit_);
  EXPECT_EQ(client_exit_->error, "port 80 is taken");
}

TEST_F(LauncherTest, AHostileReportChangesNothingElse) {
  std::optional<Error> refused;
  script_ = [&](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    extraconfig::Difference keys;
    // Read-only for a guest, hidden, of another session, and nonsense.
    keys.changed = {{"guestinfo.vice./hostname", "evil"},
                    {"host/status", "removing"},
                    {"common/name", "evil"},
                    {"guestinfo.vice..sessions|other.started", "true"}};
    co_await tether.report_difference(keys);
    keys.changed = {
        {"guestinfo.vice..sessions|" + tether.config_.sessions.begin()->first + ".status", "no number"}};
    try {
      co_await tether.report_difference(keys);
    } catch (const Error& error) {
      refused = error;
    }
    co_await tether.end_session(0);
  };
  make_launcher();
  run();
  const record::Pod pod = store_->get("test");
  EXPECT_EQ(pod.executor.hostname, "");
  EXPECT_EQ(pod.executor.sessions.size(), 1u);
  EXPECT_EQ(pod.host.status, record::Status::exited);
  EXPECT_TRUE(refused);
}

TEST_F(LauncherTest, AClientThatDoesNotReadHoldsBackTheSessionOnly) {
  reading_ = false;
  script_ = [this](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    const auto has_order = [&](std::string_view verb) {
      for (const link::Order& order : tether.orders) {
        if (order.verb == verb) return true;
      }
      return false;
    };
    for (int i = 0; i < 64 && !has_order(link::verb::hold); ++i) {
      co_await tether.write(link::OutputKind::standard_output, std::string(link::kOutputPayloadLimit, 'x'));
      co_await sleep_for(Milliseconds(5));
    }
    EXPECT_TRUE(has_order(link::verb::hold));
    EXPECT_FALSE(has_order(link::verb::release));
    spawn_detached(loop_.get_executor(), "client", collect());
    for (int i = 0; i < 1000 && !has_order(link::verb::release); ++i) co_await sleep_for(Milliseconds(5));
    EXPECT_TRUE(has_order(link::verb::release));
    co_await tether.end_session(0);
  };
  make_launcher();
  attach_client();
  run();
  EXPECT_GT(client_output_.size(), Subscriber::kHighWater);
  EXPECT_EQ(client_output_.size() % link::kOutputPayloadLimit, 0u);
}

TEST_F(LauncherTest, ALostLauncherIsMadeGood) {
  store_->create(pod_);
  store_->set_intent(id_, record::Intent::none);
  make_directories(paths_.pod(id_));
  make_directories(paths_.pod_runtime(id_));
  store_->update(id_, [](record::Pod& pod) { pod.host.status = record::Status::running; });
  FileLock lock = FileLock::acquire(paths_.pod_lock(id_), kLimit, "the pod");
  EXPECT_TRUE(recover_pod(*store_, paths_, id_, lock, clock_));
  const record::Pod pod = store_->get("test");
  EXPECT_EQ(pod.host.status, record::Status::exited);
  EXPECT_EQ(pod.host.exit_code, 255);
  EXPECT_FALSE(std::filesystem::exists(paths_.pod_runtime(id_)));
}

}  // namespace
}  // namespace berth::launcher
