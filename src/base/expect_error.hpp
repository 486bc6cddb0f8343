#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/error.hpp"

namespace berth {

/// `action` must throw an Error with this code and, somewhere in what(), this text.
template <typename Action>
void expect_error(Code code, const std::string& text, Action action) {
  try {
    action();
    ADD_FAILURE() << "no Error, expected " << to_string(code);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr(text));
  }
}

}  // namespace berth
