#include <unistd.h>

#include <utility>

#include "launcher/launcher_test.hpp"
#include "launcher/snapshots.hpp"

namespace berth::launcher {
namespace {

/// A pod whose guest can be copied; the machine that takes the copy has no guest.
class ForkingTest : public LauncherTest {
 protected:
  ForkingTest() {
    hypervisor_.on_start = [this, start = hypervisor_.on_start](std::shared_ptr<FakeGuest> guest) {
      if (guest->spec().receives < 0) start(std::move(guest));
    };
  }
  /// As a guest does, past the header of an overlay.
  void write_to_disk() const { check(::pwrite(guest_->disk(kScratchDisk), "text", 4, 8192), "pwrite"); }
  Task<std::optional<Code>> snapshot(std::string name) {
    try {
      co_await launcher_->snapshot(std::move(name));
    } catch (const Error& error) {
      co_return error.code();
    }
    co_return std::nullopt;
  }
};

TEST_F(ForkingTest, WhatBecameOfADisksSnapshotIsFoundOutBeforeTheNext) {
  for (const bool comes_about : {false, true}) {
    script_ = [this, comes_about](ScriptedTether& tether) -> Task<> {
      co_await tether.start_session();
      write_to_disk();
      guest_->next_snapshot_is_late = comes_about;
      guest_->is_silent = true;
      EXPECT_EQ(co_await snapshot("first"), Code::timeout);
      EXPECT_FALSE(guest_->paused());
      EXPECT_EQ(co_await snapshot("second"), Code::busy);
      guest_->is_silent = false;
      write_to_disk();
      EXPECT_EQ(co_await snapshot("third"), std::nullopt);
      EXPECT_EQ(tether.count(link::verb::prepare_copy), 2u);
      EXPECT_EQ(tether.count(link::verb::thaw), 2u);
      co_await tether.end_session(0);
    };
    make_launcher();
    attach_client();
    run();
    ASSERT_TRUE(client_exit_);
    EXPECT_EQ(client_exit_->code, 0);
    SnapshotStore store(paths_);
    EXPECT_FALSE(store.is_taken("first"));
    EXPECT_TRUE(store.contains("third"));
    store.remove("third");
    start_over();
  }
}

}  // namespace
}  // namespace berth::launcher
