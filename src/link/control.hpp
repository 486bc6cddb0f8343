#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/async.hpp"
#include "base/error.hpp"
#include "extraconfig/pairs.hpp"

namespace berth::link {

/// What a control document is; the byte-level format is in docs/control.md.
enum class DocumentKind : std::uint8_t {
  hello = 1,   ///< guest to host, once: the tether is up (keys of link::Hello)
  config = 2,  ///< host to guest: changed and removed guest-visible keys of the record
  order = 3,   ///< host to guest: something to do now (keys of link::Order)
  report = 4,  ///< guest to host: changed keys the guest may write
  ack = 5,     ///< either way: the answer to one document
};

struct Document {
  DocumentKind kind = DocumentKind::hello;
  std::uint64_t sequence = 0;
  extraconfig::Difference keys;
};

/// Largest document on the wire, in bytes, without the length in front.
inline constexpr std::size_t kDocumentLimit = 4u << 20;

/// The document with its length in front.
std::string encode_document(const Document& document);
/// The reverse, without the length. Throws Code::corrupt for anything but exactly one whole document.
Document decode_document(std::string_view bytes);

/// One end of the control port. Documents are handled in the order they came; each is acknowledged with what
/// its handler returned, or with the Error it threw.
class ControlChannel {
 public:
  /// Gets every document but acks; what it returns goes back with the ack. Runs as a coroutine of its own,
  /// so a slow one delays nothing else; what must be in order has to be done before its first suspension.
  using Handler = std::function<Task<extraconfig::Pairs>(Document)>;

  ControlChannel(const asio::any_io_executor& executor, UniqueFd port);
  ~ControlChannel();

  /// Serves until the other end closes or breaks the format (then throws); ends every pending send.
  Task<> serve(Handler handler);

  /// Sends one document and waits for its ack. An Error of the other end's handler is thrown here with its
  /// code.
  Task<extraconfig::Pairs> send(DocumentKind kind, extraconfig::Difference keys, Milliseconds limit);

  void close();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::link
