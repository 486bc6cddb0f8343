#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "extraconfig/codec.hpp"
#include "tether/configuration.hpp"
#include "tether/os/connections.hpp"
#include "tether/session/freezer.hpp"
#include "tether/session/hostname.hpp"
#include "tether/tether.hpp"

/// What is done for copies of the running machine: before one is made, and in it.
namespace berth::tether {
namespace {

constexpr Milliseconds kPrepareLimit{5'000};
constexpr std::size_t kTokenLimit = 128;
constexpr const char* kForkSocket = "/run/berth/fork.sock";

Task<> write_mark(OutputPort& output, std::string token, std::shared_ptr<bool> written) {
  co_await output.mark(std::move(token));
  *written = true;
}

}  // namespace

Task<> Tether::prepare_copy(std::string token) {
  if (token.empty() || token.size() > kTokenLimit || token != printable(token))
    throw Error(Code::invalid_argument, "this cannot be the token of a copy");
  if (copying_) throw Error(Code::wrong_state, "the machine is ready to be copied already");
  copying_ = true;
  std::exception_ptr failure;
  try {
    co_await fall_silent(std::move(token));
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  Cgroup(cgroup_folder()).thaw();
  go_on();
  std::rethrow_exception(failure);
}

/// What the containers have written leaves, so that it is the original's alone; then nothing leaves any more.
Task<> Tether::fall_silent(std::string token) {
  const auto deadline = std::chrono::steady_clock::now() + kPrepareLimit;
  Cgroup(cgroup_folder()).freeze();
  co_await wait_frozen(executor_, cgroup_folder(), kPrepareLimit);
  while (reporting_ && copying_) {
    if (!co_await report_changed_.wait_until(deadline))
      throw Error(Code::timeout, "a report was not acknowledged");
  }
  const auto is_read = [](const auto& entry) {
    return !entry.second.session || entry.second.session->output_is_read();
  };
  while (copying_ && !(std::all_of(sessions_.begin(), sessions_.end(), is_read) && output_.all_written())) {
    if (!co_await output_.wait_written(deadline))
      throw Error(Code::timeout, "the containers' output was not taken");
  }
  if (!copying_) throw Error(Code::conflict, "the containers go on");
  // A record must not be cut short, so this is not cancelled.
  const auto written = std::make_shared<bool>(false);
  spawn_detached(executor_, "mark", write_mark(output_, std::move(token), written));
  while (!*written) {
    if (!co_await output_.wait_written(deadline)) throw Error(Code::timeout, "the mark was not taken");
  }
  if (!copying_) throw Error(Code::conflict, "the containers go on");
}

void Tether::go_on() {
  copying_ = false;
  if (std::exchange(is_new_copy_, false) && fork_server_) fork_server_->give_up();
  output_.release();
  report_changed_.notify_all();
}

Task<> Tether::become(std::string old_id, std::string new_id) {
  if (!copying_) throw Error(Code::wrong_state, "the machine is not the copy of another");
  require_session_id(new_id);
  if (!config_.sessions.contains(old_id)) throw Error(Code::not_found, "there is no container {}", old_id);
  if (sessions_.contains(new_id)) throw Error(Code::already_exists, "there is a session {} already", new_id);
  // Whoever the other machine talks to hears nothing of this: a copy has a network of its own.
  network_.leave_as_copy();
  network_jobs_.invalidate();
  os::reset_connections(modules_);
  rename_container(old_id, new_id);
  fork_request_ = {};
  config_.fork_request = {};
  // The next configuration may be everything or what has changed; what the host is told, it is told anew.
  pairs_ = extraconfig::filter(extraconfig::encode(config_), extraconfig::kGuestScopes);
  reported_.clear();
  for (const auto& [id, entry] : sessions_) {
    if (!entry.session) continue;
    entry.session->hold_output(false);
    if (entry.session->uses_output_port())
      output_.put_first(
          link::encode_output_header(link::OutputKind::open, entry.number, clock_.now(), id.size()) + id);
  }
  if (fork_server_) fork_server_->note_copy();
  is_new_copy_ = true;
  co_await extensions_.become_copy();
}

/// Its cgroup keeps its name: the kernel renames none.
void Tether::rename_container(const std::string& old_id, const std::string& new_id) {
  auto configured = config_.sessions.extract(old_id);
  configured.key() = new_id;
  configured.mapped().common.id = new_id;
  config_.sessions.insert(std::move(configured));
  for (auto& [id, exec] : config_.execs) {
    if (exec.container == old_id) exec.container = new_id;
  }
  if (inactive_.erase(old_id) > 0) inactive_.insert(new_id);
  auto known = sessions_.extract(old_id);
  if (known.empty()) return;
  known.key() = new_id;
  Entry& entry = sessions_.insert(std::move(known)).position->second;
  if (entry.session) entry.session->rename(new_id);
  if (!entry.restarts.waiting()) return;
  entry.restart_ticket = ++restart_tickets_;
  spawn_detached(executor_, "restart of " + new_id,
                 restart_later(new_id, entry.restart_ticket, Milliseconds(0)));
}

void Tether::apply_hostname() {
  const std::string hostname = full_hostname(config_);
  if (hostname == applied_hostname_) return;
  check(::sethostname(hostname.data(), hostname.size()), "set the host name");
  for (const auto& [id, configured] : config_.sessions) {
    const auto known = sessions_.find(id);
    if (known != sessions_.end() && known->second.session && known->second.session->pidfd() >= 0)
      set_hostname_of(known->second.session->pidfd(), hostname);
  }
  applied_hostname_ = hostname;
}

/// The socket stays when nothing may be asked for any more; it says so.
void Tether::apply_forks() {
  std::int64_t limit = 0;
  for (const auto& [id, session] : config_.sessions) limit = std::max(limit, session.fork_limit);
  if (limit == 0 && !fork_server_) return;
  if (!fork_server_) {
    const auto server = std::make_shared<ForkServer>(executor_, [this](std::int64_t count) {
      if (count > 0) ++fork_request_.sequence;
      fork_request_.count = count;
      config_.fork_request = fork_request_;
      report_soon();
    });
    server->listen(kForkSocket);
    root_.bind_file(kForkSocket, kForkSocket);
    fork_server_ = server;
  }
  fork_server_->set_limit(limit);
}

void Tether::answer_fork(std::string line) {
  if (!fork_server_) throw Error(Code::wrong_state, "no process waits for a fork");
  fork_server_->answer(std::move(line));
}

}  // namespace berth::tether
