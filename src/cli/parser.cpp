#include "cli/parser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include <CLI/CLI.hpp>

#include "base/text.hpp"

namespace berth::cli {
namespace {

/// CLI11 takes the next argument for "--name=". Marked so, the value is not empty to it.
constexpr char kEmptyValue = '\x1f';

std::string mark_empty_value(const std::string& argument) {
  const bool empty_value = argument.starts_with("--") && argument.size() > 3 && argument.ends_with('=') &&
                           std::count(argument.begin(), argument.end(), '=') == 1;
  return empty_value ? argument + kEmptyValue : argument;
}

std::string unmark_empty_value(std::string argument) {
  if (argument.ends_with(kEmptyValue)) argument.pop_back();
  return argument;
}

bool looks_like_flag(std::string_view argument) {
  return argument.size() > 1 && argument.front() == '-';
}

struct Described {
  std::string names;
  std::string help;
};

/// "-t,--tty" as "-t, --tty"; long names stand below each other.
std::string show_names(const std::string& names, const std::string& type) {
  std::string shown = join(split(names, ','), ", ");
  if (names.starts_with("--")) shown = "    " + shown;
  return type.empty() ? shown : shown + " " + type;
}

}  // namespace

struct Parser::State {
  std::string name;
  std::string synopsis;
  std::string summary;
  std::string example;
  std::string epilogue;
  CLI::App app;
  std::vector<Described> options;
  std::vector<std::string>* positionals = nullptr;
  std::size_t least = 0;
  std::size_t most = 0;
  bool prefix = false;
  bool help = false;

  CLI::Option* add(const std::string& names, const std::string& type, std::string text,
                   CLI::callback_t store) {
    options.push_back({show_names(names, type), std::move(text)});
    return app.add_option(names, std::move(store));
  }
  int usage_error(std::string_view message, int status) const;
  /// Sorts what CLI11 left over; a message for what it cannot be.
  std::optional<std::string> take_positionals(const std::vector<std::string>& rest) const;
};

int Parser::State::usage_error(std::string_view message, int status) const {
  const std::string line = fmt::format("berth: {}\nSee '{} --help'.\n", printable(message), name);
  std::fwrite(line.data(), 1, line.size(), stderr);
  return status;
}

std::optional<std::string> Parser::State::take_positionals(const std::vector<std::string>& rest) const {
  bool flags = true;
  std::vector<std::string> found;
  for (const std::string& argument : rest) {
    if (flags && argument == "--") {
      flags = false;
    } else if (flags && looks_like_flag(argument)) {
      return fmt::format("unknown flag: {}", unmark_empty_value(argument));
    } else {
      found.push_back(unmark_empty_value(argument));
      if (prefix) flags = false;
    }
  }
  if (found.size() < least) {
    return fmt::format("'{}' needs {}{} argument{}", name, least == most ? "" : "at least ", least,
                       least == 1 ? "" : "s");
  }
  if (found.size() > most) {
    return most == 0 ? fmt::format("'{}' takes no arguments", name)
                     : fmt::format("'{}' takes {}{} argument{}", name, least == most ? "" : "at most ", most,
                                   most == 1 ? "" : "s");
  }
  if (positionals != nullptr) *positionals = std::move(found);
  return std::nullopt;
}

Parser::Parser(std::string name, std::string synopsis, std::string summary)
    : state_(std::make_unique<State>()) {
  state_->name = std::move(name);
  state_->synopsis = std::move(synopsis);
  state_->summary = std::move(summary);
  state_->app.set_help_flag();
  state_->app.allow_extras();
}

Parser::~Parser() = default;

Parser& Parser::flag(const std::string& names, bool& target, std::string help) {
  state_->options.push_back({show_names(names, {}), std::move(help)});
  state_->app.add_flag(names, target)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  return *this;
}

Parser& Parser::value(const std::string& names, std::string type, std::string& target, std::string help) {
  state_
      ->add(names, type, std::move(help),
            [&target](const CLI::results_t& results) {
              target = unmark_empty_value(results.back());
              return true;
            })
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  return *this;
}

Parser& Parser::value(const std::string& names, std::string type, std::optional<std::string>& target,
                      std::string help) {
  state_
      ->add(names, type, std::move(help),
            [&target](const CLI::results_t& results) {
              target = unmark_empty_value(results.back());
              return true;
            })
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  return *this;
}

Parser& Parser::list(const std::string& names, std::string type, std::vector<std::string>& target,
                     std::string help) {
  CLI::Option* option = state_->add(names, type, std::move(help), [&target](const CLI::results_t& results) {
    for (const std::string& result : results) target.push_back(unmark_empty_value(result));
    return true;
  });
  option->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args(false);
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  return *this;
}

Parser& Parser::positionals(std::vector<std::string>& target, std::size_t least, std::size_t most) {
  state_->positionals = &target;
  state_->least = least;
  state_->most = most;
  return *this;
}

Parser& Parser::flags_end_at_positional() {
  state_->prefix = true;
  state_->app.prefix_command();
  return *this;
}

Parser& Parser::example(std::string line) {
  state_->example += "  " + std::move(line) + "\n";
  return *this;
}

Parser& Parser::epilogue(std::string text) {
  state_->epilogue = std::move(text);
  return *this;
}

std::optional<int> Parser::parse(const Arguments& arguments, int usage_status) {
  flag("--help", state_->help, "Show this help");
  std::vector<std::string> reversed;
  for (auto argument = arguments.rbegin(); argument != arguments.rend(); ++argument) {
    reversed.push_back(mark_empty_value(*argument));
  }
  try {
    state_->app.parse(reversed);
  } catch (const CLI::ArgumentMismatch&) {
    // Every option takes one value, so only the last argument can miss its own.
    return state_->usage_error(fmt::format("flag needs an argument: {}", arguments.back()), usage_status);
  } catch (const CLI::ParseError& error) {
    return state_->usage_error(error.what(), usage_status);
  }
  if (state_->help) {
    const std::string text = help();
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
  }
  if (const auto problem = state_->take_positionals(state_->app.remaining())) {
    return state_->usage_error(*problem, usage_status);
  }
  return std::nullopt;
}

std::string Parser::help() const {
  std::string text = fmt::format("Usage: {} {}\n\n{}\n", state_->name, state_->synopsis, state_->summary);
  std::size_t width = 0;
  for (const Described& option : state_->options) width = std::max(width, option.names.size());
  text += "\nOptions:\n";
  for (const Described& option : state_->options) {
    text += fmt::format("  {:<{}}  {}\n", option.names, width, option.help);
  }
  if (!state_->example.empty()) text += "\nExample:\n" + state_->example;
  if (!state_->epilogue.empty()) text += "\n" + state_->epilogue;
  return text;
}

}  // namespace berth::cli
