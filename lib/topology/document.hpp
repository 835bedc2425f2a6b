// A topology's file, YAML or JSON, with the places of all that it says, so that every error can name its
// line: one of syntax, one of what the values must be, one of the checks, and one that the daemon sent back.
//
//   auto file = TopologyFile::read(text, "words.yaml", {});
//   ... client.call("topology.up", {file->topology(), cwd})
//   if (!up) report(file->located(up.error(), "params.topology"));
//
// What stands in YAML without quotes has the type that its place needs: `command: [sleep, 1]` and
// `env: {DEBUG: no}` are text, `delayMs: 100` is a number. Where anything may stand it is as in YAML 1.2:
// yes, no, on and off are text. JSON is as strict as the protocol is.
//
// Used by clients: the daemon knows no files and gets MsgPack.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "api/topology.hpp"
#include "base/result.hpp"
#include "reflect/schema.hpp"
#include "topology/written.hpp"

namespace kairo::topology {

/// Bytes of a file: a topology of most_nodes nodes takes a quarter.
inline constexpr std::size_t file_bytes = 1u << 20;

/// The values of a file.
struct Values {
  std::string msgpack;
  std::map<std::string, Place> places;  ///< By path, "nodes[2].command[0]"; "" is the whole.
};

/// Gives what was written the types of `type`. E_LIMIT_EXCEEDED: it is too much once it is written out.
Result<Values> with_types(const Written& root, const reflect::TypeInfo& type, const std::string& file);

class TopologyFile {
 public:
  /// Reads and checks. `file` is for messages; JSON where it ends in ".json", YAML where in ".yaml" or
  /// ".yml", else JSON if the text is JSON. `name` takes the place of the topology's own.
  static Result<TopologyFile> read(std::string_view text, const std::string& file,
                                   const std::optional<std::string>& name);

  [[nodiscard]] const api::Topology& topology() const { return topology_; }
  /// An error with details.path at or below `root` as one at its place; any other as it is.
  [[nodiscard]] Error located(const Error& error, std::string_view root) const;

 private:
  std::string file_;
  Values values_;
  api::Topology topology_;
};

}  // namespace kairo::topology
