#include "tether/extensions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/error.hpp"

namespace berth::tether {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// Writes down what it is called for, and waits where it is told to.
class FakeExtension : public Extension {
 public:
  struct Journal {
    explicit Journal(asio::any_io_executor executor) : changed(std::move(executor)) {}

    std::vector<std::string> lines;
    std::string held;  ///< the line that is not left
    std::string failing;
    Event changed;
  };

  FakeExtension(std::string name, Journal& journal) : name_(std::move(name)), journal_(journal) {}

  std::string name() const override { return name_; }
  std::vector<std::string_view> verbs() const override { return {name_}; }
  std::vector<std::string_view> subsystems() const override { return {name_}; }
  Task<> start() override { co_await note("start"); }
  Task<> reload(const config::ExecutorConfig& config) override { co_await note("reload " + config.hostname); }
  Task<extraconfig::Pairs> obey(link::Order order) override {
    co_await note("obey " + order.session);
    co_return extraconfig::Pairs{{"by", name_}};
  }
  Task<> serve(std::shared_ptr<link::ssh::Channel> /*channel*/, link::ssh::Request request) override {
    co_await note("serve " + request.command);
  }
  Task<> stop() override { co_await note("stop"); }

 private:
  Task<> note(std::string what) {
    const std::string line = name_ + ": " + what;
    journal_.lines.push_back(line);
    if (line == journal_.failing) throw std::runtime_error("no " + what);
    while (line == journal_.held) co_await journal_.changed.wait();
  }

  std::string name_;
  Journal& journal_;
};

class ExtensionsTest : public testing::Test {
 protected:
  void add(const char* name) { extensions_.add(std::make_unique<FakeExtension>(name, journal_)); }
  void settle() {
    loop_.restart();
    loop_.poll();
  }
  void hold(std::string line) {
    journal_.held = std::move(line);
    journal_.changed.notify_all();
    settle();
  }
  void start() {
    extensions_.start();
    settle();
  }
  void reload(const char* hostname) {
    config::ExecutorConfig config;
    config.hostname = hostname;
    extensions_.reload(config);
    settle();
  }
  /// The answer goes to the list of answers.
  void order(const char* verb, const char* session) {
    link::Order order;
    order.verb = verb;
    order.session = session;
    asio::co_spawn(loop_, extensions_.obey(std::move(order)),
                   [this](std::exception_ptr failure, extraconfig::Pairs pairs) {
                     answers_.push_back(failure ? message_of(failure) : "by " + pairs["by"]);
                   });
    settle();
  }
  void serve(const char* subsystem, const char* command) {
    link::ssh::Request request;
    request.subsystem = subsystem;
    request.command = command;
    asio::co_spawn(loop_, extensions_.serve(nullptr, std::move(request)), [this](std::exception_ptr failure) {
      answers_.push_back(failure ? message_of(failure) : "served");
    });
    settle();
  }
  void stop(Milliseconds limit = Milliseconds(10'000)) {
    asio::co_spawn(loop_, extensions_.stop(limit),
                   [this](std::exception_ptr failure) { stopped_ = !failure; });
    settle();
  }
  static std::string message_of(const std::exception_ptr& failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const Error& error) {
      return error.message();
    }
  }
  std::vector<std::string> take_lines() { return std::exchange(journal_.lines, {}); }
  std::vector<std::string> take_answers() { return std::exchange(answers_, {}); }

