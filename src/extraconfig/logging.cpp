#include "extraconfig/logging.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace berth::extraconfig {
namespace {

constexpr std::size_t kKeyLimit = 512;
constexpr std::size_t kValueLimit = 256;

void log_debug(std::string_view line) {
  log::write(log::Level::debug, line);
}

std::string shown(std::string_view key, std::string_view value) {
  if (is_confidential(key)) return fmt::format("<secret, {} bytes>", value.size());
  return fmt::format("\"{}\"", printable(value, kValueLimit));
}

}  // namespace

LoggingSink::LoggingSink(Sink& inner) : LoggingSink(inner, log_debug) {}

void LoggingSink::put(std::string_view key, std::string_view value) {
  log_(fmt::format("put {} = {}", printable(key, kKeyLimit), shown(key, value)));
  inner_.put(key, value);
}

LoggingSource::LoggingSource(Source& inner) : LoggingSource(inner, log_debug) {}

std::optional<std::string_view> LoggingSource::get(std::string_view key) {
  try {
    const auto value = inner_.get(key);
    log_(fmt::format("get {} = {}", printable(key, kKeyLimit), value ? shown(key, *value) : "nothing"));
    return value;
  } catch (const Error& error) {
    log_(fmt::format("get {}: {}", printable(key, kKeyLimit), error.message()));
    throw;
  }
}

bool LoggingSource::any_below(std::string_view prefix) {
  const bool any = inner_.any_below(prefix);
  log_(fmt::format("any below {}: {}", printable(prefix, kKeyLimit), any ? "yes" : "no"));
  return any;
}

}  // namespace berth::extraconfig
