#include <gmock/gmock.h>

#include "hypervisor/templates.hpp"
#include "launcher/launcher_test.hpp"
#include "launcher/template_maker.hpp"
#include "launcher/user_network.hpp"

namespace berth::launcher {
namespace {

constexpr const char* kTemplate = "0123456789abcdef";

/// What a pod's start does with a template.
class CloneTest : public LauncherTest {
 protected:
  CloneTest() {
    template_id_ = kTemplate;
    script_ = [](ScriptedTether& tether) -> Task<> {
      co_await tether.start_session();
      co_await tether.end_session(7);
    };
  }

  hypervisor::TemplateStore templates() const { return hypervisor::TemplateStore(paths_.templates()); }

  void make_template() {
    std::optional<hypervisor::TemplateStore::Draft> draft =
        templates().begin(kTemplate, pod_.host.memory_bytes);
    ASSERT_TRUE(draft);
    write_all(draft->state(), "a fake machine");
    hypervisor::TemplateInfo info;
    info.id = kTemplate;
    templates().keep(std::move(*draft), info, clock_);
  }

  /// From its start to its end, as a client is told.
  Exit run_pod() {
    make_launcher();
    attach_client();
    run();
    EXPECT_TRUE(client_exit_) << "the client was not told how it ended";
    return client_exit_.value_or(Exit());
  }

