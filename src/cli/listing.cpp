#include "cli/listing.hpp"

#include <algorithm>

#include <boost/json.hpp>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::cli {
namespace {

namespace json = boost::json;

using Row = std::vector<std::string>;

std::size_t display_width(std::string_view text) {
  // Continuation bytes of UTF-8 take no place.
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string render_json(const Listing& listing, const Row& row) {
  json::object object;
  for (std::size_t i = 0; i < row.size(); ++i) object[listing.fields[i].name] = row[i];
  return json::serialize(object);
}

std::string default_template(const Listing& listing) {
  std::vector<std::string> columns;
  for (const Listing::Field& field : listing.fields) {
    if (field.in_table) columns.push_back("{{." + field.name + "}}");
  }
  return join(columns, "\t");
}

std::string unescape(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == 't' || text[i + 1] == 'n')) {
      result += text[++i] == 't' ? '\t' : '\n';
    } else {
      result += text[i];
    }
  }
  return result;
}

/// A template cut into literal text and expressions.
class Template {
 public:
  Template(std::string_view text, const Listing& listing) : listing_(listing) {
    while (!text.empty()) {
      const std::size_t open = text.find("{{");
      if (open != 0) parts_.push_back({Part::literal, std::string(text.substr(0, open)), 0});
      if (open == std::string_view::npos) return;
      const std::size_t close = text.find("}}", open);
      if (close == std::string_view::npos)
        throw Error(Code::invalid_argument, "--format: '{{{{' without '}}}}'");
      add_expression(trim(text.substr(open + 2, close - open - 2)));
      text.remove_prefix(close + 2);
    }
  }

  std::string fill(const Row& row) const {
    std::string result;
    for (const Part& part : parts_) {
      if (part.kind == Part::literal) result += part.text;
      if (part.kind == Part::field) result += printable(row[part.index]);
      if (part.kind == Part::object) result += render_json(listing_, row);
    }
    return result;
  }

 private:
  struct Part {
    enum Kind { literal, field, object } kind;
    std::string text;
    std::size_t index;
  };

  void add_expression(std::string_view expression) {
    if (expression == "json .") return parts_.push_back({Part::object, {}, 0});
    Row names;
    for (std::size_t i = 0; i < listing_.fields.size(); ++i) {
      names.push_back("." + listing_.fields[i].name);
      if (expression == names.back()) return parts_.push_back({Part::field, {}, i});
    }
    throw Error(Code::invalid_argument, "--format: no field '{}'; there are {} and json .",
                printable(expression), join(names, ", "));
  }

  const Listing& listing_;
  std::vector<Part> parts_;
};

void indent(const json::value& value, std::size_t depth, std::string& text);

template <typename Range, typename Show>
void indent_members(const Range& range, std::string_view brackets, std::size_t depth, std::string& text,
                    Show show) {
  text += brackets.front();
  bool first = true;
  for (const auto& member : range) {
    if (!first) text += ',';
    first = false;
    text += '\n' + std::string((depth + 1) * 4, ' ');
    show(member);
  }
  if (!first) text += '\n' + std::string(depth * 4, ' ');
  text += brackets.back();
}

void indent(const json::value& value, std::size_t depth, std::string& text) {
  if (const json::array* array = value.if_array()) {
    indent_members(*array, "[]", depth, text,
                   [&](const json::value& item) { indent(item, depth + 1, text); });
  } else if (const json::object* object = value.if_object()) {
    indent_members(*object, "{}", depth, text, [&](const json::key_value_pair& member) {
      text += json::serialize(member.key()) + ": ";
      indent(member.value(), depth + 1, text);
    });
  } else {
    text += json::serialize(value);
  }
}

}  // namespace

std::string render_table(const std::vector<Row>& rows) {
  constexpr std::size_t kLeast = 10;
  constexpr std::size_t kGap = 3;
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), kLeast);
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], display_width(row[i]) + kGap);
  }
  std::string text;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text += std::string(widths[i] - display_width(row[i]), ' ');
    }
    text += '\n';
  }
  return text;
}

std::string render(const Listing& listing, std::string_view format) {
  constexpr std::string_view kTable = "table";
  std::string shape = unescape(format == "json" ? "{{json .}}" : format);
  const bool table = shape.empty() || shape == kTable || shape.starts_with("table ");
  if (table)
    shape = shape.size() > kTable.size() ? std::string(trim(shape.substr(kTable.size())))
                                         : default_template(listing);
  const Template filler(shape, listing);

  std::string text;
  std::vector<Row> cells;
  if (table) {
    Row header;
    for (const Listing::Field& field : listing.fields) header.push_back(field.header);
    cells.push_back(split(filler.fill(header), '\t'));
  }
  for (const Row& row : listing.rows) {
    if (table) {
      cells.push_back(split(filler.fill(row), '\t'));
    } else {
      text += filler.fill(row) + "\n";
    }
  }
  return table ? render_table(cells) : text;
}

std::string indent_json(std::string_view text) {
  json::error_code failure;
  const json::value value = json::parse({text.data(), text.size()}, failure);
  if (failure) throw Error(Code::corrupt, "not JSON: {}", failure.message());
  std::string result;
  indent(value, 0, result);
  return result;
}

}  // namespace berth::cli
