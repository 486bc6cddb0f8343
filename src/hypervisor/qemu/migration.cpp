#include "hypervisor/qemu/migration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "hypervisor/qemu/arguments.hpp"

namespace berth::hypervisor::qemu {
namespace json = boost::json;
namespace {

/// To write or read the state of the devices, less than a MiB.
constexpr Milliseconds kStateLimit{30'000};
/// To send what is left of a copy, or to give it up.
constexpr Milliseconds kCopyLimit{30'000};
/// Between two looks at a copy.
constexpr Milliseconds kLook{20};
constexpr Milliseconds kShortLook{2};
constexpr Milliseconds kSettle{1};
/// QEMU decides how a copy goes on once in so long.
constexpr Milliseconds kWindow{100};
/// From the end of approach() to such a moment: enough for the caller to get ready, so that the machine does
/// not stand still for a whole window.
constexpr Milliseconds kLead{25};

/// Bytes a second. QEMU counts them by the window, so the slowest sends one page in each.
constexpr std::int64_t kFast = std::int64_t{4} << 30;
constexpr std::int64_t kSlowest = 10;
/// How long the machine may stand still for what is left, in milliseconds: QEMU looks for what has changed,
/// and goes to the end of a copy, when it believes that it can send the rest in that time.
constexpr std::int64_t kNoDowntime = 0;
constexpr std::int64_t kMostDowntime = 2'000'000;

/// With nothing left to send QEMU would go to the end of a copy by itself. So something always is: a dirty
/// bitmap of an empty disk that is nobody's.
constexpr const char* kHoldNode = "copy-hold";
constexpr const char* kHoldBitmap = "hold";
constexpr std::int64_t kHoldBytes = std::int64_t{1} << 20;

const json::object* object_in(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr ? value->if_object() : nullptr;
}

std::int64_t number_in(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr || !value->is_int64()) throw Error(Code::corrupt, "QEMU does not say how a copy goes");
  return value->get_int64();
}

}  // namespace

Migration::Migration(const asio::any_io_executor& executor, QmpClient& qmp) : qmp_(qmp), changed_(executor) {}

void Migration::note(const QmpEvent& event) {
  if (event.name != "MIGRATION") return;
  status_ = text_member(event.data, "status");
  changed_.notify_all();
}

void Migration::note_end() {
  ended_ = true;
  changed_.notify_all();
}

bool Migration::is(std::initializer_list<std::string_view> statuses) const {
  return std::find(statuses.begin(), statuses.end(), status_) != statuses.end();
}

void Migration::throw_failure() {
  if (ended_) throw Error(Code::unavailable, "the machine has ended");
  throw Error(Code::unavailable, "QEMU cannot write the machine's state: {}",
              status_ == "cancelled" ? "it was cancelled" : "nobody takes it");
}

Task<> Migration::wait_for(std::string_view status, Milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (status_ != status) {
    if (ended_ || is({"failed", "cancelled", "completed"})) throw_failure();
    if (!co_await changed_.wait_until(deadline)) {
      throw Error(Code::timeout, "QEMU does not get done with the machine's state within {} ms",
                  limit.count());
    }
  }
}

/// Both sides have to agree in the first, which leaves memory that lies in a file where it is.
Task<> Migration::set_capabilities(Source source, bool copies) {
  const std::pair<const char*, bool> wanted[] = {{"x-ignore-shared", source == Source::file},
                                                 {"events", true},
                                                 {"pause-before-switchover", copies},
                                                 {"dirty-bitmaps", copies}};
  json::array capabilities;
  for (const auto& [name, on] : wanted)
    capabilities.push_back(json::object{{"capability", name}, {"state", on}});
  json::object arguments{{"capabilities", std::move(capabilities)}};
  co_await qmp_.execute("migrate-set-capabilities", std::move(arguments));
}

Task<> Migration::set_limits(std::int64_t bandwidth, std::int64_t downtime) {
  json::object arguments{{"max-bandwidth", bandwidth}, {"downtime-limit", downtime}};
  co_await qmp_.execute("migrate-set-parameters", std::move(arguments));
}

Task<> Migration::listen(Source source) {
  const bool copies = source == Source::stream;
  co_await set_capabilities(source, copies);
  if (copies) co_await add_hold(false);
  json::object stream = one_member("uri", fmt::format("fd:{}", kStateDescriptor));
  co_await qmp_.execute("migrate-incoming", std::move(stream));
}

Task<> Migration::wait_loaded(Milliseconds limit) {
  co_await wait_for("completed", limit);
}

Task<> Migration::send(UniqueFd stream) {
  json::object name = one_member("fdname", "state");
  co_await qmp_.execute_with(std::move(stream), "getfd", std::move(name));
  status_.clear();
  json::object file = one_member("uri", "fd:state");
  co_await qmp_.execute("migrate", std::move(file));
}

Task<> Migration::save(UniqueFd file) {
  co_await set_capabilities(Source::file, false);
  co_await send(std::move(file));
  co_await wait_for("completed", kStateLimit);
}

/// It stays for the next copy.
Task<> Migration::add_hold(bool with_bitmap) {
  if (has_hold_) co_return;
  json::object node{
      {"driver", "null-co"}, {"node-name", kHoldNode}, {"size", kHoldBytes}, {"read-zeroes", true}};
  co_await qmp_.execute("blockdev-add", std::move(node));
  has_hold_ = true;
  if (!with_bitmap) co_return;
  json::object bitmap{{"node", kHoldNode}, {"name", kHoldBitmap}};
  co_await qmp_.execute("block-dirty-bitmap-add", std::move(bitmap));
}

/// QEMU tells of the end a moment before the machine can go on.
Task<> Migration::settle() {
  const auto deadline = std::chrono::steady_clock::now() + kCopyLimit;
  while (co_await run_state() == "finish-migrate") {
    if (std::chrono::steady_clock::now() > deadline)
      throw Error(Code::timeout, "QEMU does not get done with the copy of the machine");
    co_await changed_.wait_for(kSettle);
  }
}

Task<std::string> Migration::run_state() {
  const json::value answer = co_await qmp_.execute("query-status");
  const json::object* fields = answer.if_object();
  co_return fields != nullptr ? text_member(*fields, "status") : std::string();
}

Task<Migration::Progress> Migration::query() {
  const json::value answer = co_await qmp_.execute("query-migrate");
  const json::object* fields = answer.if_object();
  const json::object* ram = fields != nullptr ? object_in(*fields, "ram") : nullptr;
  Progress progress;
  if (ram != nullptr) progress = {number_in(*ram, "remaining"), number_in(*ram, "transferred")};
  co_return progress;
}

Task<> Migration::check_possible() {
  const json::value answer = co_await qmp_.execute("query-migrate");
  const json::object* fields = answer.if_object();
  const json::value* reasons = fields != nullptr ? fields->if_contains("blocked-reasons") : nullptr;
  if (reasons == nullptr || !reasons->is_array() || reasons->get_array().empty()) co_return;
  const json::value& first = reasons->get_array().front();
  throw Error(Code::unsupported, "the machine cannot be copied: {}",
              first.is_string() ? printable(first.get_string().c_str()) : "QEMU does not say why");
}

Task<> Migration::begin(UniqueFd stream, unsigned& number) {
  const auto deadline = std::chrono::steady_clock::now() + kCopyLimit;
  while (copying_ && !ended_) {
    // One that is given up is still on its way out.
    if (!leaving_ || !co_await changed_.wait_until(deadline))
      throw Error(Code::busy, "the machine is being copied");
  }
  co_await check_possible();
  was_running_ = co_await run_state() == "running";
  number = ++number_;
  copying_ = true;
  leaving_ = false;
  status_.clear();
  std::exception_ptr failure;
  try {
    co_await add_hold(true);
    co_await set_capabilities(Source::stream, true);
    co_await set_limits(kFast, kNoDowntime);
    co_await start_tracking(std::move(stream));
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  co_await abandon(number);
  std::rethrow_exception(failure);
}

/// QEMU before 9.0 misses writes of an emulated machine that runs while it looks for what has changed. So it
/// looks twice, when the machine stands still: now, and at the end.
Task<> Migration::start_tracking(UniqueFd stream) {
  if (was_running_) co_await qmp_.execute("stop");
  co_await send(std::move(stream));
  co_await wait_for("active", kCopyLimit);
  if (was_running_) co_await qmp_.execute("cont");
}

/// Returns at the beginning of a window, at which QEMU sends a few bytes and is silent then.
Task<> Migration::wait_window() {
  constexpr int kSilent = 4;
  const auto longest = std::chrono::steady_clock::now() + 3 * kWindow;
  std::int64_t last = (co_await query()).transferred;
  for (int same = 0; std::chrono::steady_clock::now() < longest; ++same) {
    co_await changed_.wait_for(kShortLook);
    const std::int64_t now = (co_await query()).transferred;
    if (now == last) continue;
    if (same >= kSilent) co_return;
    last = now;
    same = 0;
  }
}

Task<> Migration::approach(Milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  Progress progress = co_await query();
  while (progress.remaining > 0 && left_until(deadline) > Milliseconds(0)) {
    co_await changed_.wait_for(std::min(left_until(deadline), kLook));
    if (ended_ || is({"failed", "cancelled"})) throw_failure();
    progress = co_await query();
  }
  co_await set_limits(kSlowest, kNoDowntime);
  co_await wait_window();
  co_await changed_.wait_for(kWindow - kLead);
  if (ended_ || is({"failed", "cancelled"})) throw_failure();
}

Task<> Migration::stop() {
  if (was_running_) co_await qmp_.execute("stop");
  co_await set_limits(kFast, kMostDowntime);
  co_await wait_for("pre-switchover", kCopyLimit);
}

Task<> Migration::finish() {
  json::object state = one_member("state", "pre-switchover");
  co_await qmp_.execute("migrate-continue", std::move(state));
  co_await wait_for("completed", kCopyLimit);
  co_await settle();
  copying_ = false;
  changed_.notify_all();
}

Task<> Migration::abandon(unsigned number) {
  if (!copying_ || number != number_ || leaving_ || ended_) co_return;
  leaving_ = true;
  if (!status_.empty()) {
    co_await qmp_.execute("migrate_cancel");
    const auto deadline = std::chrono::steady_clock::now() + kCopyLimit;
    while (!ended_ && !is({"cancelled", "failed", "completed"})) {
      if (!co_await changed_.wait_until(deadline))
        throw Error(Code::timeout, "QEMU does not give up the copy of the machine");
    }
    co_await settle();
  }
  if (was_running_) co_await qmp_.execute("cont");
  copying_ = false;
  changed_.notify_all();
}

}  // namespace berth::hypervisor::qemu