  bool was_cloned() const { return guest_->spec().frozen.has_value(); }
};

TEST_F(CloneTest, GoesOnFromTheTemplate) {
  make_template();
  pod_.host.network = "user";
  pod_.host.mac = "52:54:00:11:22:33";
  silent_ = true;  // it said hello before it was frozen
  EXPECT_EQ(run_pod().code, 7);
  ASSERT_TRUE(was_cloned());
  ASSERT_EQ(guest_->spec().network_cards.size(), 1u);
  EXPECT_EQ(guest_->spec().network_cards[0].mac, link::kUnnamedCard);
  EXPECT_EQ(guest_->spec().network_cards[0].backend, hypervisor::NetworkCard::Backend::user);
  EXPECT_EQ(guest_->spec().disks.size(), 2u);
  EXPECT_FALSE(tether_->config_.entropy.data.empty());
  EXPECT_EQ(tether_->config_.time, clock_.now());
  EXPECT_TRUE(templates().contains(kTemplate));
}

TEST_F(CloneTest, WithoutATemplateItBoots) {
  EXPECT_EQ(run_pod().code, 7);
  EXPECT_FALSE(was_cloned());
}

TEST_F(CloneTest, ADiskOfAnotherSizeThanTheTemplatesBoots) {
  for (const std::uint64_t bytes : {kScratchBytes / 2, kScratchBytes * 2}) {
    make_template();
    scratch_bytes_ = bytes;
    EXPECT_EQ(run_pod().code, 7);
    EXPECT_FALSE(was_cloned());
    EXPECT_TRUE(templates().contains(kTemplate));
    start_over();
  }
}

TEST_F(CloneTest, ADamagedTemplateIsRemovedAndItBoots) {
  make_template();
  std::filesystem::resize_file(paths_.templates() / kTemplate / "memory", 4096);
  EXPECT_EQ(run_pod().code, 7);
  EXPECT_FALSE(was_cloned());
  EXPECT_FALSE(templates().contains(kTemplate));
}

TEST_F(CloneTest, ATemplateThatDoesNotStartIsRemovedAndItBoots) {
  for (const Code code : {Code::internal, Code::corrupt, Code::timeout}) {
    make_template();
    hypervisor_.fail_next_start(Error(code, "the state is of no use"));
    EXPECT_EQ(run_pod().code, 7);
    EXPECT_FALSE(was_cloned());
    EXPECT_FALSE(templates().contains(kTemplate));
    EXPECT_TRUE(templates().backs_off(kTemplate, clock_)) << "another would be of no more use";
    start_over();
  }
}

TEST_F(CloneTest, AHostThatCannotCloneBootsAndKeepsTheTemplate) {
  make_template();
  hypervisor_.fail_next_start(Error(Code::unsupported, "no way to open files"));
  EXPECT_EQ(run_pod().code, 7);
  EXPECT_FALSE(was_cloned());
  EXPECT_TRUE(templates().contains(kTemplate));
}

TEST_F(CloneTest, ATakenPortAndAKilledProcessAreNotTheTemplatesFault) {
  make_template();
  for (const Code code : {Code::already_exists, Code::unavailable}) {
    hypervisor_.fail_next_start(Error(code, "no machine"));
    const Exit exit = run_pod();
    EXPECT_EQ(exit.code, 125);
    EXPECT_THAT(exit.error, testing::HasSubstr("no machine"));
    EXPECT_TRUE(hypervisor_.guests().empty()) << "it was started again";
    EXPECT_TRUE(templates().contains(kTemplate));
    start_over();
  }
}

TEST_F(CloneTest, ATemplateWhoseCloneBreaksDownBeforeItRunsAnythingIsRemoved) {
  for (const bool killed : {false, true}) {
    SCOPED_TRACE(killed);
    make_template();
    script_ = [&](ScriptedTether&) -> Task<> {
      if (killed) {
        guest_->power_off();
      } else {
        guest_->panic("of no use");
      }
      co_return;
    };
    EXPECT_EQ(run_pod().code, 125);
    EXPECT_TRUE(was_cloned());
    EXPECT_EQ(templates().contains(kTemplate), killed);
    start_over();
  }
}

TEST_F(CloneTest, AGuestThatPanicsLaterIsNotTheTemplatesFault) {
  make_template();
  script_ = [&](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    guest_->panic("by what ran in it");
  };
  run_pod();
  EXPECT_TRUE(was_cloned());
  EXPECT_TRUE(templates().contains(kTemplate));
}

TEST_F(CloneTest, ATemplateIsFrozenWhenItsTetherIsUp) {
  hypervisor::MachineSpec machine;
  machine.memory_bytes = pod_.host.memory_bytes;
  machine.forwards = {{}};
  hypervisor::MachineSpec spec = template_spec(machine);
  EXPECT_TRUE(spec.forwards.empty());
  spec.credentials.reset();
  hypervisor::TemplateStore store = templates();
  const std::optional<hypervisor::TemplateStore::Draft> draft = store.begin(kTemplate, spec.memory_bytes);
  ASSERT_TRUE(draft);
  bool done = false;
  asio::co_spawn(loop_, fill_template(hypervisor_, spec, *draft, -1, kLimit),
                 [&](std::exception_ptr failure) {
                   done = true;
                   if (failure) std::rethrow_exception(failure);
                 });
  loop_.run_for(kLimit);
  ASSERT_TRUE(done);
  EXPECT_EQ(read_file("/proc/self/fd/" + std::to_string(draft->state())), "a fake machine");
  EXPECT_EQ(tether_->config_.networks.at(kUserNetwork).common.id, link::kUnnamedCard);
  EXPECT_TRUE(tether_->config_.sessions.empty());
  EXPECT_TRUE(tether_->config_.common.id.empty()) << "it was told who it is";
  EXPECT_FALSE(guest_->running());
}

TEST_F(CloneTest, AMachineThatDoesNotComeUpMakesNoTemplate) {
  silent_ = true;
  hypervisor::MachineSpec spec = template_spec({});
  spec.credentials.reset();
  hypervisor::TemplateStore store = templates();
  const std::optional<hypervisor::TemplateStore::Draft> draft = store.begin(kTemplate, spec.memory_bytes);
  std::optional<Code> code;
  const auto make = [&]() -> Task<> {
    try {
      co_await fill_template(hypervisor_, spec, *draft, -1, Milliseconds(50));
    } catch (const Error& error) {
      code = error.code();
    }
  };
  asio::co_spawn(loop_, make(), asio::detached);
  loop_.run_for(kLimit);
  EXPECT_EQ(code, Code::timeout);
}

}  // namespace
}  // namespace berth::launcher
