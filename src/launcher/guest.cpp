#include "launcher/guest.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "extraconfig/codec.hpp"

namespace berth::launcher {
namespace {

constexpr Milliseconds kResetLimit{10'000};
constexpr std::size_t kReadSize = 256u << 10;

}  // namespace

struct Guest::State : std::enable_shared_from_this<State> {
  State(const asio::any_io_executor& executor, hypervisor::Machine& machine, Callbacks given)
      : callbacks(std::move(given)),
        control(executor, machine.take_port(hypervisor::Port::control)),
        output(executor, machine.take_port(hypervisor::Port::output)),
        changed(executor) {}

  extraconfig::Pairs handle(link::Document document);
  Task<> serve_control();
  Task<> read_output();
  Task<extraconfig::Pairs> order(link::Order order, Milliseconds limit);
  static Task<> reset_attach(std::weak_ptr<State> guest, std::string token);
  void broke(const Error& error);
  Task<> wait_released();

  Callbacks callbacks;
  link::ControlChannel control;
  Stream output;
  std::shared_ptr<link::AttachPort> attach;
  Event changed;
  std::optional<link::Hello> hello;
  std::optional<Error> broken;
  bool closed = false;
  bool held = false;
  std::size_t asked = 0;
};

extraconfig::Pairs Guest::State::handle(link::Document document) {
  switch (document.kind) {
    case link::DocumentKind::hello: {
      link::Hello said;
      extraconfig::decode(document.keys.changed, said);
      link::check_version(said);
      hello = std::move(said);
      changed.notify_all();
      return {};
    }
    case link::DocumentKind::report:
      try {
        std::erase_if(document.keys.changed,
                      [](const auto& pair) { return !extraconfig::guest_writable(pair.first); });
        std::erase_if(document.keys.removed,
                      [](const std::string& key) { return !extraconfig::guest_writable(key); });
        callbacks.on_report(document.keys);
      } catch (const std::exception& error) {
        log::warning("a report of the guest was refused: {}", error.what());
        throw;
      }
      return {};
    default:
      throw Error(Code::unsupported, "a guest cannot send this kind of document");
  }
}

Task<> Guest::State::serve_control() {
  const auto self = shared_from_this();
  // As temporaries in the await they would be destroyed twice by g++ 12.
  link::ControlChannel::Handler handler = [self](link::Document document) -> Task<extraconfig::Pairs> {
    co_return self->handle(std::move(document));
  };
  try {
    co_await control.serve(std::move(handler));
    broke(Error(Code::unavailable, "the control port closed"));
  } catch (const Error& error) {
    broke(error);
  }
}

Task<> Guest::State::read_output() {
  const auto self = shared_from_this();
  link::OutputParser parser;
  std::string buffer(kReadSize, '\0');
  try {
    while (const std::size_t n = co_await output.read_some(buffer.data(), buffer.size())) {
      parser.feed(std::string_view(buffer).substr(0, n), [this](link::OutputRecord&& record) {
        if (!closed) callbacks.on_output(std::move(record));
      });
    }
  } catch (const Error& error) {
    if (!closed) broke(error);
  }
}

Task<extraconfig::Pairs> Guest::State::order(link::Order order, Milliseconds limit) {
  extraconfig::Difference keys;
  keys.changed = extraconfig::encode(order);
  co_return co_await control.send(link::DocumentKind::order, std::move(keys), limit);
}

Task<> Guest::State::reset_attach(std::weak_ptr<State> guest, std::string token) {
  const auto state = guest.lock();
  if (!state) throw Error(Code::unavailable, "the machine of this container has ended");
  link::Order order;
  order.verb = link::verb::reset_attach;
  order.token = std::move(token);
  co_await state->order(std::move(order), kResetLimit);
}

Task<> Guest::State::wait_released() {
  while (held && !closed) co_await changed.wait();
  if (closed) throw Error(Code::unavailable, "the machine of this container has ended");
}

void Guest::State::broke(const Error& error) {
  if (closed || broken) return;
  broken = error;
  changed.notify_all();
  callbacks.on_broken(error);
}

Guest::Guest(const asio::any_io_executor& executor, hypervisor::Machine& machine, Callbacks callbacks)
    : state_(std::make_shared<State>(executor, machine, std::move(callbacks))) {
  link::AttachPort::Keys keys{keys_.client.private_key, keys_.host.public_key};
  link::AttachPort::Reset reset = [state = std::weak_ptr(state_)](std::string token) {
    return State::reset_attach(state, std::move(token));
  };
  state_->attach = std::make_shared<link::AttachPort>(executor, machine.take_port(hypervisor::Port::attach),
                                                      std::move(keys), std::move(reset));
  spawn_detached(executor, "control port",
                 [](std::shared_ptr<State> state) -> Task<> { co_await state->serve_control(); }(state_));
  spawn_detached(executor, "output port",
                 [](std::shared_ptr<State> state) -> Task<> { co_await state->read_output(); }(state_));
}

Guest::~Guest() {
  close();
}

void Guest::take_over_attach() {
  state_->attach->take_over();
}

void Guest::close() {
  state_->closed = true;
  state_->control.close();
  state_->output.close();
  state_->attach->close();
  state_->changed.notify_all();
}

Task<link::Hello> Guest::wait_hello(Milliseconds limit) {
  const auto state = state_;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!state->hello) {
    if (state->broken) throw *state->broken;
    if (!co_await state->changed.wait_until(deadline)) {
      throw Error(Code::timeout, "the virtual machine did not answer within {} seconds of its start",
                  std::chrono::duration_cast<std::chrono::seconds>(limit).count());
    }
  }
  co_return *state->hello;
}

bool Guest::broken() const {
  return state_->broken.has_value();
}

Task<> Guest::configure(extraconfig::Difference keys, Milliseconds limit) {
  const auto state = state_;
  co_await state->wait_released();
  const Counted asking(state->asked, state->changed);
  co_await state->control.send(link::DocumentKind::config, std::move(keys), limit);
}

Task<extraconfig::Pairs> Guest::order(link::Order order, Milliseconds limit) {
  const auto state = state_;
  co_await state->wait_released();
  const Counted asking(state->asked, state->changed);
  co_return co_await state->order(std::move(order), limit);
}

Task<extraconfig::Pairs> Guest::order_held(link::Order order, Milliseconds limit) {
  const auto state = state_;
  co_return co_await state->order(std::move(order), limit);
}

Task<> Guest::hold(Milliseconds limit) {
  const auto state = state_;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  co_await state->wait_released();
  state->held = true;
  while (state->asked > 0 && !state->closed) {
    if (co_await state->changed.wait_until(deadline)) continue;
    release();
    throw Error(Code::timeout, "the guest is still busy with what it was told before: try again");
  }
}

void Guest::release() {
  state_->held = false;
  state_->changed.notify_all();
}

std::shared_ptr<const Counted> Guest::asking() {
  return {new Counted(state_->asked, state_->changed),
          [state = state_](const Counted* counted) { delete counted; }};
}

Task<std::unique_ptr<link::ssh::Channel>> Guest::open_channel(link::ssh::Request request) {
  const auto state = state_;
  co_await state->wait_released();
  const Counted asking(state->asked, state->changed);
  co_return co_await state->attach->open(std::move(request));
}

Task<std::unique_ptr<link::ssh::Channel>> Guest::forward(link::ssh::ForwardTarget target) {
  const auto state = state_;
  co_await state->wait_released();
  const Counted asking(state->asked, state->changed);
  co_return co_await state->attach->forward(std::move(target));
}

}  // namespace berth::launcher
