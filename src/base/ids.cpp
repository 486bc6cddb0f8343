#include "base/ids.hpp"

#include <errno.h>
#include <sys/random.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "base/error.hpp"

namespace berth {
namespace {

constexpr std::array kQualities{"amber",  "ample", "brave",  "brisk", "calm",   "clear", "coastal", "deep",
                                "eager",  "early", "fair",   "firm",  "gentle", "grand", "hardy",   "keen",
                                "kind",   "late",  "lively", "lucid", "mellow", "merry", "noble",   "open",
                                "polite", "proud", "quiet",  "rapid", "ready",  "sharp", "silent",  "sober",
                                "solid",  "stout", "sunny",  "swift", "tidy",   "trim",  "vivid",   "warm"};
constexpr std::array kVessels{
    "barge",  "brig",    "canoe",   "caravel", "clipper", "coaster",  "cutter", "dhow",   "dinghy",  "dory",
    "ferry",  "frigate", "galley",  "hulk",    "junk",    "kayak",    "ketch",  "launch", "lighter", "lugger",
    "packet", "pilot",   "pinnace", "punt",    "sampan",  "schooner", "scow",   "skiff",  "sloop",   "smack",
    "tanker", "tender",  "trawler", "tug",     "wherry",  "xebec",    "yacht",  "yawl",   "liner",   "raft"};

}  // namespace

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  std::size_t done = 0;
  while (done < count) {
    const ssize_t n = ::getrandom(bytes.data() + done, count - done, 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      throw errno_error("getrandom");
    }
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

std::string to_hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

std::string new_id() {
  return to_hex(random_bytes(32));
}

std::string short_id(std::string_view id) {
  return std::string(id.substr(0, 12));
}

std::string random_name() {
  const std::string bytes = random_bytes(4);
  std::uint16_t draws[2];
  std::memcpy(draws, bytes.data(), sizeof draws);
  return fmt::format("{}_{}", kQualities[draws[0] % kQualities.size()], kVessels[draws[1] % kVessels.size()]);
}

bool is_valid_name(std::string_view name) {
  constexpr std::size_t kLongest = 128;
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (name.size() < 2 || name.size() > kLongest || !is_word(name.front())) return false;
  for (const char c : name) {
    if (!is_word(c) && c != '_' && c != '.' && c != '-') return false;
  }
  return true;
}

}  // namespace berth
