#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

#include "base/async.hpp"
#include "base/unique_fd.hpp"
#include "hypervisor/qemu/qmp.hpp"

namespace berth::hypervisor::qemu {

/// What one QEMU saves, loads and sends of its machine. It and the client must outlive the coroutines; one of
/// them at a time.
class Migration {
 public:
  Migration(const asio::any_io_executor& executor, QmpClient& qmp);

  /// Takes an event of QEMU, and that it has ended.
  void note(const QmpEvent& event);
  void note_end();

  /// Makes QEMU take the machine's state from its descriptor kStateDescriptor: a file, to which the machine's
  /// memory belongs, or a stream, from which the memory comes too.
  enum class Source { file, stream };
  Task<> listen(Source source);
  /// Throws unavailable when QEMU has ended, which it does when it cannot take the state.
  Task<> wait_loaded(Milliseconds limit);

  /// Writes the state of a stopped machine whose memory is a file.
  Task<> save(UniqueFd file);

  /// MachineCopy's steps. Throws busy while there is another copy, unsupported with QEMU's reason.
  /// `number` becomes that of the copy.
  Task<> begin(UniqueFd stream, unsigned& number);
  Task<> approach(Milliseconds limit);
  Task<> stop();
  Task<> finish();
  /// Ends that copy if finish() has not, and lets the machine go on if it ran when the copy began.
  Task<> abandon(unsigned number);

 private:
  struct Progress {
    std::int64_t remaining = 0;    ///< bytes of memory
    std::int64_t transferred = 0;  ///< bytes
  };

  Task<> set_capabilities(Source source, bool copies);
  Task<> set_limits(std::int64_t bandwidth, std::int64_t downtime);
  Task<Progress> query();
  Task<> check_possible();
  Task<> add_hold(bool with_bitmap);
  Task<> start_tracking(UniqueFd stream);
  Task<> wait_window();
  Task<> settle();
  Task<std::string> run_state();
  Task<> send(UniqueFd stream);
  Task<> wait_for(std::string_view status, Milliseconds limit);
  bool is(std::initializer_list<std::string_view> statuses) const;
  [[noreturn]] void throw_failure();

  QmpClient& qmp_;
  std::string status_;  ///< the last of QMP's MIGRATION event
  bool ended_ = false;
  unsigned number_ = 0;
  bool has_hold_ = false;
  bool copying_ = false;
  bool leaving_ = false;
  bool was_running_ = false;
  Event changed_;
};

}  // namespace berth::hypervisor::qemu
