#include "hypervisor/probe.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "hypervisor/fake/fake.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor {
namespace {

using ::testing::HasSubstr;

class ProbeTest : public ::testing::Test {
 protected:
  ProbeTest() {
    settings_.state = folder_.path() / "state";
    settings_.kernel = {"/boot/vmlinuz", "6.1.0-test", "/lib/modules"};
    settings_.initramfs = "/initramfs";
    settings_.qemu = "7.2.22";
    settings_.device = "/dev/null";  // opens, as a KVM would
    settings_.limit = Milliseconds(50);
  }
  KvmProbe probe() { return KvmProbe(hypervisor_, clock_, settings_); }
  void let_guests_answer() {
    hypervisor_.on_start = [](std::shared_ptr<FakeGuest> guest) {
      EXPECT_EQ(guest->spec().accelerator, Accelerator::kvm);
      write_all(guest->take_port(Port::control).get(), "hello");
    };
  }
  KvmAnswer ask() {
    KvmAnswer answer;
    run_task([&]() -> Task<> {
      KvmProbe asked = probe();
      answer = co_await asked.ask();
    });
    return answer;
  }

  TempDir folder_{std::filesystem::temp_directory_path(), "probe"};
  FakeHypervisor hypervisor_;
  ManualClock clock_{std::chrono::hours(24)};
  KvmProbe::Settings settings_;
};

TEST_F(ProbeTest, AnAnsweringGuestIsAYes) {
  let_guests_answer();
  const KvmAnswer answer = ask();
  EXPECT_TRUE(answer.usable);
  EXPECT_EQ(answer.kernel, "6.1.0-test");
  EXPECT_EQ(answer.when, "1970-01-02T00:00:00.000000000Z");
  EXPECT_FALSE(hypervisor_.guests().at(0)->running());
}

TEST_F(ProbeTest, ASilentGuestIsANoWithinTheLimit) {
  const auto start = std::chrono::steady_clock::now();
  const KvmAnswer answer = ask();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  EXPECT_FALSE(answer.usable);
  EXPECT_THAT(answer.reason, HasSubstr("did not come up"));
  EXPECT_FALSE(hypervisor_.guests().at(0)->running());
}

TEST_F(ProbeTest, AMachineThatEndsIsANo) {
  hypervisor_.on_start = [](std::shared_ptr<FakeGuest> guest) { guest->fail("kvm: error"); };
  EXPECT_THAT(ask().reason, HasSubstr("kvm: error"));
}

TEST_F(ProbeTest, AMachineThatDoesNotStartIsANo) {
  hypervisor_.fail_next_start(Error(Code::unavailable, "KVM does not work"));
  EXPECT_THAT(ask().reason, HasSubstr("KVM does not work"));
}

TEST_F(ProbeTest, WhatIsNotKvmsFaultIsThrown) {
  hypervisor_.fail_next_start(Error(Code::capacity, "no memory"));
  EXPECT_EQ(code_thrown([&] { ask(); }), Code::capacity);
  EXPECT_FALSE(probe().kept());
}

TEST_F(ProbeTest, TheAnswerIsKept) {
  const KvmAnswer answer = ask();
  clock_.advance(std::chrono::hours(1));
  EXPECT_EQ(ask(), answer);
  EXPECT_EQ(hypervisor_.guests().size(), 1u);
}

TEST_F(ProbeTest, TheKeptAnswerHoldsForOneBootKernelAndQemu) {
  const KvmAnswer answer = ask();
  const auto file = settings_.state / "kvm-6.1.0-test.json";
  const std::string text = read_file(file);

  std::string other_boot = text;
  other_boot.replace(other_boot.find(answer.boot_id), answer.boot_id.size(), "another");
  write_file_atomically(file, other_boot);
  EXPECT_FALSE(probe().kept());
  for (const char* damaged : {"", "{", "[]", "{\"usable\": 1}"}) {
    write_file_atomically(file, damaged);
    EXPECT_FALSE(probe().kept()) << damaged;
  }
  write_file_atomically(file, text);
  EXPECT_TRUE(probe().kept());
  settings_.qemu = "10.0.0";
  EXPECT_FALSE(probe().kept());
}

TEST_F(ProbeTest, AMissingDeviceIsAnAnswerThatIsNotKept) {
  settings_.device = folder_.path() / "kvm";
  EXPECT_THAT(ask().reason, HasSubstr("this host has no "));
  EXPECT_FALSE(probe().kept());
  EXPECT_TRUE(hypervisor_.guests().empty());
}

TEST_F(ProbeTest, TheChoiceFollowsRequestAndAnswer) {
  run_task([&]() -> Task<> {
    KvmProbe refusing = probe();
    EXPECT_EQ((co_await choose_accelerator(AcceleratorRequest::tcg, refusing)).note, "");
    EXPECT_TRUE(hypervisor_.guests().empty());
    const AcceleratorChoice choice = co_await choose_accelerator(AcceleratorRequest::automatic, refusing);
    EXPECT_EQ(choice.accelerator, Accelerator::tcg);
    EXPECT_THAT(choice.note, HasSubstr("software emulation"));
    EXPECT_EQ(co_await code_of(discard(choose_accelerator(AcceleratorRequest::kvm, refusing))),
              Code::unsupported);

    let_guests_answer();
    settings_.qemu = "other";
    KvmProbe agreeing = probe();
    EXPECT_EQ((co_await choose_accelerator(AcceleratorRequest::automatic, agreeing)).accelerator,
              Accelerator::kvm);
  });
}

TEST(ParseAccelerator, KnowsThree) {
  EXPECT_EQ(parse_accelerator("auto"), AcceleratorRequest::automatic);
  EXPECT_EQ(parse_accelerator("kvm"), AcceleratorRequest::kvm);
  EXPECT_EQ(parse_accelerator("tcg"), AcceleratorRequest::tcg);
  EXPECT_EQ(code_thrown([] { parse_accelerator("KVM"); }), Code::invalid_argument);
}

}  // namespace
}  // namespace berth::hypervisor
