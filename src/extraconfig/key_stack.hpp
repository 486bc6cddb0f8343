#pragma once

#include <cstddef>
#include <deque>
#include <string>

namespace berth::extraconfig::detail {

/// Room for the keys of a walk, one per level; the memory of a level is used again.
class KeyStack {
 public:
  /// The room of one level, for the life of the object.
  class Level {
   public:
    explicit Level(KeyStack& stack) : stack_(stack) {
      if (stack_.used_ == stack_.keys_.size()) stack_.keys_.emplace_back();
      key_ = &stack_.keys_[stack_.used_++];
    }
    ~Level() { --stack_.used_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    std::string& key() { return *key_; }

   private:
    KeyStack& stack_;
    std::string* key_;
  };

 private:
  // A deque: its elements stay where they are while it grows.
  std::deque<std::string> keys_;
  std::size_t used_ = 0;
};

}  // namespace berth::extraconfig::detail
