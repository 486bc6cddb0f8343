#pragma once

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "describe/fields.hpp"
#include "describe/type.hpp"

/// A type is described by one declaration beside it, found by argument-dependent lookup:
///
///   struct Cmd { std::string path; std::vector<std::string> args; };
///   constexpr auto describe(const Cmd*) {
///     using namespace berth::describe;
///     return fields(field<&Cmd::path>("Path", "Path", scope::read_only),
///                   field<&Cmd::args>("Args", "Args", scope::read_only));
///   }
///
/// Every member has to be there. A member that is left out, a key or member that is there twice, scopes that
/// exclude each other and a type that cannot be carried are errors of compilation that name the type.
namespace berth::describe {

/// The description of T; made at compile time, valid for the life of the program.
template <typename T>
const Type& type_of();

namespace detail {

template <typename T>
constexpr std::string_view name_of() {
  std::string_view text = __PRETTY_FUNCTION__;
  const auto begin = text.find("T = ") + 4;
  const auto end = text.find_first_of(";]", begin);
  return text.substr(begin, end - begin);
}

template <typename T>
inline constexpr bool kAlwaysFalse = false;

template <typename T, template <typename...> class Template>
inline constexpr bool kIs = false;
template <template <typename...> class Template, typename... Args>
inline constexpr bool kIs<Template<Args...>, Template> = true;

template <typename T>
T& as(void* value) {
  return *static_cast<T*>(value);
}
template <typename T>
const T& as(const void* value) {
  return *static_cast<const T*>(value);
}

/// What all of them have in common.
template <typename T, typename Base>
class TypeFor : public Base {
 public:
  template <typename... Args>
  constexpr explicit TypeFor(Args... args) : Base(name_of<T>(), args...) {}
  void reset(void* value) const override { as<T>(value) = T(); }
};

template <typename T>
class Boolean final : public TypeFor<T, BooleanType> {
 public:
  bool get(const void* value) const override { return as<T>(value); }
  void set(void* value, bool to) const override { as<T>(value) = to; }
};

template <typename T>
class Integer final : public TypeFor<T, IntegerType> {
 public:
  std::int64_t get(const void* value) const override { return as<T>(value); }
  bool set(void* value, std::int64_t to) const override {
    if (!std::in_range<T>(to)) return false;
    as<T>(value) = static_cast<T>(to);
    return true;
  }
};

/// A duration counts nanoseconds, as Go's time.Duration does.
template <typename T>
class Duration final : public TypeFor<T, IntegerType> {
 public:
  static_assert(std::is_same_v<T, std::chrono::nanoseconds>,
                "a described duration must be std::chrono::nanoseconds");
  std::int64_t get(const void* value) const override { return as<T>(value).count(); }
  bool set(void* value, std::int64_t to) const override {
    as<T>(value) = T(to);
    return true;
  }
};

template <typename T>
class Unsigned final : public TypeFor<T, UnsignedType> {
 public:
  std::uint64_t get(const void* value) const override { return as<T>(value); }
  bool set(void* value, std::uint64_t to) const override {
    if (!std::in_range<T>(to)) return false;
    as<T>(value) = static_cast<T>(to);
    return true;
  }
};

template <typename T>
class Floating final : public TypeFor<T, FloatingType> {
 public:
  double get(const void* value) const override { return as<T>(value); }
  bool set(void* value, double to) const override {
    const double size = to < 0 ? -to : to;
    if (size > std::numeric_limits<T>::max() && size <= std::numeric_limits<double>::max()) return false;
    as<T>(value) = static_cast<T>(to);
    return true;
  }
};

template <typename T>
class Text final : public TypeFor<T, TextType> {
 public:
  std::string_view get(const void* value) const override { return as<T>(value); }
  void set(void* value, std::string_view to) const override { as<T>(value).assign(to); }
};

template <typename T>
class ByteString final : public TypeFor<T, BytesType> {
 public:
  std::string_view get(const void* value) const override { return as<T>(value).data; }
  bool set(void* value, std::string to) const override {
    if constexpr (requires { T::valid(to); }) {
      if (!T::valid(to)) return false;
    }
    as<T>(value).data = std::move(to);
    return true;
  }
  bool has_text() const override { return kHasText; }
  std::string text(const void* value) const override {
    if constexpr (kHasText) return as<T>(value).text();
    return {};
  }
  bool set_text(void* value, std::string_view text) const override {
    if constexpr (kHasText) return as<T>(value).set_text(text);
    return false;
  }

