#include "tether/network_jobs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "base/error.hpp"

namespace berth::tether {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

os::Endpoints endpoints_of(const char* network) {
  os::Endpoints endpoints;
  endpoints["a"].network.common.name = network;
  return endpoints;
}

class NetworkJobsTest : public testing::Test {
 protected:
  /// Begins to bring up a network; its outcome goes to the list of answers.
  void bring_up(const char* network) {
    spawn_detached(loop_.get_executor(), "bring up", answer(network));
    settle();
  }
  Task<> answer(const char* network) {
    std::string outcome;
    try {
      outcome = co_await jobs_.bring_up(endpoints_of(network)) ? "go on" : "leave it";
    } catch (const Error& error) {
      outcome = error.message();
    }
    answers_.push_back(std::string(network) + ": " + outcome);
  }
  void settle() {
    loop_.restart();
    loop_.poll();
  }
  /// Ends what is being applied.
  void finish(const char* failure = "") {
    failure_ = failure;
    finished_ = true;
    step_.notify_all();
    settle();
  }

  Task<> apply(const os::Endpoints& endpoints) {
    applied_.push_back(endpoints.at("a").network.common.name);
    EXPECT_EQ(++at_once_, 1);
    struct Leave {
      int& count;
      ~Leave() { --count; }
    } const leave{at_once_};
    finished_ = false;
    while (!finished_) co_await step_.wait();
    if (!failure_.empty()) throw Error(Code::timeout, "{}", failure_);
  }

  asio::io_context loop_;
  Event step_{loop_.get_executor()};
  bool finished_ = false;
  std::string failure_;
  int at_once_ = 0;
  std::vector<std::string> applied_;
  std::vector<std::string> answers_;
  NetworkJobs jobs_{loop_.get_executor(),
                    [this](const os::Endpoints& endpoints) { return apply(endpoints); }};
};

TEST_F(NetworkJobsTest, TheSameOnesAreAppliedOnce) {
  bring_up("one");
  EXPECT_THAT(answers_, IsEmpty());
  finish();
  EXPECT_THAT(answers_, ElementsAre("one: go on"));
  bring_up("one");
  EXPECT_THAT(answers_, ElementsAre("one: go on", "one: go on"));
  EXPECT_THAT(applied_, ElementsAre("one"));
}

TEST_F(NetworkJobsTest, WhoWantsTheSameDoesNotWait) {
  bring_up("one");
  bring_up("one");
  EXPECT_THAT(answers_, ElementsAre("one: leave it"));
  finish();
  EXPECT_THAT(answers_, ElementsAre("one: leave it", "one: go on"));
}

TEST_F(NetworkJobsTest, ANewerOneTakesOverAndAnswersForTheOlder) {
  bring_up("one");
  bring_up("two");
  bring_up("three");
  EXPECT_THAT(applied_, ElementsAre("one", "two", "three"));
  EXPECT_THAT(answers_, IsEmpty());
  finish();
  EXPECT_THAT(answers_, ::testing::UnorderedElementsAre("one: leave it", "two: leave it", "three: go on"));
}

TEST_F(NetworkJobsTest, NewerOnesThatComeAtOnceLeaveNoneBehind) {
  bring_up("one");
  for (const char* network : {"two", "three", "four"})
    spawn_detached(loop_.get_executor(), "bring up", answer(network));
  settle();
  finish();
  EXPECT_EQ(answers_.size(), 4u);
  EXPECT_EQ(applied_.back(), "four");
}

TEST_F(NetworkJobsTest, AFailureIsEverybodysAndMayBeTriedAgain) {
  bring_up("one");
  bring_up("two");
  finish("no lease");
  EXPECT_THAT(answers_, ::testing::UnorderedElementsAre("one: no lease", "two: no lease"));
  bring_up("two");
  EXPECT_THAT(applied_, ElementsAre("one", "two", "two"));
  finish();
  EXPECT_EQ(answers_.back(), "two: go on");
}

TEST_F(NetworkJobsTest, StoppingEndsTheWait) {
  bring_up("one");
  jobs_.stop();
  settle();
  EXPECT_THAT(answers_, ElementsAre("one: the machine is being switched off"));
  EXPECT_EQ(at_once_, 0);
  bring_up("two");
  EXPECT_EQ(answers_.back(), "two: the machine is being switched off");
  EXPECT_THAT(applied_, ElementsAre("one"));
}

}  // namespace
}  // namespace berth::tether
