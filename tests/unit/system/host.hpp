// A tree that stands for a host.
#pragma once

#include "support/temp_dir.hpp"

namespace kairo::test {

class Host {
 public:
  void write(const std::string& path, const std::string& text) const { dir_.put(path, text); }
  void make_directory(const std::string& path) const { std::filesystem::create_directories(dir_.file(path)); }
  [[nodiscard]] const std::string& root() const { return dir_.path(); }

 private:
  TempDir dir_;
};

}  // namespace kairo::test