  asio::io_context loop_;
  FakeExtension::Journal journal_{loop_.get_executor()};
  Extensions extensions_{loop_.get_executor()};
  std::vector<std::string> answers_;
  bool stopped_ = false;
};

TEST_F(ExtensionsTest, StartHearOfConfigurationsObeyAndStop) {
  add("a");
  add("b");
  start();
  reload("one");
  reload("two");
  order("b", "x");
  serve("a", "y");
  stop();
  EXPECT_TRUE(stopped_);
  EXPECT_THAT(take_lines(),
              ElementsAre("a: start", "b: start", "a: reload one", "b: reload one", "a: reload two",
                          "b: reload two", "b: obey x", "a: serve y", "a: stop", "b: stop"));
  EXPECT_THAT(take_answers(), ElementsAre("by b", "served"));
  order("a", "late");
  serve("a", "late");
  reload("late");
  EXPECT_THAT(take_answers(),
              ElementsAre("the machine is being switched off", "the machine is being switched off"));
  EXPECT_THAT(take_lines(), IsEmpty());
}

TEST_F(ExtensionsTest, WhatNoneKnowsIsUnsupported) {
  add("a");
  start();
  order("dance", "x");
  serve("dance", "x");
  EXPECT_THAT(take_answers(), ElementsAre("the tether does not know the order \"dance\"",
                                          "the tether has no SSH subsystem \"dance\""));
}

TEST_F(ExtensionsTest, TwoCannotHaveOneVerb) {
  add("a");
  EXPECT_THROW(add("a"), Error);
}

TEST_F(ExtensionsTest, OneThatDoesNotStartAnswersWithItsReason) {
  add("a");
  add("b");
  journal_.failing = "a: start";
  start();
  reload("one");
  order("a", "x");
  serve("a", "x");
  order("b", "x");
  EXPECT_THAT(take_answers(), ElementsAre("a did not start: no start", "a did not start: no start", "by b"));
  stop();
  EXPECT_TRUE(stopped_);
  EXPECT_THAT(take_lines(), ElementsAre("a: start", "b: start", "b: reload one", "b: obey x", "b: stop"));
}

TEST_F(ExtensionsTest, OneThatWaitsHoldsUpNoOther) {
  add("a");
  add("b");
  journal_.held = "a: start";
  start();
  reload("one");
  order("a", "x");
  order("b", "x");
  EXPECT_THAT(take_answers(), ElementsAre("by b"));
  EXPECT_THAT(take_lines(), ElementsAre("a: start", "b: start", "b: reload one", "b: obey x"));

  // It hears of the newest configuration only, and obeys while it still works on it.
  reload("two");
  EXPECT_THAT(take_lines(), ElementsAre("b: reload two"));
  hold("a: reload two");
  reload("three");
  reload("four");
  EXPECT_THAT(take_lines(), testing::UnorderedElementsAre("a: reload two", "a: obey x", "b: reload three",
                                                          "b: reload four"));
  order("a", "y");
  EXPECT_THAT(take_answers(), ElementsAre("by a", "by a"));
  hold("a: obey z");
  EXPECT_THAT(take_lines(), ElementsAre("a: obey y", "a: reload four"));
  order("a", "z");
  order("a", "y");
  EXPECT_THAT(take_lines(), ElementsAre("a: obey z", "a: obey y"));
  EXPECT_THAT(take_answers(), ElementsAre("by a"));
}

TEST_F(ExtensionsTest, AFailedReloadIsForgottenWithTheNext) {
  add("a");
  start();
  journal_.failing = "a: reload one";
  reload("one");
  reload("two");
  order("a", "x");
  EXPECT_THAT(take_lines(), ElementsAre("a: start", "a: reload one", "a: reload two", "a: obey x"));
  EXPECT_THAT(take_answers(), ElementsAre("by a"));
}

TEST_F(ExtensionsTest, TheEndCancelsAReload) {
  add("a");
  journal_.held = "a: reload one";
  start();
  reload("one");
  stop();
  EXPECT_TRUE(stopped_);
  EXPECT_THAT(take_lines(), ElementsAre("a: start", "a: reload one", "a: stop"));
}

TEST_F(ExtensionsTest, OneThatIsCancelledInItsStartIsNotStopped) {
  add("a");
  journal_.held = "a: start";
  start();
  order("a", "x");
  stop();
  EXPECT_TRUE(stopped_);
  EXPECT_THAT(take_lines(), ElementsAre("a: start"));
  EXPECT_EQ(take_answers().size(), 1u);
}

TEST_F(ExtensionsTest, TheEndDoesNotWaitForOneThatDoesNotEnd) {
  add("a");
  add("b");
  journal_.held = "a: stop";
  start();
  stop(Milliseconds(0));
  EXPECT_TRUE(stopped_);
  EXPECT_THAT(take_lines(), ElementsAre("a: start", "b: start", "a: stop", "b: stop"));
}

}  // namespace
}  // namespace berth::tether
