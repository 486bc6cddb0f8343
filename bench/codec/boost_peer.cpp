#include <stdexcept>

#include <boost/json.hpp>

#include "codec/members.hpp"
#include "codec/peers.hpp"

namespace berth::bench {
namespace {

namespace json = boost::json;

template <typename T>
json::value to_value(const T& from, const json::storage_ptr& storage) {
  if constexpr (std::is_same_v<T, std::string>) {
    return json::value(from, storage);
  } else if constexpr (std::is_same_v<T, bool>) {
    return from;
  } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
    return static_cast<std::int64_t>(from);
  } else if constexpr (std::is_same_v<T, std::chrono::nanoseconds>) {
    return from.count();
  } else if constexpr (kIsBytes<T>) {
    return json::value(base64_of(from), storage);
  } else if constexpr (std::is_same_v<T, describe::Time>) {
    return json::value(text_of(from), storage);
  } else if constexpr (kIsVector<T>) {
    json::array array(storage);
    array.reserve(from.size());
    for (const auto& element : from) array.push_back(to_value(element, storage));
    return array;
  } else if constexpr (kIsMap<T>) {
    json::object object(storage);
    object.reserve(from.size());
    for (const auto& [key, mapped] : from) object.emplace(key, to_value(mapped, storage));
    return object;
  } else {
    json::object object(storage);
    object.reserve(member_count<T>());
    for_each_member(from, [&]<typename Member>(std::string_view name, const Member& member) {
      if constexpr (kIsOptional<Member>) {
        if (member) object.emplace(name, to_value(*member, storage));
      } else {
        object.emplace(name, to_value(member, storage));
      }
    });
    return object;
  }
}

template <typename T>
void from_value(const json::value& from, T& to) {
  if constexpr (std::is_same_v<T, std::string>) {
    to.assign(from.as_string().data(), from.as_string().size());
  } else if constexpr (std::is_same_v<T, bool>) {
    to = from.as_bool();
  } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
    to = static_cast<T>(from.as_int64());
  } else if constexpr (std::is_same_v<T, std::chrono::nanoseconds>) {
    to = T(from.as_int64());
  } else if constexpr (kIsBytes<T>) {
    to.data = describe::read_base64(from.as_string()).value();
  } else if constexpr (std::is_same_v<T, describe::Time>) {
    to = describe::read_time(from.as_string()).value();
  } else if constexpr (kIsVector<T>) {
    const json::array& array = from.as_array();
    to.resize(array.size());
    for (std::size_t i = 0; i < to.size(); ++i) from_value(array[i], to[i]);
  } else if constexpr (kIsMap<T>) {
    for (const auto& [key, mapped] : from.as_object()) from_value(mapped, to[key]);
  } else {
    const json::object& object = from.as_object();
    for_each_member(to, [&]<typename Member>(std::string_view name, Member& member) {
      const json::value* found = object.if_contains(name);
      if constexpr (kIsOptional<Member>) {
        if (found != nullptr) from_value(*found, member.emplace());
      } else {
        if (found == nullptr) throw std::runtime_error("a member is missing");
        from_value(*found, member);
      }
    });
  }
}

}  // namespace

std::string boost_encode(const config::ExecutorConfig& config) {
  json::monotonic_resource memory;
  return json::serialize(to_value(config, &memory));
}

config::ExecutorConfig boost_decode(std::string_view text) {
  json::monotonic_resource memory;
  config::ExecutorConfig config;
  from_value(json::parse({text.data(), text.size()}, &memory), config);
  return config;
}

}  // namespace berth::bench
