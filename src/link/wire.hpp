#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"

/// Big-endian numbers and length-prefixed texts, as our documents and records use them.
namespace berth::link::wire {

template <typename Number>
void put(char* at, Number value) {
  for (std::size_t i = sizeof value; i-- > 0;) {
    at[i] = static_cast<char>(value & 0xff);
    value = static_cast<Number>(value >> 8);
  }
}

template <typename Number>
Number get(const char* at) {
  Number value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    value = static_cast<Number>((value << 8) | static_cast<unsigned char>(at[i]));
  }
  return value;
}

inline void put_u32(char* at, std::uint32_t value) {
  put(at, value);
}
inline std::uint32_t get_u32(const char* at) {
  return get<std::uint32_t>(at);
}

class Writer {
 public:
  void u8(std::uint8_t value) { bytes_ += static_cast<char>(value); }
  void u32(std::uint32_t value) { number(value); }
  void u64(std::uint64_t value) { number(value); }
  void text(std::string_view value) {
    u32(static_cast<std::uint32_t>(value.size()));
    bytes_ += value;
  }
  std::string take() && { return std::move(bytes_); }

 private:
  template <typename Number>
  void number(Number value) {
    char encoded[sizeof value];
    put(encoded, value);
    bytes_.append(encoded, sizeof encoded);
  }
  std::string bytes_;
};

/// Throws Code::corrupt where the bytes end too early.
class Reader {
 public:
  Reader(std::string_view bytes, std::string_view what) : bytes_(bytes), what_(what) {}
  std::uint8_t u8() { return static_cast<std::uint8_t>(take(1).front()); }
  std::uint32_t u32() { return get<std::uint32_t>(take(sizeof(std::uint32_t)).data()); }
  std::uint64_t u64() { return get<std::uint64_t>(take(sizeof(std::uint64_t)).data()); }
  std::string text() {
    const std::uint32_t size = u32();
    return std::string(take(size));
  }
  void expect_end() const {
    if (!bytes_.empty()) throw Error(Code::corrupt, "{}: {} bytes too many", what_, bytes_.size());
  }

 private:
  std::string_view take(std::size_t count) {
    if (count > bytes_.size()) throw Error(Code::corrupt, "{}: cut short", what_);
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  std::string_view bytes_;
  std::string_view what_;
};

}  // namespace berth::link::wire
