// What must not be read in the audit: values of variables and options whose names say so (setting
// auditRedact).
//
// A pattern is a name with * for any characters and ? for one; letters count in either case, - and _ as the
// same, and dashes in front of an option not at all. What stands from "=" on in a pattern is passed over, so
// that
// "--password=*" may be written as it looks. Such a name hides
//   - its value in the environment;
//   - what follows "=" in NAME=VALUE and --NAME=VALUE, wherever that stands in a word (a shell's script may
//   be one):
//     from there to the end of the word, because nothing says where such a value ends;
//   - the word behind --NAME, and all that follows --NAME inside one word.
// It cannot know a secret that stands alone: docs/security.md.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace kairo::audit {

class Redactor {
 public:
  static constexpr std::string_view hidden = "[redacted]";

  explicit Redactor(const std::vector<std::string>& patterns);

  /// Whether the value of a variable or option of this name is hidden.
  [[nodiscard]] bool hides(std::string_view name) const;
  /// The command line as it may be read.
  [[nodiscard]] std::vector<std::string> argv(const std::vector<std::string>& words) const;

  /// Append ,"argv":[...] and ,"env":{...}, as far as limits::audit_list_bytes goes; one that is cut is
  /// followed by
  /// ,"argvLength":N or ,"envLength":N.
  void append_argv(std::string& out, const std::vector<std::string>& words) const;
  void append_env(std::string& out, const std::map<std::string, std::string>& env) const;

 private:
  /// The word with what it hides hidden; `next` says that the word behind it is a value to be hidden.
  [[nodiscard]] std::string word(const std::string& text, bool& next) const;

  std::vector<std::string> patterns_;  ///< Folded.
};

}  // namespace kairo::audit
