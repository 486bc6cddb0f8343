# berth_library(NAME DEPENDS other... LINK system...)
#   a static library of the folder's *.cpp, and with BERTH_TESTS one test program of its *_test.cpp.

find_package(Boost 1.81.0 EXACT REQUIRED CONFIG COMPONENTS json)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

add_library(berth_options INTERFACE)
target_include_directories(berth_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(berth_options INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED
  BERTH_VERSION="${PROJECT_VERSION}")
target_compile_options(berth_options INTERFACE -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor)
# So that the linker can leave out what the tether does not use.
target_compile_options(berth_options INTERFACE -ffunction-sections -fdata-sections)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these falsely: the first two on coroutine frames at -O2, the others on appended strings.
  target_compile_options(berth_options INTERFACE -Wno-mismatched-new-delete -Wno-maybe-uninitialized
    -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
  # The compiler's own collection of garbage is an eighth of its time.
  target_compile_options(berth_options INTERFACE --param=ggc-min-expand=300 --param=ggc-min-heapsize=1000000)
endif()
target_link_libraries(berth_options INTERFACE Boost::headers Threads::Threads)

# What most files include costs more than they do themselves. Each file names all it needs nevertheless: the tidy
# preset builds without these.
set(berth_precompiled
  <algorithm> <array> <charconv> <chrono> <coroutine> <cstdint> <cstring> <deque> <exception> <filesystem> <functional>
  <limits> <map> <memory> <optional> <set> <span> <string> <string_view> <utility> <variant> <vector>
  <boost/asio/awaitable.hpp> <boost/asio/co_spawn.hpp> <boost/asio/detached.hpp> <boost/asio/io_context.hpp>
  <boost/asio/posix/stream_descriptor.hpp> <boost/asio/redirect_error.hpp> <boost/asio/steady_timer.hpp>
  <boost/asio/this_coro.hpp> <boost/asio/use_awaitable.hpp> <fmt/format.h>)
set(berth_test_precompiled ${berth_precompiled} <gmock/gmock.h> <gtest/gtest.h>)

# The first target that asks for one of the two sets compiles it, and the others share it.
function(berth_precompile target set)
  get_property(owner GLOBAL PROPERTY berth_owner_of_${set})
  if(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  else()
    target_precompile_headers(${target} PRIVATE ${${set}})
    set_property(GLOBAL PROPERTY berth_owner_of_${set} ${target})
  endif()
endfunction()

function(berth_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINK;TEST_LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp ${CMAKE_CURRENT_SOURCE_DIR}/*/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(TRANSFORM ARG_DEPENDS PREPEND berth_ OUTPUT_VARIABLE depends)
  if(sources)
    add_library(berth_${name} STATIC ${sources})
    target_link_libraries(berth_${name} PUBLIC berth_options ${depends} ${ARG_LINK})
    berth_precompile(berth_${name} berth_precompiled)
  else()
    add_library(berth_${name} INTERFACE)
    target_link_libraries(berth_${name} INTERFACE berth_options ${depends} ${ARG_LINK})
  endif()
  if(BERTH_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE berth_${name} ${ARG_TEST_LINK} GTest::gmock GTest::gtest GTest::gtest_main)
    berth_precompile(${name}_test berth_test_precompiled)
    add_test(NAME ${name} COMMAND ${name}_test)
  endif()
endfunction()
