#include "tether/session/process_plan.hpp"

#include <cstring>
#include <string_view>

#include "base/error.hpp"

namespace berth::tether {
namespace {

/// Appends values, each text with its length before it.
class Writer {
 public:
  void operator()(std::uint64_t value) { bytes.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void operator()(const std::string& text) {
    (*this)(text.size());
    bytes.append(text);
  }
  template <typename T>
  void operator()(const std::vector<T>& values) {
    (*this)(values.size());
    for (const T& value : values) (*this)(value);
  }
  void operator()(const ResourceLimit& limit) {
    (*this)(static_cast<std::uint64_t>(limit.resource));
    (*this)(limit.soft);
    (*this)(limit.hard);
    (*this)(limit.name);
  }

  std::string bytes;
};

/// Reads what a Writer wrote.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <typename Integer>
  requires std::is_integral_v<Integer>
  void operator()(Integer& value) {
    std::uint64_t wide = 0;
    std::memcpy(&wide, take(sizeof wide).data(), sizeof wide);
    value = static_cast<Integer>(wide);
  }
  void operator()(std::string& text) { text = take(size()); }
  template <typename T>
  void operator()(std::vector<T>& values) {
    values.resize(size());
    for (T& value : values) (*this)(value);
  }
  void operator()(ResourceLimit& limit) {
    (*this)(limit.resource);
    (*this)(limit.soft);
    (*this)(limit.hard);
    (*this)(limit.name);
  }
  bool at_end() const { return bytes_.empty(); }

 private:
  /// Of what follows; each takes at least a byte.
  std::size_t size() {
    std::size_t size = 0;
    (*this)(size);
    if (size > bytes_.size()) throw cut_short();
    return size;
  }
  std::string_view take(std::size_t size) {
    if (size > bytes_.size()) throw cut_short();
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  static Error cut_short() { return Error(Code::corrupt, "the plan of a process is cut short"); }

  std::string_view bytes_;
};

/// The members in their order, for either; the settings of the container are the receiver's own.
template <typename Plan, typename Visitor>
void visit(Plan& plan, Visitor& each) {
  each(plan.program);
  each(plan.arguments);
  each(plan.sftp_server);
  each(plan.environment);
  each(plan.directory);
  each(plan.user);
  each(plan.group);
  each(plan.hostname);
  each(plan.terminal);
  each(plan.window.columns);
  each(plan.window.rows);
  each(plan.standard_input);
  each(plan.capabilities);
  each(plan.no_new_privileges);
  each(plan.seccomp);
  each(plan.further_groups);
  each(plan.limits);
  each(plan.oom_score_adj);
  each(plan.read_only_root);
  each(plan.init);
  each(plan.wait_for_go);
}

}  // namespace

std::string encode_plan(const ProcessPlan& plan) {
  Writer writer;
  visit(plan, writer);
  writer(plan.shell_command ? std::vector<std::string>{*plan.shell_command} : std::vector<std::string>());
  return std::move(writer.bytes);
}

ProcessPlan decode_plan(std::string_view bytes) {
  Reader reader(bytes);
  ProcessPlan plan;
  visit(plan, reader);
  std::vector<std::string> shell_command;
  reader(shell_command);
  if (!shell_command.empty()) plan.shell_command = shell_command.front();
  if (!reader.at_end()) throw Error(Code::corrupt, "the plan of a process is too long");
  return plan;
}

}  // namespace berth::tether
