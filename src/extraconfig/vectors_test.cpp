#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <stdexcept>

#include "base/io.hpp"
#include "extraconfig/vector_case_test.hpp"

/// Compares the codec with recorded results of the original: the file named by VECTORS, otherwise the copy
/// beside this test. What the file calls a weakness is not repeated; for each, a rule says what is done
/// instead.
namespace berth::extraconfig::vectors {
namespace {

std::filesystem::path vector_file() {
  const char* named = std::getenv("VECTORS");
  if (named != nullptr) return named;
  return std::filesystem::path(__FILE__).parent_path() / "testdata/extraconfig.json";
}

Ops all_ops() {
  Ops ops;
  add_value_ops(ops);
  add_secret_ops(ops);
  add_table_ops(ops);
  return ops;
}

struct Count {
  std::size_t cases = 0;
  std::size_t rows = 0;
  std::size_t weak = 0;
};

/// An exception ends one comparison only.
template <typename Comparison>
void compare(Comparison comparison) {
  try {
    comparison();
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
}

void run_case(const Case& test, const Ops& ops, Count& count) {
  const std::string op = test.text("op");
  count.weak += test.is_weak() ? 1 : 0;
  if (const auto one = ops.cases.find(op); one != ops.cases.end()) return one->second(test);
  const auto table = ops.rows.find(op);
  if (table == ops.rows.end()) throw std::runtime_error("unknown op " + op);
  for (const json::value& row : test.at("rows").as_array()) {
    SCOPED_TRACE(json::serialize(row));
    ++count.rows;
    compare([&] { table->second(test, row.as_object()); });
  }
}

TEST(Vectors, AgreeWithTheOriginal) {
  json::parse_options options;
  options.max_depth = 1024;  // of types within types
  const json::value file = json::parse(read_file(vector_file()), {}, options);
  ASSERT_EQ(file.at("format").as_int64(), 1);
  Types types(file.at("types").as_object());
  const Ops ops = all_ops();
  Count count;
  for (const json::value& body : file.at("cases").as_array()) {
    SCOPED_TRACE(json::serialize(body.at("name")));
    ++count.cases;
    compare([&] { run_case(Case(body.as_object(), types), ops, count); });
  }
  EXPECT_GT(count.cases, 0u);
  std::cout << count.cases << " cases compared, " << count.rows << " table rows; of the cases, " << count.weak
            << " by a rule of ours\n";
}

}  // namespace
}  // namespace berth::extraconfig::vectors
