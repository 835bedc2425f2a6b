// The makers of all modules, one per file beside this one.
#pragma once

#include "executor/module.hpp"
#include "executor/modules/params.hpp"
#include "topology/modules.hpp"

namespace kairo::executor {

Result<std::unique_ptr<StreamModule>> make_passthrough(const reflect::Any& params, const ModuleStart& start);
Result<std::unique_ptr<StreamModule>> make_uppercase(const reflect::Any& params, const ModuleStart& start);
Result<std::unique_ptr<StreamModule>> make_meter(const reflect::Any& params, const ModuleStart& start);
Result<std::unique_ptr<StreamModule>> make_rate_limit(const reflect::Any& params, const ModuleStart& start);
Result<std::unique_ptr<StreamModule>> make_filter_lines(const reflect::Any& params, const ModuleStart& start);
Result<std::unique_ptr<StreamModule>> make_count(const reflect::Any& params, const ModuleStart& start);
Result<std::unique_ptr<FileModule>> make_tee(const reflect::Any& params, const ModuleStart& start);
Result<std::unique_ptr<FileModule>> make_file_source(const reflect::Any& params, const ModuleStart& start);
Result<std::unique_ptr<FileModule>> make_file_sink(const reflect::Any& params, const ModuleStart& start);

}  // namespace kairo::executor
