// meter: gives what it takes and counts it.
#include "executor/modules/stage.hpp"
#include "executor/modules/table.hpp"
#include "executor/modules/tally.hpp"

namespace kairo::executor {
namespace {

struct MeterFigures {
  std::uint64_t bytes = 0;
  std::uint64_t lines = 0;
  std::uint64_t chunks = 0;
  std::uint64_t bytes_per_second = 0;
  static constexpr auto fields() {
    using S = MeterFigures;
    using reflect::field;
    return std::tuple(field("bytes", &S::bytes, "Bytes that passed"),
                      field("lines", &S::lines, "Lines, the one that has begun included"),
                      field("chunks", &S::chunks, "Pieces that they came in"),
                      field("bytesPerSecond", &S::bytes_per_second, "Of the last one to two seconds"));
  }
};

class Meter final : public Stage {
 public:
  [[nodiscard]] std::string figures() const override {
    const Counted counted = tally_.counted();
    return reflect::to_msgpack(MeterFigures{counted.bytes, counted.lines, counted.chunks,
                                            tally_.bytes_per_second(SteadyClock::now())});
  }

 private:
  void take(std::string bytes) override {
    tally_.add(bytes, SteadyClock::now());
    give(std::move(bytes));
  }

  Tally tally_;
};

}  // namespace

Result<std::unique_ptr<StreamModule>> make_meter(const reflect::Any& params, const ModuleStart& start) {
  auto wanted = module_params<topology::NoModuleParams>(params, start);
  if (!wanted) return std::move(wanted).error();
  return std::unique_ptr<StreamModule>(new Meter);
}

}  // namespace kairo::executor
