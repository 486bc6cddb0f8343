#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "describe/type.hpp"
#include "extraconfig/key.hpp"

namespace berth::extraconfig {

/// The keys of the fields of a structure. What they have in common is made once, and memory is used again.
class FieldKeys {
 public:
  FieldKeys() = default;
  explicit FieldKeys(std::string_view parent) { enter(parent); }

  /// The keys that follow are in `parent`, which must stay as it is for as long.
  void enter(std::string_view parent);

  /// The key of a part `name` with these scopes; empty when the scopes allow none (invalid ones, and hidden
  /// with non-persistent). Valid until the next key is made.
  const std::string& make(Scopes scopes, std::string_view name);
  /// The key of a field; one without scopes takes those of `parent`.
  const std::string& of(const describe::Field& field);
  /// The key by the field's second spelling.
  const std::string& second_of(const describe::Field& field) {
    return make(scopes_of_field(field), field.also);
  }

 private:
  /// One spelling; its keys begin alike.
  struct Style {
    std::string_view name_space;
    char joiner;
    std::string key = {};
    std::size_t common = 0;  ///< bytes at the beginning of `key`
    bool is_begun = false;
  };

  Scopes scopes_of_field(const describe::Field& field);
  /// The spelling for the scopes; nullptr when they allow none.
  Style* style_for(Scopes scopes);
  void begin(Style& style) const;
  static void finish(Style& style, Scopes scopes);

  std::string_view parent_;
  std::string_view body_;  ///< of `parent_`
  bool non_persistent_ = false;
  std::optional<Scopes> inherited_;  ///< once they are asked for
  Style hidden_{"", '/'};
  Style read_only_{"guestinfo.vice./", '/'};
  Style read_write_{"guestinfo.vice..", '.'};
  std::string none_;
};

/// The key of a part `name` with these scopes in `parent`, as FieldKeys has it.
std::string make_key(Scopes scopes, std::string_view parent, std::string_view name);

}  // namespace berth::extraconfig
