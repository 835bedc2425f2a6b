// The options of kairoctl that would allow something which a declaration does not cover, so that they can be
// given: with what must stand beside them, and with what must go for them.
#pragma once

#include <string>

#include "api/confinement.hpp"

namespace kairo::sandbox {

class Hints {
 public:
  /// `permissions`: a declaration in its normal form; `cwd`: its process's. The first must outlive this.
  Hints(const api::Permissions& permissions, const std::string& cwd);

  // A path is normal; a hint is empty where no option helps.
  [[nodiscard]] std::string read(const std::string& path) const { return file("--allow-read", path); }
  [[nodiscard]] std::string write(const std::string& path) const { return file("--allow-write", path); }
  /// Where the path is not known.
  [[nodiscard]] std::string write_somewhere() const;
  [[nodiscard]] std::string connect(const std::string& port) const;
  [[nodiscard]] std::string bind(const std::string& port) const;
  [[nodiscard]] std::string any_tcp() const;
  [[nodiscard]] std::string all_net() const;
  [[nodiscard]] std::string all_ipc() const;
  [[nodiscard]] std::string all_net_and_ipc() const;

 private:
  [[nodiscard]] std::string file(const char* option, const std::string& path) const;
  [[nodiscard]] std::string whole(std::string options, const std::string& instead_of = {}) const;

  bool none_ = false;   ///< Its net: none, ports,
  bool ports_ = false;  ///< with ports to listen on or without.
  bool binds_ = false;
  bool ipc_ = false;     ///< All of ipc.
  std::string profile_;  ///< The shipped profile that it is.
};

}  // namespace kairo::sandbox
