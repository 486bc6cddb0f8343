#pragma once

#include <cstddef>

#include "base/async.hpp"

namespace berth {

/// Is one more in `count` as long as it lives; its end notifies `changed`. Both must outlive it.
class Counted {
 public:
  explicit Counted(std::size_t& count) : count_(count) { ++count_; }
  Counted(std::size_t& count, Event& changed) : count_(count), changed_(&changed) { ++count_; }
  ~Counted() {
    --count_;
    if (changed_ != nullptr) changed_->notify_all();
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::size_t& count_;
  Event* changed_ = nullptr;
};

}  // namespace berth
