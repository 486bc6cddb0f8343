#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/async.hpp"
#include "base/clock.hpp"
#include "link/output.hpp"

namespace berth::tether {

/// Room for one record: its header and the payload behind it.
class OutputFrame {
 public:
  // With the header, whole pages of the port's buffers.
  static constexpr std::size_t kPayload = link::kOutputPayloadLimit - link::kOutputHeaderSize;

  OutputFrame() : bytes_(std::make_unique_for_overwrite<char[]>(link::kOutputHeaderSize + kPayload)) {}
  char* header() { return bytes_.get(); }
  char* payload() { return bytes_.get() + link::kOutputHeaderSize; }

 private:
  std::unique_ptr<char[]> bytes_;
};

/// The one writer of the output port: whole records, in the order they are asked for. A full port holds up
/// the callers and nobody else.
class OutputPort {
 public:
  OutputPort(UniqueFd port, const asio::any_io_executor& executor, const Clock& clock);

  /// Writes `size` bytes of the frame's payload as one record.
  Task<> write(link::OutputKind kind, std::uint16_t session, OutputFrame& frame, std::size_t size);

  /// Whether everything that was asked for has been written; all_written() changes with each record.
  bool all_written() const { return serving_ == next_ticket_; }
  /// False when `deadline` passed before another record was written.
  Task<bool> wait_written(std::chrono::steady_clock::time_point deadline) {
    return served_.wait_until(deadline);
  }
  /// Writes a mark behind the records that were asked for until now. Those that are asked for later wait for
  /// release(), and so they do when this is not waited for.
  Task<> mark(std::string token);
  void release();
  /// These records go before whatever is written next.
  void put_first(std::string records) { first_ += records; }

 private:
  Stream port_;
  const Clock& clock_;
  Event served_;
  std::uint64_t next_ticket_ = 0;
  std::uint64_t serving_ = 0;
  std::uint64_t held_from_ = UINT64_MAX;  ///< ticket of the first that waits for release()
  std::string first_;
};

}  // namespace berth::tether
