#include "e2e/support.hpp"

#include <stdexcept>

#include <nlohmann/json.hpp>

#include "support/pattern.hpp"

namespace kairo::test {

std::string json_at(const std::string& text, const std::string& pointer) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) throw std::runtime_error("no JSON: \"" + text + "\"");
  const nlohmann::json::json_pointer at(pointer);
  if (!json.contains(at)) return "";
  const auto& value = json.at(at);
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::string pattern(std::size_t size) {
  std::string out(size, '\0');
  pattern_fill(out.data(), size, 0);
  return out;
}

std::vector<std::string> child(std::vector<std::string> arguments, const std::vector<std::string>& words) {
  arguments.emplace_back("--");
  arguments.push_back(test_child_path());
  arguments.insert(arguments.end(), words.begin(), words.end());
  return arguments;
}

std::string spawned(const Daemon& daemon, const std::vector<std::string>& arguments) {
  std::vector<std::string> words{"spawn"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const Ran ran = daemon.ctl(words);
  if (ran.code != 0) throw std::runtime_error("spawn failed: " + ran.err);
  return json_at(ran.out, "/id");
}

}  // namespace kairo::test
