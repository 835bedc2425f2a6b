// uppercase: a to z become A to Z; all other bytes stay as they are, whatever they encode.
#include "executor/modules/stage.hpp"
#include "executor/modules/table.hpp"

namespace kairo::executor {
namespace {

class Uppercase final : public Stage {
  void take(std::string bytes) override {
    for (char& each : bytes) each = static_cast<char>(each - (each >= 'a' && each <= 'z' ? 'a' - 'A' : 0));
    give(std::move(bytes));
  }
};

}  // namespace

Result<std::unique_ptr<StreamModule>> make_uppercase(const reflect::Any& params, const ModuleStart& start) {
  auto wanted = module_params<topology::NoModuleParams>(params, start);
  if (!wanted) return std::move(wanted).error();
  return std::unique_ptr<StreamModule>(new Uppercase);
}

}  // namespace kairo::executor
