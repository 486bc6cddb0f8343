#pragma once

#include <memory>
#include <string_view>

#include "describe/type.hpp"

namespace berth::cli {

/// A configuration of a type that `berth config --type` names.
class ConfigDocument {
 public:
  /// "executor", "appliance" or "host"; throws invalid-argument for another word.
  explicit ConfigDocument(std::string_view type);

  const describe::Type& type() const { return *type_; }
  void* value() { return value_.get(); }
  const void* value() const { return value_.get(); }
  /// Where a record has it.
  std::string_view prefix() const { return prefix_; }

 private:
  const describe::Type* type_;
  std::shared_ptr<void> value_;
  std::string_view prefix_;
};

}  // namespace berth::cli
