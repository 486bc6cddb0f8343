#include "base/error.hpp"
#include "base/log.hpp"
#include "tether/configuration.hpp"
#include "tether/tether.hpp"

/// What the host is told of what has come of the configuration.
namespace berth::tether {
namespace {

constexpr Milliseconds kReportLimit{30'000};

}  // namespace

void Tether::report_soon() {
  report_pending_ = true;
  report_changed_.notify_all();
}

Task<> Tether::report_loop() {
  while (!link_lost_) {
    while (!report_pending_ || copying_) co_await report_changed_.wait();
    report_pending_ = false;
    extraconfig::Pairs now = writable_pairs(config_);
    extraconfig::Difference difference = extraconfig::diff(reported_, now);
    reporting_ = !difference.empty();
    if (reporting_) co_await report(std::move(difference), std::move(now));
    reporting_ = false;
    report_changed_.notify_all();
  }
}

Task<> Tether::report(extraconfig::Difference difference, extraconfig::Pairs now) {
  try {
    co_await control_.send(link::DocumentKind::report, std::move(difference), kReportLimit);
    reported_ = std::move(now);
  } catch (const Error& error) {
    log::error("report: {}", error.what());
    link_lost_ = error.code() == Code::unavailable;
    // What was written to the port is not lost: a host that refuses it has seen it, one that is late will. It
    // is told once; the next change is told against what the host should have.
    reported_ = std::move(now);
  }
}

Task<> Tether::wait_reported(Milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while ((report_pending_ || reporting_) && !link_lost_) {
    if (!co_await report_changed_.wait_until(deadline)) co_return;
  }
}

}  // namespace berth::tether
