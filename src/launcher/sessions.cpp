#include <algorithm>
#include <deque>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/signals.hpp"
#include "launcher/launcher.hpp"
#include "launcher/machine_plan.hpp"
#include "link/wire.hpp"

/// The launcher's clients: of the container's main session, and of execs.
namespace berth::launcher {
namespace {

constexpr Milliseconds kOrderLimit{10'000};
constexpr Milliseconds kExecResultLimit{30'000};
constexpr std::size_t kCopySize = 64u << 10;
/// SSH limits nothing here; the guest is small.
constexpr std::size_t kExecsAtOnce = 128;

link::ssh::Request channel_request(const std::string& session, const std::string& streams) {
  link::ssh::Request request;
  request.environment.emplace(link::ssh::kAttachSession, session);
  request.environment.emplace(link::ssh::kAttachStreams, streams);
  request.subsystem = link::ssh::kAttachSubsystem;
  return request;
}

}  // namespace

/// What the log has now: all that the clients of the main session were sent.
void Launcher::send_tail(Subscriber& client, std::uint64_t lines) const {
  std::deque<LogEntry> recent;
  std::size_t size = 0;
  try {
    LogReader(settings_.paths.pod(pod_.id()), {.tail = lines}).read([&](const LogEntry& entry) {
      size += entry.bytes.size();
      recent.push_back(entry);
      for (; size > kTailLimit; recent.pop_front()) size -= recent.front().bytes.size();
    });
  } catch (const Error& error) {
    log::warning("the end of the log for a client: {}", error.what());
  }
  for (const LogEntry& entry : recent) {
    client.send_output(
        entry.stream == LogStream::standard_output ? FrameKind::standard_output : FrameKind::standard_error,
        entry.bytes);
  }
}

Task<> Launcher::attach(std::shared_ptr<Subscriber> client, AttachRequest request) {
  if (exit_) {
    co_await wait_end();
    client->finish(encode_exit(*exit_));
  } else if (restarting_ || paused_) {
    client->finish(encode_error(paused_ ? paused_error() : restarting_error()));
  } else {
    if (started_) client->send(encode_frame(FrameKind::started, {}));
    if (!started_) first_attach_ = request;
    if (request.tail > 0) send_tail(*client, request.tail);
    clients_.push_back(client);
    spawn_detached(executor_, "client",
                   [](Launcher* self, std::shared_ptr<Subscriber> to, bool input) -> Task<> {
                     co_await self->forward_input(std::move(to), input);
                   }(this, client, request.with_input));
  }
  co_await client->write_queue();
  clients_.remove(client);
  std::erase_if(leaving_, [&](const auto& leaving) { return leaving.second == client; });
}

/// Reads the client's frames until it goes away or ends its input; its bytes wait for the process to take
/// them.
Task<> Launcher::forward_input(std::shared_ptr<Subscriber> client, bool with_input) {
  std::shared_ptr<link::ssh::Channel> channel;
  try {
    while (std::optional<Frame> frame = co_await client->receive()) {
      const bool is_input = frame->kind == FrameKind::input || frame->kind == FrameKind::end_of_input;
      if (is_input && !with_input) continue;
      if (is_input && !channel) {
        while (!started_ && !exit_) co_await changed_.wait();
        if (exit_) co_return;
        link::ssh::Request request = channel_request(pod_.id(), "stdin");
        channel = co_await guest_->open_channel(std::move(request));
      }
      co_await handle_client_frame(*frame, pod_.id(), channel.get());
    }
    // The client closed its end without a word: it has gone.
    client->close();
  } catch (const std::exception& error) {
    if (!exit_ && !client->done() && !is_cancelled(error))
      log::warning("input of a client: {}", error.what());
  }
}

Task<> Launcher::handle_client_frame(const Frame& frame, std::string session, link::ssh::Channel* channel) {
  link::Order order;
  order.session = std::move(session);
  switch (frame.kind) {
    case FrameKind::input:
      co_await channel->write_all(frame.payload);
      break;
    case FrameKind::end_of_input:
      co_await channel->close_input();
      break;
    case FrameKind::resize:
      if (frame.payload.size() != 4)
        throw Error(Code::corrupt, "a resize frame of {} bytes", frame.payload.size());
      order.verb = link::verb::resize;
      order.columns = link::wire::get<std::uint16_t>(frame.payload.data());
      order.rows = link::wire::get<std::uint16_t>(frame.payload.data() + 2);
      co_await send_to_session(std::move(order));
      break;
    case FrameKind::signal:
      if (frame.payload.size() != 1)
        throw Error(Code::corrupt, "a signal frame of {} bytes", frame.payload.size());
      order.verb = link::verb::signal;
      order.signal = static_cast<unsigned char>(frame.payload.front());
      co_await send_to_session(std::move(order));
      break;
    default:
      throw Error(Code::corrupt, "a client cannot send this kind of frame");
  }
}

Task<> Launcher::send_to_session(link::Order order) {
  while (!started_ && !exit_) co_await changed_.wait();
  if (exit_) co_return;
  const bool is_last =
      order.verb == link::verb::signal && order.session == pod_.id() && ends_restarts(order.signal);
  try {
    if (is_last) {
      co_await unpause_if_paused();
      co_await end_restarts();
    }
    if (restarting_ || keep_for_later(order)) co_return;
    co_await guest_->order(std::move(order), kOrderLimit);
  } catch (const Error& error) {
    log::warning("order for a session: {}", error.what());
  }
}

config::SessionConfig Launcher::exec_session(const ExecRequest& request, const std::string& id,
                                             bool attached) const {
  config::SessionConfig session = config::exec_in(guest_config_.sessions.at(pod_.id()));
  session.common.id = id;
  session.cmd.path = request.command.front();
  session.cmd.args = request.command;
  session.cmd.env.insert(session.cmd.env.end(), request.environment.begin(), request.environment.end());
  if (!request.working_directory.empty()) session.cmd.dir = request.working_directory;
  if (!request.user.empty()) {
    session.user = request.user;
    session.group.clear();
  }
  session.tty = request.tty;
  session.open_stdin = request.open_stdin;
  session.attach = attached;
  session.run_block = attached;
  session.window_columns = request.columns;
  session.window_rows = request.rows;
  return session;
}

Task<std::string> Launcher::add_exec(const ExecRequest& request, bool attached) {
  require_unpaused();
  if (request.command.empty()) throw Error(Code::invalid_argument, "an exec needs a command");
  if (guest_config_.execs.size() >= kExecsAtOnce) {
    throw Error(Code::capacity, "{} commands run in this container already", kExecsAtOnce);
  }
  std::string id = new_id();
  guest_config_.execs.emplace(id, exec_session(request, id, attached));
  std::optional<Error> failure;
  try {
    co_await send_config();
  } catch (const Error& error) {
    failure = error;
  }
  if (failure) {
    co_await forget_exec(id);
    throw *failure;
  }
  co_return id;
}

Task<> Launcher::forget_exec(const std::string& id) {
  guest_config_.execs.erase(id);
  if (exit_) co_return;
  try {
    co_await send_config();
  } catch (const Error& error) {
    log::warning("forget an exec: {}", error.what());
  }
}

Task<std::string> Launcher::exec_detached(ExecRequest request) {
  const std::string id = co_await add_exec(request, false);
  const Exit result = co_await exec_started(id);
  if (!result.error.empty()) {
    co_await forget_exec(id);
    throw Error(result.code == 127 ? Code::not_found : Code::invalid_argument, "{}", result.error);
  }
  spawn_detached(executor_, "exec", [](Launcher* self, std::string exec) -> Task<> {
    while (!self->exit_ && self->guest_config_.execs.contains(exec) &&
           self->guest_config_.execs.at(exec).detail.stop_time == 0) {
      co_await self->changed_.wait();
    }
    co_await self->forget_exec(exec);
  }(this, id));
  co_return id;
}

/// Waits until the guest said whether the exec runs.
Task<Exit> Launcher::exec_started(const std::string& id) {
  const std::shared_ptr<const Counted> asking = guest_->asking();
  const auto deadline = std::chrono::steady_clock::now() + kExecResultLimit;
  while (true) {
    if (exit_) throw Error(Code::wrong_state, "the container ended before the command could start");
    const config::SessionConfig& session = guest_config_.execs.at(id);
    if (session.started == "true") co_return Exit();
    if (!session.started.empty()) {
      Exit exit = exit_of(session);
      exit.error = readable_reason(exit.error);
      co_return exit;
    }
    if (!co_await changed_.wait_until(deadline)) {
      throw Error(Code::timeout, "the guest did not start the command in time");
    }
  }
}

Task<> Launcher::exec(std::shared_ptr<Subscriber> client, ExecRequest request) {
  spawn_detached(executor_, "client",
                 [](std::shared_ptr<Subscriber> to) -> Task<> { co_await to->write_queue(); }(client));
  std::string id;
  try {
    id = co_await add_exec(request, true);
    link::ssh::Request channel_asked = channel_request(id, "stdin,stdout,stderr");
    const std::shared_ptr<link::ssh::Channel> channel =
        co_await guest_->open_channel(std::move(channel_asked));
    spawn_detached(executor_, "client",
                   [](Launcher* self, std::shared_ptr<Subscriber> from,
                      std::shared_ptr<link::ssh::Channel> to, std::string exec) -> Task<> {
                     co_await self->forward_exec_input(std::move(from), std::move(to), std::move(exec));
                   }(this, client, channel, id));
    co_await pump_exec_output(client, channel);
    client->finish(encode_exit(co_await exec_result(id, *channel)));
  } catch (const Error& error) {
    client->finish(
        encode_error(exit_ ? Error(Code::wrong_state, "the container ended while the command ran") : error));
  }
  if (!id.empty()) co_await forget_exec(id);
  co_await client->wait_done();
}

Task<> Launcher::forward_exec_input(std::shared_ptr<Subscriber> client,
                                    std::shared_ptr<link::ssh::Channel> channel, std::string id) {
  try {
    while (std::optional<Frame> frame = co_await client->receive()) {
      co_await handle_client_frame(*frame, id, channel.get());
    }
    co_await channel->send_end();
    client->close();
  } catch (const std::exception& error) {
    if (!exit_ && !client->done() && !channel->closed() && !is_cancelled(error)) {
      log::warning("input of an exec: {}", error.what());
    }
  }
}

Task<> Launcher::pump_exec_output(std::shared_ptr<Subscriber> client,
                                  std::shared_ptr<link::ssh::Channel> channel) {
  client->send(encode_frame(FrameKind::started, {}));
  const auto copy = [client, channel](FrameKind kind, bool error_stream) -> Task<> {
    std::string buffer(kCopySize, '\0');
    while (const std::size_t n = co_await channel->read_some(buffer.data(), buffer.size(), error_stream)) {
      client->send_output(kind, std::string_view(buffer).substr(0, n));
      if (client->overfull()) co_await client->wait_room();
    }
  };
  // Both streams share the channel's window, so both must be read all the time.
  co_await run_both(copy(FrameKind::standard_output, false), copy(FrameKind::standard_error, true));
}

/// What the exec's end was: from the channel when it said so, else from the guest's report.
Task<Exit> Launcher::exec_result(const std::string& id, const link::ssh::Channel& channel) {
  const std::shared_ptr<const Counted> asking = guest_->asking();
  const auto deadline = std::chrono::steady_clock::now() + kExecResultLimit;
  while (true) {
    const config::SessionConfig& session = guest_config_.execs.at(id);
    const bool failed = !session.started.empty() && session.started != "true";
    if (failed || session.detail.stop_time != 0) {
      Exit exit = exit_of(session);
      exit.error = readable_reason(exit.error);
      co_return exit;
    }
    if (channel.exit()) {
      Exit exit;
      exit.signal = channel.exit()->signal.empty() ? 0 : signal_number(channel.exit()->signal).value_or(0);
      exit.code = exit.signal != 0 ? 128 + exit.signal : channel.exit()->code;
      co_return exit;
    }
    if (exit_) throw Error(Code::wrong_state, "the container ended while the command ran");
    if (!co_await changed_.wait_until(deadline)) {
      throw Error(Code::timeout, "the guest did not say how the command ended");
    }
  }
}

}  // namespace berth::launcher
