#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace berth {

/// What kind of failure it is. Each front maps a code once: HTTP status, exit status, Kubernetes reason.
enum class Code {
  invalid_argument,
  not_found,
  already_exists,
  wrong_state,
  conflict,
  busy,
  timeout,
  capacity,
  unsupported,
  corrupt,
  unavailable,
  internal,
};

/// The code's name as users see it, e.g. "not-found".
std::string_view to_string(Code code);
/// The reverse of to_string; anything unknown is Code::internal.
Code code_from_string(std::string_view name);

/// The one exception type. `message` tells a user what happened and what to do;
/// contexts say, from the innermost to the outermost, what was being done.
class Error : public std::exception {
 public:
  Error(Code code, std::string message);

  template <typename... Args>
  Error(Code code, fmt::format_string<Args...> format, Args&&... args)
      : Error(code, fmt::format(format, std::forward<Args>(args)...)) {}

  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::vector<std::string>& contexts() const { return contexts_; }

  /// Adds what was being done; for `catch (Error& e) { e.add_context(...); throw; }`.
  Error& add_context(std::string doing) &;

  /// Outermost context first, then the message: "pull busybox: fetch manifest: not found".
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  Code code_;
  std::string message_;
  std::vector<std::string> contexts_;
  std::string text_;
};

/// An Error from errno (or the given value), with the code that fits it. The text is "DOING: strerror".
Error errno_error(std::string_view doing);
Error errno_error(std::string_view doing, int error_number);

/// The code that fits an errno value, e.g. ENOENT is not-found and ENOSPC is capacity.
Code code_from_errno(int error_number);

/// Returns `result` unless it is -1, then throws errno_error(doing).
template <typename T>
T check(T result, std::string_view doing) {
  if (result == static_cast<T>(-1)) throw errno_error(doing);
  return result;
}

}  // namespace berth
