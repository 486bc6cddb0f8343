# berth_library(NAME DEPENDS other... LINK system...)
#   a static library of the folder's *.cpp, and with BERTH_TESTS one test program of its *_test.cpp.

find_package(Boost 1.81.0 EXACT REQUIRED CONFIG COMPONENTS json)
find_package(fmt REQUIRED)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

add_library(berth_options INTERFACE)
target_include_directories(berth_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(berth_options INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED
  FMT_HEADER_ONLY=1
  BERTH_VERSION="${PROJECT_VERSION}")
target_compile_options(berth_options INTERFACE -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports both falsely on coroutine frames at -O2.
  target_compile_options(berth_options INTERFACE -Wno-mismatched-new-delete -Wno-maybe-uninitialized)
endif()
target_link_libraries(berth_options INTERFACE Boost::headers fmt::fmt-header-only Threads::Threads)

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
  else()
    add_library(berth_${name} INTERFACE)
    target_link_libraries(berth_${name} INTERFACE berth_options ${depends} ${ARG_LINK})
  endif()
  if(BERTH_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE berth_${name} ${ARG_TEST_LINK} GTest::gmock GTest::gtest GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name}_test)
  endif()
endfunction()
