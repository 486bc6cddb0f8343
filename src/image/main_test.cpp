#include <gtest/gtest.h>

#include <cstring>

#include "image/rootfs.hpp"
#include "image/store.hpp"
#include "image/test_main.hpp"

int main(int argc, char** argv) {
  using namespace berth::image;
  if (argc > 1 && std::strcmp(argv[1], kUnpackCommand) == 0) return unpack_main(argc, argv);
  if (argc > 3 && std::strcmp(argv[1], kPullCommand) == 0) {
    Store(argv[2]).pull(argv[3]);
    return 0;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
