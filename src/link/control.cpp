#include "link/control.hpp"

#include <utility>

#include "base/log.hpp"
#include "link/wire.hpp"

namespace berth::link {
namespace {

constexpr std::string_view kErrorCode = "error/code";
constexpr std::string_view kErrorMessage = "error/message";

/// What may wait to be written. A peer that does not read its acknowledgements loses the connection.
constexpr std::size_t kOutgoingLimit = 2 * kDocumentLimit;
constexpr std::size_t kHandlersAtOnce = 64;

bool is_kind(std::uint8_t value) {
  return value >= static_cast<std::uint8_t>(DocumentKind::hello) &&
         value <= static_cast<std::uint8_t>(DocumentKind::ack);
}

Document ack_of(std::uint64_t sequence, extraconfig::Pairs reply) {
  Document ack;
  ack.kind = DocumentKind::ack;
  ack.sequence = sequence;
  ack.keys.changed = std::move(reply);
  return ack;
}

extraconfig::Pairs error_reply(const Error& error) {
  return {{std::string(kErrorCode), std::string(to_string(error.code()))},
          {std::string(kErrorMessage), error.what()}};
}

void throw_error_in(const extraconfig::Pairs& reply) {
  const auto code = reply.find(kErrorCode);
  if (code == reply.end()) return;
  const auto message = reply.find(kErrorMessage);
  throw Error(code_from_string(code->second),
              message != reply.end() ? message->second : std::string("no reason given"));
}

}  // namespace

std::string encode_document(const Document& document) {
  wire::Writer writer;
  writer.u32(0);
  writer.u8(static_cast<std::uint8_t>(document.kind));
  writer.u64(document.sequence);
  writer.u32(static_cast<std::uint32_t>(document.keys.changed.size()));
  for (const auto& [key, value] : document.keys.changed) {
    writer.text(key);
    writer.text(value);
  }
  writer.u32(static_cast<std::uint32_t>(document.keys.removed.size()));
  for (const std::string& key : document.keys.removed) writer.text(key);
  std::string bytes = std::move(writer).take();
  const std::size_t size = bytes.size() - sizeof(std::uint32_t);
  if (size > kDocumentLimit) {
    throw Error(Code::capacity, "the configuration is too large for the control port: {} of at most {} bytes",
                size, kDocumentLimit);
  }
  wire::put_u32(bytes.data(), static_cast<std::uint32_t>(size));
  return bytes;
}

Document decode_document(std::string_view bytes) {
  wire::Reader reader(bytes, "control document");
  Document document;
  const std::uint8_t kind = reader.u8();
  if (!is_kind(kind)) throw Error(Code::corrupt, "control document of unknown kind {}", kind);
  document.kind = static_cast<DocumentKind>(kind);
  document.sequence = reader.u64();
  const std::uint32_t changed = reader.u32();
  for (std::uint32_t i = 0; i < changed; ++i) {
    std::string key = reader.text();
    document.keys.changed.insert_or_assign(std::move(key), reader.text());
  }
  const std::uint32_t removed = reader.u32();
  for (std::uint32_t i = 0; i < removed; ++i) document.keys.removed.push_back(reader.text());
  reader.expect_end();
  return document;
}

struct ControlChannel::State : std::enable_shared_from_this<State> {
  State(const asio::any_io_executor& executor, UniqueFd port)
      : stream(executor, std::move(port)), acknowledged(executor), handler_done(executor) {}

  void write(const Document& document);
  Task<> flush();
  Task<> handle(Document document);
  void end();

