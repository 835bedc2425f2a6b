// Topologies for the tests, made from short YAML, and what is said about them.
#pragma once

#include <string>

#include <doctest/doctest.h>

#include "topology/check.hpp"
#include "topology/document.hpp"

namespace kairo::test {

inline std::string detail(const Error& error, std::string_view key) {
  for (const auto& [name, value] : error.details)
    if (name == key) {
      if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
      if (const auto* text = std::get_if<std::string>(&value)) return *text;
    }
  return "";
}

inline topology::TopologyFile good(const std::string& text, const std::string& file = "t.yaml") {
  auto read = topology::TopologyFile::read(text, file, {});
  if (!read) FAIL(read.error().message);
  return std::move(*read);
}

/// The message of the error that the text must have.
inline std::string fault(const std::string& text, const std::string& file = "t.yaml") {
  auto read = topology::TopologyFile::read(text, file, {});
  REQUIRE_FALSE(read.ok());
  return read.error().message;
}

}  // namespace kairo::test
