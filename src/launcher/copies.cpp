#include "base/error.hpp"
#include "base/log.hpp"
#include "launcher/launcher.hpp"
#include "link/archive.hpp"

/// Copies into and out of the container's files, and a machine that runs for nothing else.
namespace berth::launcher {
namespace {

constexpr std::size_t kCopySize = 64u << 10;
/// Each is a process in the guest; the others wait.
constexpr std::size_t kCopiesAtOnce = 32;

Error error_of_guest(std::string_view text) {
  const std::size_t line = text.find('\n');
  if (line == std::string_view::npos)
    return Error(Code::unavailable, "the guest did not say how the copy ended");
  return Error(code_from_string(text.substr(0, line)), "{}", text.substr(line + 1));
}

}  // namespace

Task<> Launcher::serve_files() {
  files_ready_ = true;
  changed_.notify_all();
  while (!exit_ && file_users_ > 0) co_await changed_.wait();
  if (exit_) co_return;
  exit_.emplace();
  changed_.notify_all();
}

Counted Launcher::hold_files() {
  return {file_users_, changed_};
}

void Launcher::require_files() const {
  if (exit_) throw error_of_end();
}

Error Launcher::error_of_end() const {
  if (start_failure_) return *start_failure_;
  return Error(Code::unavailable, "the machine of container {} ends: try again", pod_.name());
}

Task<> Launcher::wait_files() {
  while (!exit_ && !(settings_.files_only ? files_ready_ : started_)) co_await changed_.wait();
  require_files();
  if (paused_) throw paused_error();
}

Task<> Launcher::copy(std::shared_ptr<Subscriber> client, CopyRequest request) {
  spawn_detached(executor_, "client",
                 [](std::shared_ptr<Subscriber> to) -> Task<> { co_await to->write_queue(); }(client));
  const Counted user(file_users_, changed_);
  try {
    co_await wait_files();
    while (!exit_ && copies_ >= kCopiesAtOnce) co_await changed_.wait();
    require_files();
    const Counted copying(copies_, changed_);
    link::archive::Order order{request.verb, pod_.id(), std::move(request.path), request.keep_owners};
    link::ssh::Request asked = link::archive::make_request(order);
    const std::shared_ptr<link::ssh::Channel> channel = co_await guest_->open_channel(std::move(asked));
    spawn_detached(executor_, "client",
                   [](Launcher* self, std::shared_ptr<Subscriber> from,
                      std::shared_ptr<link::ssh::Channel> to) -> Task<> {
                     co_await self->forward_copy_input(std::move(from), std::move(to));
                   }(this, client, channel));
    co_await forward_copy(client, channel, request.verb);
  } catch (const Error& error) {
    client->finish(encode_error(exit_ ? error_of_end() : error));
  }
  co_await client->wait_done();
}

/// The client's bytes to the guest. A client that goes away ends the copy.
Task<> Launcher::forward_copy_input(std::shared_ptr<Subscriber> client,
                                    std::shared_ptr<link::ssh::Channel> channel) {
  try {
    while (std::optional<Frame> frame = co_await client->receive()) {
      if (frame->kind == FrameKind::input) {
        co_await channel->write_all(frame->payload);
      } else if (frame->kind == FrameKind::end_of_input) {
        co_await channel->send_end();
      } else {
        throw Error(Code::corrupt, "a copy takes no such frame");
      }
    }
    client->close();
  } catch (const std::exception& error) {
    if (!exit_ && !client->done() && !channel->closed() && !is_cancelled(error))
      log::warning("input of a copy: {}", error.what());
  }
  if (!client->done()) co_return;
  try {
    co_await channel->close();
  } catch (const Error&) {
    // The connection broke, and the copy with it.
  }
}

/// The guest's bytes to the client, and how it ended.
Task<> Launcher::forward_copy(std::shared_ptr<Subscriber> client, std::shared_ptr<link::ssh::Channel> channel,
                              link::archive::Verb verb) {
  std::string buffer(kCopySize, '\0');
  std::size_t size = 0;
  while (const std::size_t n = co_await channel->read_some(buffer.data(), buffer.size())) {
    size += n;
    if (verb != link::archive::Verb::read && size > link::archive::kAnswerLimit)
      throw Error(Code::corrupt, "the guest answers with more than was asked for");
    client->send_output(FrameKind::standard_output, std::string_view(buffer).substr(0, n));
    if (client->overfull()) co_await client->wait_room();
  }
  std::string said;
  while (said.size() < link::archive::kAnswerLimit) {
    const std::size_t n = co_await channel->read_some(buffer.data(), buffer.size(), true);
    if (n == 0) break;
    said.append(buffer, 0, n);
  }
  said.resize(std::min(said.size(), link::archive::kAnswerLimit));
  while (!channel->exit() && !channel->closed()) co_await channel->wait_change();
  if (!channel->exit() || channel->exit()->code != 0) throw error_of_guest(said);
  client->send_output(FrameKind::standard_error, said);
  client->finish(encode_exit(Exit()));
}

}  // namespace berth::launcher
