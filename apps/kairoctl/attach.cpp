// kairoctl attach: follow a session's output until it ends.
#include <charconv>
#include <memory>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "context.hpp"
#include "follow.hpp"

namespace kairo::ctl {
namespace {

struct Options {
  std::string id;
  std::string from = "start";
  std::string stream;
  bool lossless = false;
  bool line = false;
  bool json = false;
};

std::variant<api::From, api::FromOffsets> parse_from(const std::string& text) {
  if (text == "start") return api::From::start;
  if (text == "end") return api::From::end;
  std::uint64_t offset = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), offset);
  if (error != std::errc{} || end != text.data() + text.size())
    throw UsageError{"--from: \"" + text + "\" is none of start, end, or an offset in bytes"};
  return api::FromOffsets{offset, offset};
}

}  // namespace

Action declare_attach(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("ID", options->id, "Session")->required();
  app.add_option("--from", options->from, "start (default), end, or an offset in bytes")->type_name("PLACE");
  app.add_option("--stream", options->stream, "Only stdout or only stderr")
      ->type_name("STREAM")
      ->check(CLI::IsMember({"stdout", "stderr"}));
  app.add_flag("--lossless", options->lossless, "Miss nothing: hold the program back if need be");
  app.add_flag("--line", options->line, "Take whole lines");
  app.add_flag("--json", options->json, "Print every chunk as a JSON document on a line");
  return [options](Context& context) {
    api::AttachParams params;
    params.id = options->id;
    params.from = parse_from(options->from);
    params.streams = streams_of(options->stream);
    if (options->lossless) params.flow = api::Flow::lossless;
    if (options->line) params.mode = api::Mode::line;
    if (!options->json) params.encoding = api::Encoding::binary;
    auto client = context.connect();
    if (!client) return report(client.error());
    return follow(*client, params, [&](const api::ChunkView& chunk, std::string_view payload) {
      if (options->json)
        print_json_line(payload);
      else
        write_chunk(chunk);
    });
  };
}

}  // namespace kairo::ctl
