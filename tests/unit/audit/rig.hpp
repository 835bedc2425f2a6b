// A trail in a folder of its own, and what stands in its files.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/stat.h>

#include <doctest/doctest.h>

#include "audit/files.hpp"
#include "audit/trail.hpp"
#include "audit/verify.hpp"
#include "unit/storage/rig.hpp"

namespace kairo::test {

inline constexpr SystemTime test_time{std::chrono::microseconds(1'700'000'000'000'123)};

struct AuditRig {
  Folder dir;
  audit::Trail::Bounds bounds{};

  [[nodiscard]] audit::Trail trail(std::optional<audit::Head> known = {}) const {
    return audit::Trail(dir.path(), bounds, known);
  }
  /// One record of `who`, which waits.
  static bool add(audit::Trail& trail, std::string_view who, SystemTime now = test_time) {
    if (!trail.begin(now)) return false;
    audit::append_member(trail.line(), "method", "kernel.ping");
    audit::append_member(trail.line(), "principal", who);
    trail.end();
    return true;
  }
  /// Writes `count` records, each for itself.
  static void fill(audit::Trail& trail, int count) {
    for (int i = 0; i < count; ++i) {
      REQUIRE(add(trail, "user:" + std::to_string(i)));
      REQUIRE(trail.write().ok());
    }
  }
  [[nodiscard]] std::string folder() const { return dir.path() + "/audit"; }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& each : std::filesystem::directory_iterator(folder()))
      out.push_back(each.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream file(folder() + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void put(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder() + "/" + name, std::ios::trunc) << bytes;
  }
  [[nodiscard]] audit::Verdict verify(const std::optional<audit::Head>& head = {}) const {
    auto verdict = audit::verify(dir.path(), head);
    REQUIRE_MESSAGE(verdict.ok(), (verdict.ok() ? std::string() : verdict.error().message));
    return *verdict;
  }
};

inline std::vector<std::string> lines_in(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
    out.push_back(text.substr(at, end - at));
  return out;
}

inline bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace kairo::test
