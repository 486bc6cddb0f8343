#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace berth::describe {

/// Bytes that are not text; stored as base64. A type derived from it may have a
/// `static bool valid(std::string_view)` that foreign bytes must pass, and for JSON a `std::string text()
/// const` and a `bool set_text(std::string_view)` that undo each other.
struct Bytes {
  std::string data;

  bool empty() const { return data.empty(); }
  auto operator<=>(const Bytes&) const = default;
};

/// A moment with the zone it was written in, as Go's time.Time holds it. The default is Go's zero time,
/// 0001-01-01 00:00:00 UTC.
struct Time {
  static constexpr std::int64_t kZeroSeconds = -62135596800;

  std::int64_t seconds = kZeroSeconds;  ///< since 1970-01-01 UTC
  std::int32_t nanoseconds = 0;         ///< 0 to 999999999
  std::int32_t offset = 0;              ///< of the zone, in seconds east of UTC
  std::string zone = "UTC";             ///< abbreviation; empty when the zone has none

  bool is_zero() const { return seconds == kZeroSeconds && nanoseconds == 0; }
  bool operator==(const Time&) const = default;
};

/// An owned value that may be missing and may contain its own kind; copying copies the value.
template <typename T>
class Box {
 public:
  Box() = default;
  explicit Box(T value) : value_(std::make_unique<T>(std::move(value))) {}
  Box(const Box& other) : value_(other.value_ ? std::make_unique<T>(*other.value_) : nullptr) {}
  Box(Box&&) noexcept = default;
  Box& operator=(const Box& other) {
    if (this != &other) value_ = other.value_ ? std::make_unique<T>(*other.value_) : nullptr;
    return *this;
  }
  Box& operator=(Box&&) noexcept = default;

  explicit operator bool() const { return value_ != nullptr; }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return value_.get(); }
  const T* operator->() const { return value_.get(); }
  T& emplace() { return *(value_ = std::make_unique<T>()); }
  void reset() { value_.reset(); }
  bool operator==(const Box& other) const {
    return value_ && other.value_ ? *value_ == *other.value_ : !value_ == !other.value_;
  }

 private:
  std::unique_ptr<T> value_;
};

}  // namespace berth::describe
