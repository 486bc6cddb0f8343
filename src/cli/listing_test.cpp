#include "cli/listing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::cli {
namespace {

Listing sample() {
  return {.fields = {{"ID", "CONTAINER ID"}, {"Image", "IMAGE"}, {"Size", "SIZE", false}, {"Names", "NAMES"}},
          .rows = {{"4f1b", "busybox", "1MB", "calm_otter"},
                   {"77aa", "registry.example.org/x", "2MB", "web\x1b[2J"}}};
}

TEST(Listing, TableHasDockersColumns) {
  EXPECT_EQ(render(sample(), ""),
            "CONTAINER ID   IMAGE                    NAMES\n"
            "4f1b           busybox                  calm_otter\n"
            "77aa           registry.example.org/x   web?[2J\n");
}

TEST(Listing, ColumnsAreTenWideAtLeast) {
  EXPECT_EQ(render_table({{"A", "B"}, {"…x", "y"}}), "A         B\n…x        y\n");
}

TEST(Listing, AnEmptyListingStillHasItsHeader) {
  Listing listing = sample();
  listing.rows.clear();
  EXPECT_EQ(render(listing, ""), "CONTAINER ID   IMAGE     NAMES\n");
  EXPECT_EQ(render(listing, "json"), "");
}

TEST(Listing, JsonIsAnObjectALine) {
  const std::string lines =
      "{\"ID\":\"4f1b\",\"Image\":\"busybox\",\"Size\":\"1MB\",\"Names\":\"calm_otter\"}\n"
      "{\"ID\":\"77aa\",\"Image\":\"registry.example.org/x\",\"Size\":\"2MB\",\"Names\":\"web\\u001b[2J\"}\n";
  EXPECT_EQ(render(sample(), "json"), lines);
  EXPECT_EQ(render(sample(), "{{json .}}"), lines);
}

TEST(Listing, TemplatesFillInFields) {
  EXPECT_EQ(render(sample(), "{{.ID}}: {{ .Size }}"), "4f1b: 1MB\n77aa: 2MB\n");
  EXPECT_EQ(render(sample(), "table {{.Size}}\\t{{.ID}}"),
            "SIZE      CONTAINER ID\n1MB       4f1b\n2MB       77aa\n");
  EXPECT_THROW(render(sample(), "{{.Nope}}"), Error);
  EXPECT_THROW(render(sample(), "{{.ID"), Error);
}

TEST(IndentJson, FollowsDockerInspect) {
  EXPECT_EQ(indent_json(R"([{"a":{"b":[1,"x"],"c":[]},"d":{},"e":null}])"),
            "[\n    {\n        \"a\": {\n            \"b\": [\n                1,\n                \"x\"\n   "
            "         ],\n"
            "            \"c\": []\n        },\n        \"d\": {},\n        \"e\": null\n    }\n]");
  EXPECT_THROW(indent_json("{"), Error);
}

}  // namespace
}  // namespace berth::cli
