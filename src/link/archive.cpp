#include "link/archive.hpp"

#include "base/error.hpp"
#include "base/text.hpp"
#include "describe/json.hpp"

namespace berth::link::archive {
namespace {

constexpr std::string_view kOwnersOfArchive = "archive";

constexpr std::pair<Verb, std::string_view> kVerbs[] = {
    {Verb::stat, "stat"}, {Verb::read, "read"}, {Verb::write, "write"}};

}  // namespace

std::string_view to_string(Verb verb) {
  for (const auto& [value, name] : kVerbs)
    if (value == verb) return name;
  throw Error(Code::internal, "a copy without a verb");
}

Verb verb_from_string(std::string_view text) {
  for (const auto& [value, name] : kVerbs)
    if (name == text) return value;
  throw Error(Code::invalid_argument, "\"{}\" is nothing that can be done with files", printable(text, 100));
}

ssh::Request make_request(const Order& order) {
  ssh::Request request;
  request.subsystem = kSubsystem;
  request.environment.emplace(kContainer, order.container);
  request.environment.emplace(kVerb, to_string(order.verb));
  request.environment.emplace(kPath, order.path);
  if (order.keep_owners) request.environment.emplace(kOwners, kOwnersOfArchive);
  return request;
}

Order parse_request(const ssh::Request& request) {
  Order order;
  order.verb = verb_from_string(request.variable(kVerb));
  order.container = request.variable(kContainer);
  order.path = request.variable(kPath);
  if (order.path.size() > kPathLimit) throw Error(Code::invalid_argument, "a path is too long");
  order.keep_owners = request.variable(kOwners) == kOwnersOfArchive;
  return order;
}

std::string encode(const PathStat& stat) {
  return describe::to_json(stat) + "\n";
}

PathStat decode_path_stat(std::string_view line) {
  PathStat stat;
  try {
    describe::from_json(line, stat);
  } catch (const Error& error) {
    throw Error(Code::corrupt, "the guest's description of a path cannot be read: {}", error.message());
  }
  return stat;
}

}  // namespace berth::link::archive
