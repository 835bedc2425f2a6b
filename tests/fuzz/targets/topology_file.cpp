// Topology files: whatever stands in one is a topology that passes the checks, or an error that names a place
// in the file. What nlohmann takes as JSON, the reader with places takes as well, and gives the same values.
#include <algorithm>
#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "fuzz/check.hpp"
#include "topology/check.hpp"
#include "topology/document.hpp"
#include "topology/graph.hpp"

namespace {

using namespace kairo;

void read(std::string_view text, const std::string& file) {
  const auto read = topology::TopologyFile::read(text, file, {});
  if (read) {
    KAIRO_FUZZ_CHECK(topology::check(read->topology(), "t").ok());
    KAIRO_FUZZ_CHECK(topology::in_flow_order(read->topology()).size() == read->topology().nodes.size());
    KAIRO_FUZZ_CHECK(topology::to_dot(read->topology()).ends_with("}\n"));
    return;
  }
  const Error& error = read.error();
  KAIRO_FUZZ_CHECK(error.code == Code::invalid_params || error.code == Code::limit_exceeded);
  KAIRO_FUZZ_CHECK(error.message.starts_with(file + ":"));
  const auto lines = static_cast<std::int64_t>(std::count(text.begin(), text.end(), '\n'));
  bool placed = false;
  for (const auto& [key, value] : error.details)
    if (key == "line") {
      placed = true;
      // YAML knows further ends of lines: CR, NEL, LS, PS.
      KAIRO_FUZZ_CHECK(std::get<std::int64_t>(value) >= 1);
      if (file.ends_with(".json")) KAIRO_FUZZ_CHECK(std::get<std::int64_t>(value) <= lines + 1);
    }
  KAIRO_FUZZ_CHECK(placed);
}

bool is_repeated(const Error& error) {
  return error.message.find("stands twice") != std::string::npos ||
         error.message.find("is nested deeper") != std::string::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read(text, "t.yaml");
  read(text, "t.json");

  const auto written = topology::read_json(text, "t");
  KAIRO_FUZZ_CHECK(written.ok() || !topology::is_json(text) || is_repeated(written.error()));
  if (!written) return 0;
  KAIRO_FUZZ_CHECK(topology::is_json(text));
  const auto values = topology::with_types(**written, reflect::type_info<reflect::Any>(), "t");
  if (!values) return 0;
  const auto parsed = nlohmann::json::parse(text.begin(), text.end());
  const auto packed = nlohmann::json::from_msgpack(values->msgpack);
  KAIRO_FUZZ_CHECK(parsed == packed);
  return 0;
}
