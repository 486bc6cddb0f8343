#include <nlohmann/json.hpp>

#include "codec/members.hpp"
#include "codec/peers.hpp"

namespace berth::bench {
namespace {

using nlohmann::json;

template <typename T>
json to_value(const T& from) {
  if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, bool>) {
    return from;
  } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
    return static_cast<std::int64_t>(from);
  } else if constexpr (std::is_same_v<T, std::chrono::nanoseconds>) {
    return from.count();
  } else if constexpr (kIsBytes<T>) {
    return base64_of(from);
  } else if constexpr (std::is_same_v<T, describe::Time>) {
    return text_of(from);
  } else if constexpr (kIsVector<T>) {
    json::array_t array;
    array.reserve(from.size());
    for (const auto& element : from) array.push_back(to_value(element));
    return array;
  } else if constexpr (kIsMap<T>) {
    json::object_t object;
    for (const auto& [key, mapped] : from) object.emplace_hint(object.end(), key, to_value(mapped));
    return object;
  } else {
    json::object_t object;
    for_each_member(from, [&]<typename Member>(std::string_view name, const Member& member) {
      if constexpr (kIsOptional<Member>) {
        if (member) object.emplace(name, to_value(*member));
      } else {
        object.emplace(name, to_value(member));
      }
    });
    return object;
  }
}

template <typename T>
void from_value(const json& from, T& to) {
  if constexpr (std::is_same_v<T, std::string>) {
    to = from.get_ref<const std::string&>();
  } else if constexpr (std::is_same_v<T, bool>) {
    to = from.get<bool>();
  } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
    to = static_cast<T>(from.get<std::int64_t>());
  } else if constexpr (std::is_same_v<T, std::chrono::nanoseconds>) {
    to = T(from.get<std::int64_t>());
  } else if constexpr (kIsBytes<T>) {
    to.data = describe::read_base64(from.get_ref<const std::string&>()).value();
  } else if constexpr (std::is_same_v<T, describe::Time>) {
    to = describe::read_time(from.get_ref<const std::string&>()).value();
  } else if constexpr (kIsVector<T>) {
    const auto& array = from.get_ref<const json::array_t&>();
    to.resize(array.size());
    for (std::size_t i = 0; i < to.size(); ++i) from_value(array[i], to[i]);
  } else if constexpr (kIsMap<T>) {
    for (const auto& [key, mapped] : from.get_ref<const json::object_t&>()) {
      from_value(mapped, to.try_emplace(to.end(), key)->second);
    }
  } else {
    const auto& object = from.get_ref<const json::object_t&>();
    for_each_member(to, [&]<typename Member>(std::string_view name, Member& member) {
      const auto found = object.find(name);
      if constexpr (kIsOptional<Member>) {
        if (found != object.end()) from_value(found->second, member.emplace());
      } else {
        if (found == object.end()) throw std::runtime_error("a member is missing");
        from_value(found->second, member);
      }
    });
  }
}

}  // namespace

std::string nlohmann_encode(const config::ExecutorConfig& config) {
  return to_value(config).dump();
}

config::ExecutorConfig nlohmann_decode(std::string_view text) {
  config::ExecutorConfig config;
  from_value(json::parse(text), config);
  return config;
}

}  // namespace berth::bench
