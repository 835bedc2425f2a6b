// passthrough: gives what it takes, the very same strings.
#include "executor/modules/stage.hpp"
#include "executor/modules/table.hpp"

namespace kairo::executor {
namespace {

class Passthrough final : public Stage {
  void take(std::string bytes) override { give(std::move(bytes)); }
};

}  // namespace

Result<std::unique_ptr<StreamModule>> make_passthrough(const reflect::Any& params, const ModuleStart& start) {
  auto wanted = module_params<topology::NoModuleParams>(params, start);
  if (!wanted) return std::move(wanted).error();
  return std::unique_ptr<StreamModule>(new Passthrough);
}

}  // namespace kairo::executor