 private:
  static constexpr bool kHasText = requires(T value) { value.set_text(value.text()); };
};

template <typename T>
class Moment final : public TypeFor<T, TimeType> {
 public:
  const Time& get(const void* value) const override { return as<T>(value); }
  void set(void* value, Time to) const override { as<T>(value) = std::move(to); }
};

template <typename T>
class Enumeration final : public TypeFor<T, EnumerationType> {
 public:
  constexpr Enumeration() : TypeFor<T, EnumerationType>(description_of<T>().stored_as_number) {}
  std::span<const Enumerator> enumerators() const override {
    static constexpr auto kDescription = description_of<T>();
    return kDescription.enumerators;
  }
  std::int64_t get(const void* value) const override { return static_cast<std::int64_t>(as<T>(value)); }
  void set(void* value, std::int64_t number) const override { as<T>(value) = static_cast<T>(number); }
};

template <typename T>
class Structure final : public TypeFor<T, StructureType> {
 public:
  std::span<const Field> fields() const override {
    static constexpr Fault kFault = fault_of<T>();
    static_assert(kFault != Fault::not_an_aggregate, "describe: the type must be an aggregate without bases");
    static_assert(kFault != Fault::missing_member, "describe: a member of the type is not described");
    static_assert(kFault != Fault::member_twice, "describe: a member of the type is described twice");
    static_assert(kFault != Fault::name_twice, "describe: two members of the type have the same name");
    static_assert(kFault != Fault::key_twice, "describe: two members of the type have the same key");
    static_assert(kFault != Fault::bad_key,
                  "describe: a key is empty, has blanks at its ends or one of @ | ~");
    static_assert(kFault != Fault::bad_scopes, "describe: a member has scopes that exclude each other");
    if constexpr (kFault == Fault::none) {
      static const auto kFields = make(std::make_index_sequence<count_of<T>()>());
      return kFields;
    } else {
      return {};
    }
  }

 private:
  template <std::size_t... I>
  static auto make(std::index_sequence<I...>) {
    constexpr auto description = description_of<T>();
    return std::array<Field, sizeof...(I)>{make_field(std::get<I>(description.members))...};
  }
  template <auto Member>
  static Field make_field(const Described<Member>& described) {
    Field field = described.field;
    field.type = &type_of<member_type<Member>>();
    field.locate = [](const Field&, void* object) -> void* { return &(as<T>(object).*Member); };
    return field;
  }
};

template <typename T>
class Vector final : public TypeFor<T, ListType> {
 public:
  const Type& element() const override { return type_of<typename T::value_type>(); }
  std::size_t size(const void* value) const override { return as<T>(value).size(); }
  bool resize(void* value, std::size_t size) const override {
    as<T>(value).resize(size);
    return true;
  }
  void* at(void* value, std::size_t index) const override { return &as<T>(value)[index]; }
};

template <typename T>
class Array final : public TypeFor<T, ListType> {
 public:
  const Type& element() const override { return type_of<typename T::value_type>(); }
  std::size_t size(const void* value) const override { return as<T>(value).size(); }
  bool resize(void* value, std::size_t size) const override { return size == as<T>(value).size(); }
  void* at(void* value, std::size_t index) const override { return &as<T>(value)[index]; }
};

template <typename T>
class Map final : public TypeFor<T, MapType> {
 public:
  const Type& key() const override { return type_of<typename T::key_type>(); }
  const Type& mapped() const override { return type_of<typename T::mapped_type>(); }
  std::size_t size(const void* value) const override { return as<T>(value).size(); }
  void for_each(const void* value, FunctionRef<void(const void*, const void*)> visit) const override {
    for (const auto& [key, mapped] : as<T>(value)) visit(&key, &mapped);
  }
  MapType::Place place(void* value, FunctionRef<void(void*)> fill) const override {
    typename T::key_type key{};
    fill(&key);
    const auto [entry, inserted] = as<T>(value).try_emplace(std::move(key));
    return {&entry->second, inserted};
  }
  void erase_if(void* value, FunctionRef<bool(const void*)> condition) const override {
    std::erase_if(as<T>(value), [&](const auto& entry) { return condition(&entry.first); });
  }
};

/// std::optional, Box, std::unique_ptr and std::shared_ptr.
template <typename T>
class Pointer final : public TypeFor<T, PointerType> {
 public:
  using Target = std::remove_cvref_t<decltype(*std::declval<T&>())>;
  const Type& target() const override { return type_of<Target>(); }
  void* get(void* value) const override { return as<T>(value) ? &*as<T>(value) : nullptr; }
  void* emplace(void* value) const override {
    T& pointer = as<T>(value);
    if constexpr (requires { pointer.emplace(); }) {
      return &pointer.emplace();
    } else {
      pointer = T(new Target());
      return &*pointer;
    }
  }
};

template <typename T>
class Variant final : public TypeFor<T, VariantType> {
 public:
  std::span<const std::string_view> names() const override {
    static constexpr auto kDescription = description_of<T>();
    static_assert(kDescription.names.size() == kCount,
                  "describe: a variant needs a name for each alternative");
    return kDescription.names;
  }
  const Type& alternative(std::size_t index) const override { return *alternatives()[index]; }
  std::size_t index(const void* value) const override { return as<T>(value).index(); }
  void* get(void* value) const override {
    return std::visit([](auto& alternative) -> void* { return &alternative; }, as<T>(value));
  }
  void* emplace(void* value, std::size_t index) const override {
    if (as<T>(value).index() != index) emplacers(std::make_index_sequence<kCount>())[index](as<T>(value));
    return get(value);
  }

