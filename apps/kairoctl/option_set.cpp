#include "option_set.hpp"

#include <CLI/CLI.hpp>

namespace kairo::ctl {
namespace {

CLI::Validator one_of(std::initializer_list<const char*> values) {
  return CLI::IsMember(std::vector<std::string>(values.begin(), values.end()));
}

}  // namespace

void OptionSet::flag(const char* names, bool& out, const char* text) {
  app_.add_flag(names, out, text);
}

void OptionSet::value(const char* names, std::string& out, const char* type, const char* text) {
  app_.add_option(names, out, text)->type_name(type);
}

void OptionSet::number(const char* names, std::optional<std::uint64_t>& out, const char* type,
                       const char* text) {
  app_.add_option(names, out, text)->type_name(type);
}

void OptionSet::choice(const char* names, std::string& out, const char* type,
                       std::initializer_list<const char*> values, const char* text) {
  app_.add_option(names, out, text)->type_name(type)->check(one_of(values));
}

void OptionSet::list(const char* names, std::vector<std::string>& out, const char* type, const char* text) {
  app_.add_option(names, out, text)->type_name(type)->expected(1)->take_all();
}

void OptionSet::argument(const char* name, std::string& out, const char* text) {
  app_.add_option(name, out, text)->required();
}

void OptionSet::optional_argument(const char* name, std::string& out, const char* text) {
  app_.add_option(name, out, text);
}

void OptionSet::optional_argument(const char* name, std::optional<std::string>& out, const char* text) {
  app_.add_option_function<std::string>(
      name, [&out](const std::string& value) { out = value; }, text);
}

void OptionSet::argument_choice(const char* name, std::string& out, std::initializer_list<const char*> values,
                                const char* text) {
  app_.add_option(name, out, text)->required()->check(one_of(values));
}

void OptionSet::arguments(const char* name, std::vector<std::string>& out, const char* text) {
  app_.add_option(name, out, text)->required();
}

}  // namespace kairo::ctl
