#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth::cli {

using Arguments = std::vector<std::string>;

/// What a command line may be: declared first, then parsed once. Flags combine ("-it"), values follow as
/// "--name V",
/// "--name=V", "-nV" or "-n V", the last of several wins, and "--" ends the flags, as with Docker.
class Parser {
 public:
  /// `synopsis` is what follows the name: "[OPTIONS] IMAGE [COMMAND] [ARG...]".
  Parser(std::string name, std::string synopsis, std::string summary);
  ~Parser();
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  /// `names` as "-t,--tty". Targets must outlive parse().
  Parser& flag(const std::string& names, bool& target, std::string help);
  Parser& value(const std::string& names, std::string type, std::string& target, std::string help);
  Parser& value(const std::string& names, std::string type, std::optional<std::string>& target,
                std::string help);
  /// May be given many times.
  Parser& list(const std::string& names, std::string type, std::vector<std::string>& target,
               std::string help);

  /// What is not a flag goes here; fewer or more than these are usage errors.
  Parser& positionals(std::vector<std::string>& target, std::size_t least,
                      std::size_t most = std::numeric_limits<std::size_t>::max());
  /// Flags end at the first positional: what follows belongs to the container's command.
  Parser& flags_end_at_positional();
  Parser& example(std::string line);
  /// Text at the end of the help.
  Parser& epilogue(std::string text);

  /// Nothing when the command shall run, else the exit status: 0 after --help, which goes to standard output,
  /// and `usage_status` for a command line that cannot be, which standard error explains.
  std::optional<int> parse(const Arguments& arguments, int usage_status);

  std::string help() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::cli
