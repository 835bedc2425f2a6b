// count: takes everything and gives, at the end, one line {"bytes":B,"lines":L}.
#include "executor/modules/stage.hpp"
#include "executor/modules/table.hpp"
#include "executor/modules/tally.hpp"

namespace kairo::executor {
namespace {

struct CountFigures {
  std::uint64_t bytes = 0;
  std::uint64_t lines = 0;
  static constexpr auto fields() {
    using S = CountFigures;
    return std::tuple(reflect::field("bytes", &S::bytes, "Bytes that came"),
                      reflect::field("lines", &S::lines, "Lines, the one that has begun included"));
  }
};

class Count final : public Stage {
 public:
  [[nodiscard]] std::string figures() const override {
    const Counted counted = tally_.counted();
    return reflect::to_msgpack(CountFigures{counted.bytes, counted.lines});
  }

 private:
  void take(std::string bytes) override { tally_.add(bytes, SteadyClock::now()); }
  void input_over() override {
    const Counted counted = tally_.counted();
    give("{\"bytes\":" + std::to_string(counted.bytes) + ",\"lines\":" + std::to_string(counted.lines) +
         "}\n");
    finish();
  }

  Tally tally_;
};

}  // namespace

Result<std::unique_ptr<StreamModule>> make_count(const reflect::Any& params, const ModuleStart& start) {
  auto wanted = module_params<topology::NoModuleParams>(params, start);
  if (!wanted) return std::move(wanted).error();
  return std::unique_ptr<StreamModule>(new Count);
}

}  // namespace kairo::executor
