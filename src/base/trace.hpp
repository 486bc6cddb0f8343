#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace berth {

/// Where the time of a command goes: spans of work, a JSON object a line, appended to one file by the command
/// and every process of ours that it starts. Times are microseconds of CLOCK_MONOTONIC, which all of them
/// share.
namespace trace {

/// Names the file in the environment of this process and of what it starts. Throws when it cannot be written.
void write_to(const std::string& file);
inline constexpr const char* kVariable = "BERTH_TRACE";

bool is_on();

/// From its making to its end, or to done(). Does nothing when no file was named.
class Span {
 public:
  explicit Span(std::string_view name);
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;
  ~Span() { done(); }
  void done();

 private:
  std::string name_;
  std::int64_t begin_ = -1;
};

/// From the start of this process until now.
void since_start(std::string_view name);

}  // namespace trace
}  // namespace berth
