#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "extraconfig/key.hpp"

namespace berth::extraconfig {

/// A stored configuration: key to value, in the order of the keys' bytes.
using Pairs = std::map<std::string, std::string, std::less<>>;

/// Where encoded pairs go.
class Sink {
 public:
  virtual ~Sink() = default;
  /// The views are valid for the call only.
  virtual void put(std::string_view key, std::string_view value) = 0;
};

/// Where pairs are decoded from.
class Source {
 public:
  virtual ~Source() = default;
  /// The value, or nothing when there is no such key; the view is valid until the next call.
  virtual std::optional<std::string_view> get(std::string_view key) = 0;
  /// False only when no key begins so.
  virtual bool any_below(std::string_view prefix) = 0;
};

/// Adds to `pairs`, which must outlive it.
class PairsSink final : public Sink {
 public:
  explicit PairsSink(Pairs& pairs) : pairs_(pairs) {}
  void put(std::string_view key, std::string_view value) override;

 private:
  Pairs& pairs_;
};

/// Reads `pairs`, which must outlive it and stay as it is.
class PairsSource final : public Source {
 public:
  explicit PairsSource(const Pairs& pairs) : pairs_(pairs) {}
  std::optional<std::string_view> get(std::string_view key) override;
  bool any_below(std::string_view prefix) override;

 private:
  const Pairs& pairs_;
};

/// Passes on the pairs whose key has any of `wanted` and none of `unwanted` (see scopes_of).
class FilterSink final : public Sink {
 public:
  FilterSink(Sink& inner, Scopes wanted, Scopes unwanted = Scopes::none)
      : inner_(inner), wanted_(wanted), unwanted_(unwanted) {}
  void put(std::string_view key, std::string_view value) override;

 private:
  Sink& inner_;
  Scopes wanted_;
  Scopes unwanted_;
};

/// Gives the pairs whose key has any of `wanted` and none of `unwanted`; others are as if they were not
/// there.
class FilterSource final : public Source {
 public:
  FilterSource(Source& inner, Scopes wanted, Scopes unwanted = Scopes::none)
      : inner_(inner), wanted_(wanted), unwanted_(unwanted) {}
  std::optional<std::string_view> get(std::string_view key) override;
  /// Also true when only other pairs begin so.
  bool any_below(std::string_view prefix) override { return inner_.any_below(prefix); }

 private:
  Source& inner_;
  Scopes wanted_;
  Scopes unwanted_;
};

/// Every scope a key can have.
inline constexpr Scopes kAnyScope = static_cast<Scopes>(0xff);
/// What the guest may see.
inline constexpr Scopes kGuestScopes = describe::scope::read_only | describe::scope::read_write;

/// The pairs whose key has any of `wanted` and none of `unwanted`.
Pairs filter(const Pairs& pairs, Scopes wanted, Scopes unwanted = Scopes::none);

/// What changes one set of pairs into another.
struct Difference {
  Pairs changed;                     ///< new keys and new values
  std::vector<std::string> removed;  ///< in order

  bool empty() const { return changed.empty() && removed.empty(); }
  bool operator==(const Difference&) const = default;
};

Difference diff(const Pairs& before, const Pairs& after);
void apply(const Difference& difference, Pairs& pairs);

/// The pairs at and below `prefix` in any of its three spellings; all for an empty prefix.
Pairs below(const Pairs& pairs, std::string_view prefix);

}  // namespace berth::extraconfig
