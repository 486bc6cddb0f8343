#pragma once

#include <cstddef>
#include <deque>

namespace berth::extraconfig::detail {

/// Room for what a walk needs at each of its levels; the memory of a level is used again.
template <typename T>
class LevelStack {
 public:
  /// The room of one level, for the life of the object. It has what was left in it.
  class Level {
   public:
    explicit Level(LevelStack& stack) : stack_(stack) {
      if (stack_.used_ == stack_.levels_.size()) stack_.levels_.emplace_back();
      room_ = &stack_.levels_[stack_.used_++];
    }
    ~Level() { --stack_.used_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    T& operator*() const { return *room_; }
    T* operator->() const { return room_; }

   private:
    LevelStack& stack_;
    T* room_;
  };

 private:
  // A deque: its elements stay where they are while it grows.
  std::deque<T> levels_;
  std::size_t used_ = 0;
};

}  // namespace berth::extraconfig::detail
