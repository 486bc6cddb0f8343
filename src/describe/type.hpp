#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "describe/scope.hpp"
#include "describe/values.hpp"

namespace berth::describe {

/// What a codec has to know of a value; it decides which class below a Type is.
enum class Kind : std::uint8_t {
  boolean,
  integer,
  unsigned_integer,
  floating,
  text,
  bytes,
  time,
  enumeration,
  structure,
  list,
  map,
  pointer,
  variant,
};

/// A callable that outlives the call it is passed to.
template <typename Signature>
class FunctionRef;

template <typename R, typename... Args>
class FunctionRef<R(Args...)> {
 public:
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& function)  // NOLINT: implicit, as a parameter
      : object_(const_cast<void*>(static_cast<const void*>(&function))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(static_cast<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, static_cast<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// How values of one C++ type are reached. Codecs are written against this and so are compiled once;
/// describe.hpp makes the objects for C++ types. Every `void*` is a value of the described type.
class Type {
 public:
  constexpr Type(Kind kind, std::string_view name) : kind_(kind), name_(name) {}
  constexpr virtual ~Type() = default;
  Type(const Type&) = delete;
  Type& operator=(const Type&) = delete;

  Kind kind() const { return kind_; }
  std::string_view name() const { return name_; }
  /// Gives it the value that a new object has.
  virtual void reset(void* value) const = 0;

 private:
  Kind kind_;
  std::string_view name_;
};

class BooleanType : public Type {
 public:
  constexpr explicit BooleanType(std::string_view name) : Type(Kind::boolean, name) {}
  virtual bool get(const void* value) const = 0;
  virtual void set(void* value, bool to) const = 0;
};

class IntegerType : public Type {
 public:
  constexpr explicit IntegerType(std::string_view name) : Type(Kind::integer, name) {}
  virtual std::int64_t get(const void* value) const = 0;
  /// False when the type is too narrow; the value is then as it was.
  virtual bool set(void* value, std::int64_t to) const = 0;
};

class UnsignedType : public Type {
 public:
  constexpr explicit UnsignedType(std::string_view name) : Type(Kind::unsigned_integer, name) {}
  virtual std::uint64_t get(const void* value) const = 0;
  /// False when the type is too narrow; the value is then as it was.
  virtual bool set(void* value, std::uint64_t to) const = 0;
};

class FloatingType : public Type {
 public:
  constexpr explicit FloatingType(std::string_view name) : Type(Kind::floating, name) {}
  virtual double get(const void* value) const = 0;
  /// False when a finite number does not fit the type; the value is then as it was.
  virtual bool set(void* value, double to) const = 0;
};

class TextType : public Type {
 public:
  constexpr explicit TextType(std::string_view name) : Type(Kind::text, name) {}
  virtual std::string_view get(const void* value) const = 0;
  virtual void set(void* value, std::string_view to) const = 0;
};

class BytesType : public Type {
 public:
  constexpr explicit BytesType(std::string_view name) : Type(Kind::bytes, name) {}
  virtual std::string_view get(const void* value) const = 0;
  /// False when the type refuses these bytes; the value is then as it was.
  virtual bool set(void* value, std::string to) const = 0;
  /// A type whose bytes people write in another way has a text for JSON; others have base64.
  virtual bool has_text() const { return false; }
  virtual std::string text(const void*) const { return {}; }
  /// False when the text stands for no bytes.
  virtual bool set_text(void*, std::string_view) const { return false; }
};

class TimeType : public Type {
 public:
  constexpr explicit TimeType(std::string_view name) : Type(Kind::time, name) {}
  virtual const Time& get(const void* value) const = 0;
  virtual void set(void* value, Time to) const = 0;
};

struct Enumerator {
  std::string_view name;
  std::int64_t number;
};

class EnumerationType : public Type {
 public:
  constexpr EnumerationType(std::string_view name, bool stored_as_number)
      : Type(Kind::enumeration, name), stored_as_number_(stored_as_number) {}
  /// Stored pairs hold the number where the format had a number before the names; JSON always has the name.
  bool stored_as_number() const { return stored_as_number_; }
  virtual std::span<const Enumerator> enumerators() const = 0;
  virtual std::int64_t get(const void* value) const = 0;
  virtual void set(void* value, std::int64_t number) const = 0;

 private:
  bool stored_as_number_;
};

/// How far a walk goes below a field.
struct Recursion {
  int depth = -1;  ///< steps that are left; negative: no limit, 0: stop
  bool follow = true;
  bool skip_encode = false;
  bool skip_decode = false;

  bool operator==(const Recursion&) const = default;
};

/// One member of a structure.
struct Field {
  static constexpr int kNoDepth = INT32_MIN;
  enum class Follow : std::uint8_t { inherit, yes, no };

  std::string_view name;  ///< as in Go, e.g. "ExitStatus"
  std::string_view key;   ///< its part of a key
  /// Whether `key` is known to have no '.', no '/' and no blanks at its ends, so that it is the same in every
  /// spelling of a key.
  bool plain_key = false;
  /// Scopes::none: an untagged field, which takes the scopes of what it is in.
  Scopes scopes = Scopes::none;
  std::int32_t depth = kNoDepth;
  Follow follow = Follow::inherit;
  bool skip_encode = false;
  bool skip_decode = false;
  /// Another key part that is read when `key` is absent; never written.
  std::string_view also = {};

  const Type* type = nullptr;
  void* (*locate)(const Field&, void* object) = nullptr;
  std::size_t slot = 0;  ///< for `locate`

  void* in(void* object) const { return locate(*this, object); }
  const void* in(const void* object) const { return locate(*this, const_cast<void*>(object)); }
  /// The state for this field and what is below it.
  constexpr Recursion apply(Recursion state) const {
    if (depth != kNoDepth) state.depth = depth;
    if (follow != Follow::inherit) state.follow = follow == Follow::yes;
    state.skip_encode |= skip_encode;
    state.skip_decode |= skip_decode;
    return state;
  }
};

class StructureType : public Type {
 public:
  constexpr explicit StructureType(std::string_view name) : Type(Kind::structure, name) {}
  virtual std::span<const Field> fields() const = 0;
};

class ListType : public Type {
 public:
  constexpr explicit ListType(std::string_view name) : Type(Kind::list, name) {}
  virtual const Type& element() const = 0;
  virtual std::size_t size(const void* value) const = 0;
  /// Keeps the elements that stay. False when the type cannot have that size; the value is then as it was.
  virtual bool resize(void* value, std::size_t size) const = 0;
  virtual void* at(void* value, std::size_t index) const = 0;
  const void* at(const void* value, std::size_t index) const { return at(const_cast<void*>(value), index); }
};

class MapType : public Type {
 public:
  constexpr explicit MapType(std::string_view name) : Type(Kind::map, name) {}
  /// Its kind is boolean, integer, unsigned_integer, floating, text or enumeration.
  virtual const Type& key() const = 0;
  virtual const Type& mapped() const = 0;
  virtual std::size_t size(const void* value) const = 0;
  virtual void for_each(const void* value,
                        FunctionRef<void(const void* key, const void* mapped)> visit) const = 0;
  struct Place {
    void* mapped;
    bool inserted;
  };
  /// Finds or makes the entry whose key `fill` sets on a new key.
  virtual Place place(void* value, FunctionRef<void(void* key)> fill) const = 0;
  virtual void erase_if(void* value, FunctionRef<bool(const void* key)> condition) const = 0;
};

class PointerType : public Type {
 public:
  constexpr explicit PointerType(std::string_view name) : Type(Kind::pointer, name) {}
  virtual const Type& target() const = 0;
  /// nullptr when there is no target.
  virtual void* get(void* value) const = 0;
  const void* get(const void* value) const { return get(const_cast<void*>(value)); }
  virtual void* emplace(void* value) const = 0;
};

class VariantType : public Type {
 public:
  constexpr explicit VariantType(std::string_view name) : Type(Kind::variant, name) {}
  virtual std::span<const std::string_view> names() const = 0;
  virtual const Type& alternative(std::size_t index) const = 0;
  virtual std::size_t index(const void* value) const = 0;
  virtual void* get(void* value) const = 0;
  const void* get(const void* value) const { return get(const_cast<void*>(value)); }
  /// Keeps the value when it already has that alternative.
  virtual void* emplace(void* value, std::size_t index) const = 0;
};

}  // namespace berth::describe
