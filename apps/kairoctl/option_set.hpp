// Declares a command's options. The parser itself (CLI11) is behind it: every file that includes that one
// takes eight seconds longer to compile, and the commands need six of its functions.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace kairo::ctl {

/// `names` are those of the option with their dashes, "-l,--label", or a positional's bare name. What they
/// write to must live until the command line has been parsed.
class OptionSet {
 public:
  explicit OptionSet(CLI::App& app) : app_(app) {}

  void flag(const char* names, bool& out, const char* text);
  void value(const char* names, std::string& out, const char* type, const char* text);
  void number(const char* names, std::optional<std::uint64_t>& out, const char* type, const char* text);
  void choice(const char* names, std::string& out, const char* type,
              std::initializer_list<const char*> values, const char* text);
  /// May be given more than once.
  void list(const char* names, std::vector<std::string>& out, const char* type, const char* text);

  void argument(const char* name, std::string& out, const char* text);
  void optional_argument(const char* name, std::string& out, const char* text);
  /// Tells one that is empty from none.
  void optional_argument(const char* name, std::optional<std::string>& out, const char* text);
  void argument_choice(const char* name, std::string& out, std::initializer_list<const char*> values,
                       const char* text);
  /// At least one.
  void arguments(const char* name, std::vector<std::string>& out, const char* text);

 private:
  CLI::App& app_;
};

}  // namespace kairo::ctl
