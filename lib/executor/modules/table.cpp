#include "executor/modules/table.hpp"

namespace kairo::executor {
namespace {

constexpr ModuleRow rows[] = {
    {"passthrough", make_passthrough, nullptr},
    {"uppercase", make_uppercase, nullptr},
    {"tee", nullptr, make_tee},
    {"meter", make_meter, nullptr},
    {"rate-limit", make_rate_limit, nullptr},
    {"filter-lines", make_filter_lines, nullptr},
    {"file-source", nullptr, make_file_source},
    {"file-sink", nullptr, make_file_sink},
    {"count", make_count, nullptr},
};

}  // namespace

const ModuleRow* find_module_row(std::string_view name) {
  for (const ModuleRow& each : rows)
    if (each.name == name) return &each;
  return nullptr;
}

}  // namespace kairo::executor