  Stream stream;
  Handler handler;
  std::uint64_t next_sequence = 1;
  std::map<std::uint64_t, std::optional<extraconfig::Pairs>> pending;  // sent, and the ack once it came
  Event acknowledged;
  Event handler_done;
  std::size_t handlers = 0;
  std::string outgoing;
  bool writing = false;
  bool ended = false;
};

void ControlChannel::State::write(const Document& document) {
  if (ended) throw Error(Code::unavailable, "the control port is closed");
  const std::string bytes = encode_document(document);
  if (outgoing.size() + bytes.size() > kOutgoingLimit) {
    end();
    throw Error(Code::unavailable, "the other end of the control port does not read");
  }
  outgoing += bytes;
  if (writing) return;
  writing = true;
  spawn_detached(acknowledged.executor(), "control port",
                 [](std::shared_ptr<State> self) -> Task<> { co_await self->flush(); }(shared_from_this()));
}

Task<> ControlChannel::State::flush() {
  try {
    while (!outgoing.empty() && !ended) {
      const std::string batch = std::exchange(outgoing, {});
      co_await stream.write_all(batch);
    }
  } catch (const std::exception&) {
    end();
  }
  writing = false;
}

void ControlChannel::State::end() {
  ended = true;
  stream.close();
  acknowledged.notify_all();
  handler_done.notify_all();
}

Task<> ControlChannel::State::handle(Document document) {
  const std::uint64_t sequence = document.sequence;
  extraconfig::Pairs reply;
  try {
    reply = co_await handler(std::move(document));
  } catch (const Error& error) {
    reply = error_reply(error);
  } catch (const std::exception& error) {
    reply = error_reply(Error(Code::internal, error.what()));
  }
  --handlers;
  handler_done.notify_all();
  if (!ended) write(ack_of(sequence, std::move(reply)));
}

ControlChannel::ControlChannel(const asio::any_io_executor& executor, UniqueFd port)
    : state_(std::make_shared<State>(executor, std::move(port))) {}

ControlChannel::~ControlChannel() {
  close();
}

void ControlChannel::close() {
  if (!state_->ended) state_->end();
}

namespace {

Task<std::optional<Document>> read_document(Stream& stream) {
  char header[sizeof(std::uint32_t)];
  const std::size_t first = co_await stream.read_some(header, sizeof header);
  if (first == 0) co_return std::nullopt;
  co_await stream.read_exactly(header + first, sizeof header - first);
  const std::uint32_t size = wire::get_u32(header);
  if (size > kDocumentLimit) throw Error(Code::corrupt, "control document of {} bytes", size);
  std::string bytes(size, '\0');
  co_await stream.read_exactly(bytes.data(), bytes.size());
  co_return decode_document(bytes);
}

}  // namespace

Task<> ControlChannel::serve(Handler handler) {
  const std::shared_ptr<State> state = state_;
  state->handler = std::move(handler);
  try {
    while (std::optional<Document> document = co_await read_document(state->stream)) {
      if (document->kind == DocumentKind::ack) {
        const auto waiting = state->pending.find(document->sequence);
        if (waiting != state->pending.end()) waiting->second = std::move(document->keys.changed);
        state->acknowledged.notify_all();
        continue;
      }
      while (state->handlers >= kHandlersAtOnce) co_await state->handler_done.wait();
      ++state->handlers;
      spawn_detached(state->acknowledged.executor(), "control port",
                     [](std::shared_ptr<State> self, Document taken) -> Task<> {
                       co_await self->handle(std::move(taken));
                     }(state, std::move(*document)));
    }
  } catch (...) {
    state->end();
    throw;
  }
  state->end();
}

Task<extraconfig::Pairs> ControlChannel::send(DocumentKind kind, extraconfig::Difference keys,
                                              Milliseconds limit) {
  const std::shared_ptr<State> state = state_;
  const std::uint64_t sequence = state->next_sequence++;
  state->write(Document{kind, sequence, std::move(keys)});
  const auto waiting = state->pending.emplace(sequence, std::nullopt).first;
  const std::unique_ptr<State, std::function<void(State*)>> forget(
      state.get(), [sequence](State* owner) { owner->pending.erase(sequence); });
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!waiting->second && !state->ended) {
    if (!co_await state->acknowledged.wait_until(deadline)) break;
  }
  const std::optional<extraconfig::Pairs> reply = std::move(waiting->second);
  if (!reply) {
    if (state->ended) throw Error(Code::unavailable, "the control port closed before the answer");
    throw Error(Code::timeout, "no answer on the control port within {} ms", limit.count());
  }
  throw_error_in(*reply);
  co_return *reply;
}

}  // namespace berth::link
