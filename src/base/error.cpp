#include "base/error.hpp"

#include <errno.h>
#include <string.h>

#include <array>

namespace berth {
namespace {

struct CodeName {
  Code code;
  std::string_view name;
};

constexpr std::array kCodeNames{
    CodeName{Code::invalid_argument, "invalid-argument"},
    CodeName{Code::not_found, "not-found"},
    CodeName{Code::already_exists, "already-exists"},
    CodeName{Code::wrong_state, "wrong-state"},
    CodeName{Code::conflict, "conflict"},
    CodeName{Code::busy, "busy"},
    CodeName{Code::timeout, "timeout"},
    CodeName{Code::capacity, "capacity"},
    CodeName{Code::unsupported, "unsupported"},
    CodeName{Code::corrupt, "corrupt"},
    CodeName{Code::unavailable, "unavailable"},
    CodeName{Code::internal, "internal"},
};

}  // namespace

std::string_view to_string(Code code) {
  for (const CodeName& entry : kCodeNames) {
    if (entry.code == code) return entry.name;
  }
  return "internal";
}

Code code_from_string(std::string_view name) {
  for (const CodeName& entry : kCodeNames) {
    if (entry.name == name) return entry.code;
  }
  return Code::internal;
}

Error::Error(Code code, std::string message) : code_(code), message_(std::move(message)), text_(message_) {}

Error& Error::add_context(std::string doing) & {
  text_ = doing + ": " + text_;
  contexts_.push_back(std::move(doing));
  return *this;
}

Code code_from_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ESRCH:
      return Code::not_found;
    case EEXIST:
    case EADDRINUSE:
      return Code::already_exists;
    case EINVAL:
    case ENAMETOOLONG:
      return Code::invalid_argument;
    case EBUSY:
    case ETXTBSY:
      return Code::busy;
    case ETIMEDOUT:
      return Code::timeout;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return Code::capacity;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::unsupported;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENETUNREACH:
    case EHOSTUNREACH:
      return Code::unavailable;
    default:
      return Code::internal;
  }
}

Error errno_error(std::string_view doing, int error_number) {
  return Error(code_from_errno(error_number), "{}: {}", doing, ::strerror(error_number));
}

Error errno_error(std::string_view doing) {
  return errno_error(doing, errno);
}

}  // namespace berth
