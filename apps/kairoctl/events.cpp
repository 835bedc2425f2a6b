// kairoctl events: what happens, as it happens.
#include <memory>

#include <CLI/CLI.hpp>

#include "context.hpp"

namespace kairo::ctl {
namespace {

struct Options {
  bool follow = false;
  std::vector<std::string> topics;
  std::uint64_t count = 0;
};

int stream_events(Context& context, const Options& options) {
  if (!options.follow)
    return report(Error(Code::unsupported,
                        "cannot print past events: they are not stored yet; -f prints those that come"));
  auto client = context.connect();
  if (!client) return report(client.error());
  std::vector<std::uint64_t> requests;
  for (const std::string& topic : options.topics)
    requests.push_back(client->send("event.subscribe", api::EventSubscribeParams{topic, {}}));
  if (requests.empty())
    requests.push_back(client->send("event.subscribe", api::EventSubscribeParams{">", {}}));
  for (std::uint64_t request : requests) {
    auto subscribed = client->await_raw(request);
    if (!subscribed) return report(subscribed.error());
  }
  for (std::uint64_t printed = 0; options.count == 0 || printed < options.count;) {
    auto push = client->poll_push({});
    if (!push) return report(push.error());
    if ((*push)->type != wire::FrameType::event) continue;
    print_json_line((*push)->payload);
    ++printed;
  }
  return exit_code::success;
}

}  // namespace

Action declare_events(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_flag("-f,--follow", options->follow, "Print events as they come (as yet the only way)");
  app.add_option("--topic", options->topics, "Only these: * stands for one segment, > for the rest")
      ->type_name("PATTERN")
      ->expected(1)
      ->take_all();
  app.add_option("-n,--count", options->count, "Leave after so many")->type_name("EVENTS");
  return [options](Context& context) { return stream_events(context, *options); };
}

}  // namespace kairo::ctl