 private:
  static constexpr std::size_t kCount = std::variant_size_v<T>;
  template <std::size_t... I>
  static const auto& alternatives(std::index_sequence<I...>) {
    static const std::array<const Type*, kCount> kTypes = {&type_of<std::variant_alternative_t<I, T>>()...};
    return kTypes;
  }
  static const auto& alternatives() { return alternatives(std::make_index_sequence<kCount>()); }
  template <std::size_t... I>
  static auto emplacers(std::index_sequence<I...>) {
    using Emplace = void (*)(T&);
    return std::array<Emplace, kCount>{[](T& value) { value.template emplace<I>(); }...};
  }
};

template <typename T>
constexpr auto select() {
  if constexpr (std::is_same_v<T, bool>) {
    return std::type_identity<Boolean<T>>();
  } else if constexpr (std::is_same_v<T, char> || std::is_same_v<T, wchar_t>) {
    static_assert(kAlwaysFalse<T>,
                  "describe: characters are not carried; use std::string or an integer type");
  } else if constexpr (std::signed_integral<T>) {
    return std::type_identity<Integer<T>>();
  } else if constexpr (std::unsigned_integral<T>) {
    return std::type_identity<Unsigned<T>>();
  } else if constexpr (std::is_same_v<T, double> || std::is_same_v<T, float>) {
    return std::type_identity<Floating<T>>();
  } else if constexpr (std::is_same_v<T, std::string>) {
    return std::type_identity<Text<T>>();
  } else if constexpr (std::is_base_of_v<Bytes, T>) {
    return std::type_identity<ByteString<T>>();
  } else if constexpr (std::is_same_v<T, Time>) {
    return std::type_identity<Moment<T>>();
  } else if constexpr (kIs<T, std::chrono::duration>) {
    return std::type_identity<Duration<T>>();
  } else if constexpr (std::is_same_v<T, std::vector<bool>>) {
    static_assert(kAlwaysFalse<T>,
                  "describe: std::vector<bool> has no elements to point at; use std::vector<int>");
  } else if constexpr (kIs<T, std::vector>) {
    return std::type_identity<Vector<T>>();
  } else if constexpr (kIsArray<T>) {
    return std::type_identity<Array<T>>();
  } else if constexpr (kIs<T, std::map>) {
    return std::type_identity<Map<T>>();
  } else if constexpr (kIs<T, std::optional> || kIs<T, Box> || kIs<T, std::unique_ptr> ||
                       kIs<T, std::shared_ptr>) {
    return std::type_identity<Pointer<T>>();
  } else if constexpr (kIs<T, std::variant> && kIsDescribed<T>) {
    return std::type_identity<Variant<T>>();
  } else if constexpr (std::is_enum_v<T> && kIsDescribed<T>) {
    return std::type_identity<Enumeration<T>>();
  } else if constexpr (std::is_class_v<T> && kIsDescribed<T>) {
    return std::type_identity<Structure<T>>();
  } else {
    static_assert(kAlwaysFalse<T>, "describe: this type has no description and cannot be carried");
  }
}

}  // namespace detail

template <typename T>
const Type& type_of() {
  static constexpr typename decltype(detail::select<T>())::type kType;
  return kType;
}

}  // namespace berth::describe
