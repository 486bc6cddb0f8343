#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "extraconfig/codec.hpp"

namespace {

std::atomic<std::size_t> allocations = 0;

}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

/// Encoding needs memory for its deepest key and its largest map, not for each pair.
namespace berth::extraconfig {
namespace allocation_types {

namespace scope = describe::scope;

struct Part {
  std::string name;
  std::int64_t count = 0;
  double ratio = 0.1;
  describe::Bytes blob;
  describe::Time time;
  std::vector<std::string> words;
  std::optional<std::string> note;
  std::map<std::string, std::string> labels;
};
constexpr auto describe(const Part*) {
  using describe::field;
  return describe::fields(
      field<&Part::name>("Name"), field<&Part::count>("Count", "count", scope::read_write),
      field<&Part::ratio>("Ratio", "ratio", scope::hidden), field<&Part::blob>("Blob", "blob", scope::secret),
      field<&Part::time>("Time"), field<&Part::words>("Words", "words", scope::read_only),
      field<&Part::note>("Note"), field<&Part::labels>("Labels", "labels", scope::read_only));
}

struct Whole {
  std::map<std::string, Part> parts;
  std::vector<Part> list;
};
constexpr auto describe(const Whole*) {
  using describe::field;
  return describe::fields(field<&Whole::parts>("Parts", "parts", scope::read_only),
                          field<&Whole::list>("List", "list", scope::read_only | scope::non_persistent));
}

Whole whole_of(int parts) {
  Part part;
  part.name = std::string(100, 'n');
  part.blob.data = std::string(100, 'b');
  part.words = {std::string(50, 'w'), "", "x|y"};
  part.note = std::string(40, 'o');
  part.labels = {{"org.example.some.long.label", "1"}, {"a|b that has to be escaped", "2"}};
  Whole whole;
  for (int i = 0; i < parts; ++i) whole.parts["a.key/of@some.length." + std::to_string(i)] = part;
  whole.list.assign(static_cast<std::size_t>(parts), part);
  return whole;
}

class CountingSink final : public Sink {
 public:
  void put(std::string_view, std::string_view) override { ++pairs; }
  std::size_t pairs = 0;
};

std::size_t allocations_of(const Whole& whole, std::size_t least_pairs) {
  CountingSink sink;
  const std::size_t before = allocations;
  encode(whole, sink);
  const std::size_t after = allocations;
  EXPECT_GE(sink.pairs, least_pairs);
  return after - before;
}

TEST(Allocations, DoNotGrowWithTheNumberOfPairs) {
  const std::size_t few = allocations_of(whole_of(2), 40);
  const std::size_t many = allocations_of(whole_of(2000), 40'000);
  EXPECT_LE(few, 80u);
  // The texts of one large map and its index grow by doubling.
  EXPECT_LE(many, few + 3 * 16);
}

}  // namespace allocation_types
}  // namespace berth::extraconfig
