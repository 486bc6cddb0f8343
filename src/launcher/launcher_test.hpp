#pragma once

// A launcher with a machine that is played, for the tests of what a launcher does.

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/io.hpp"
#include "extraconfig/codec.hpp"
#include "hypervisor/fake/fake.hpp"
#include "launcher/launcher.hpp"
#include "launcher/machine_plan.hpp"

namespace berth::launcher {

using hypervisor::FakeGuest;
using hypervisor::Port;

inline constexpr Milliseconds kLimit{20'000};

/// A tether made of lines of a test: it says hello, takes the configuration, and does what it is told to.
class ScriptedTether {
 public:
  explicit ScriptedTether(std::shared_ptr<FakeGuest> guest)
      : guest_(std::move(guest)),
        control_(guest_->executor(), guest_->take_port(Port::control)),
        output_(guest_->executor(), guest_->take_port(Port::output)) {}

  Task<> serve() {
    co_await control_.serve([this](link::Document document) { return handle(std::move(document)); });
  }
  Task<> say_hello() {
    extraconfig::Difference keys;
    keys.changed = extraconfig::encode(link::Hello());
    co_await control_.send(link::DocumentKind::hello, std::move(keys), kLimit);
  }
  Task<> report(std::function<void(config::SessionConfig&)> change) {
    const extraconfig::Pairs before = extraconfig::encode(config_);
    change(config_.sessions.begin()->second);
    co_await report_difference(extraconfig::diff(before, extraconfig::encode(config_)));
  }
  Task<> report_difference(extraconfig::Difference keys) {
    co_await control_.send(link::DocumentKind::report, std::move(keys), kLimit);
  }
  Task<> write(link::OutputKind kind, std::string payload) {
    const std::string record = link::encode_output_header(kind, 1, Nanoseconds(1), payload.size()) + payload;
    co_await output_.write_all(record);
  }
  Task<> start_session() {
    co_await report([](config::SessionConfig& session) { session.started = "true"; });
    co_await write(link::OutputKind::open, config_.sessions.begin()->first);
  }
  Task<> end_session(int code, int signal = 0) {
    co_await write(link::OutputKind::end, "");
    co_await report([&](config::SessionConfig& session) {
      session.exit_status = code;
      session.signal = signal;
      session.detail.stop_time = 1;
    });
  }

  std::function<Task<>(ScriptedTether&)> on_config;
  /// Of orders with a verb.
  std::size_t count(std::string_view verb) const {
    return static_cast<std::size_t>(std::count_if(
        orders.begin(), orders.end(), [&](const link::Order& order) { return order.verb == verb; }));
  }

  std::vector<link::Order> orders;
  Nanoseconds clock{1};  ///< of the guest
  /// The answer to every configuration, when there is one.
  std::optional<Error> refusal;
  /// Orders with this verb are not answered while it is set.
  std::string ignored_verb;
  config::ExecutorConfig config_;

 private:
  Task<extraconfig::Pairs> handle(link::Document document) {
    co_await guest_->wait_unpaused();
    if (document.kind == link::DocumentKind::config) {
      if (refusal) throw *refusal;
      extraconfig::apply(document.keys, pairs_);
      extraconfig::decode(pairs_, config_);
      // A template's configuration has no session.
      const bool first = !configured_ && !config_.sessions.empty();
      configured_ = configured_ || first;
      if (first && on_config) spawn_detached(guest_->executor(), "script", on_config(*this));
    } else {
      link::Order order;
      extraconfig::decode(document.keys.changed, order);
      if (order.verb == link::verb::power_off) guest_->power_off();
      orders.push_back(order);
      while (order.verb == ignored_verb) co_await sleep_for(Milliseconds(1));
      if (order.verb == link::verb::clock) co_return tell_clock(order);
      if (order.verb == link::verb::prepare_copy) co_await write(link::OutputKind::mark, order.token);
      if (order.verb == link::verb::thaw) clock = Nanoseconds(order.time);
      if (order.verb == link::verb::stats) {
        link::Stats stats;
        stats.processes = 3;
        co_return extraconfig::encode(stats);
      }
    }
    co_return extraconfig::Pairs{};
  }
  extraconfig::Pairs tell_clock(const link::Order& order) {
    clock += Nanoseconds(order.offset);
    link::GuestClock answer;
    answer.time = clock.count();
    return extraconfig::encode(answer);
  }

  std::shared_ptr<FakeGuest> guest_;
  link::ControlChannel control_;
  Stream output_;
  extraconfig::Pairs pairs_;
  bool configured_ = false;
};

class LauncherTest : public testing::Test {
 protected:
  LauncherTest() : folder_("/tmp", "berth-launcher-test-") {
    ::signal(SIGPIPE, SIG_IGN);
    paths_.data = folder_.path() / "data";
    paths_.runtime = folder_.path() / "run";
    for (const char* name : {"pods", "locks"}) make_directories(paths_.data / name);
    store_ = std::make_unique<record::Store>(paths_.database());
    id_ = new_id();
    record::Pod pod;
    pod.executor.common.id = id_;
    pod.executor.common.name = "test";
    config::SessionConfig session;
    session.common.id = id_;
    session.cmd.path = "true";
    pod.executor.sessions.emplace(id_, session);
    pod.host.network = "none";
    pod.host.memory_bytes = std::uint64_t{256} << 20;
    pod_ = pod;
    hypervisor_.on_start = [this](std::shared_ptr<FakeGuest> guest) {
      guest_ = guest;
      tether_ = std::make_shared<ScriptedTether>(std::move(guest));
      tether_->on_config = script_;
      tether_->refusal = refusal_;
      spawn_detached(loop_.get_executor(), "tether", serve_tether(tether_));
      if (!silent_) spawn_detached(loop_.get_executor(), "tether", greet(tether_));
    };
  }

  static Task<> serve_tether(std::shared_ptr<ScriptedTether> tether) { co_await tether->serve(); }
  static Task<> greet(std::shared_ptr<ScriptedTether> tether) { co_await tether->say_hello(); }

  void make_launcher() {
    store_->create(pod_);
    store_->set_intent(id_, record::Intent::none);
    make_directories(paths_.pod(id_));
    write_file_atomically(paths_.pod(id_) / "scratch.img", "");
    std::filesystem::resize_file(paths_.pod(id_) / "scratch.img", scratch_bytes_);
    write_file_atomically(folder_.path() / "image", "");
    Launcher::Settings settings;
    settings.paths = paths_;
    settings.id = id_;
    settings.image = folder_.path() / "image";
    settings.boot_limit = boot_limit_;
    settings.files_only = files_only_;
    settings.template_id = template_id_;
    settings.clock_period = clock_period_;
    launcher_ =
        std::make_unique<Launcher>(loop_.get_executor(), hypervisor_, *store_, clock_,
                                   FileLock::acquire(paths_.pod_lock(id_), kLimit, "the pod"), settings);
  }

  /// A client that collects everything until its last frame.
  void attach_client() {
    auto [client_end, launcher_end] = make_socket_pair();
    const auto subscriber =
        std::make_shared<Subscriber>(loop_.get_executor(), std::move(launcher_end), "", SlowReader::wait);
    spawn_detached(loop_.get_executor(), "attach", attach(*launcher_, subscriber));
    client_ = std::make_unique<Stream>(loop_.get_executor(), std::move(client_end));
    if (reading_) spawn_detached(loop_.get_executor(), "client", collect());
  }
  static Task<> attach(Launcher& launcher, std::shared_ptr<Subscriber> subscriber) {
    const AttachRequest request;
    co_await launcher.attach(subscriber, request);
  }
  Task<> collect() {
    FrameParser parser;
    std::string buffer(65536, '\0');
    while (const std::size_t n = co_await client_->read_some(buffer.data(), buffer.size())) {
      parser.feed(std::string_view(buffer).substr(0, n), [&](Frame&& frame) {
        if (frame.kind == FrameKind::exit) client_exit_ = decode_exit(frame.payload);
        if (frame.kind == FrameKind::standard_output) client_output_ += frame.payload;
      });
    }
  }

  void run() {
    bool ended = false;
    asio::co_spawn(loop_, launcher_->run(), [&](std::exception_ptr failure) {
      ended = true;
      if (failure) std::rethrow_exception(failure);
    });
    loop_.run_for(std::chrono::seconds(40));
    ASSERT_TRUE(ended);
  }

  /// Of the same pod.
  void start_over() {
    launcher_.reset();
    client_.reset();
    client_exit_.reset();
    loop_.restart();
    store_->remove(id_);
  }

  std::string logged() const {
    std::string text;
    LogReader(paths_.pod(id_), {}).read([&](const LogEntry& entry) { text += entry.bytes; });
    return text;
  }

  asio::io_context loop_;
  TempDir folder_;
  Paths paths_;
  ManualClock clock_{Nanoseconds(1'000'000'000)};
  std::unique_ptr<record::Store> store_;
  std::string id_;
  record::Pod pod_;
  hypervisor::FakeHypervisor hypervisor_;
  std::shared_ptr<FakeGuest> guest_;
  std::shared_ptr<ScriptedTether> tether_;
  std::function<Task<>(ScriptedTether&)> script_;
  std::optional<Error> refusal_;
  bool silent_ = false;
  bool reading_ = true;
  bool files_only_ = false;
  std::string template_id_;
  std::uint64_t scratch_bytes_ = kScratchBytes;
  Milliseconds boot_limit_{20'000};
  Milliseconds clock_period_{3'600'000};
  std::unique_ptr<Launcher> launcher_;
  std::unique_ptr<Stream> client_;
  std::string client_output_;
  std::optional<Exit> client_exit_;
};

}  // namespace berth::launcher
