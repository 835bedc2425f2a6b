// kairoctl events: what happens, as it happens.
#include <memory>

#include "context.hpp"
#include "option_set.hpp"

namespace kairo::ctl {
namespace {

struct Options {
  bool follow = false;
  std::vector<std::string> topics;
  std::optional<std::uint64_t> count;
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
  for (std::uint64_t printed = 0; !options.count || printed < *options.count;) {
    auto push = client->poll_push({});
    if (!push) return report(push.error());
    if ((*push)->type != wire::FrameType::event) continue;
    print_json_line((*push)->payload);
    ++printed;
  }
  return exit_code::success;
}

}  // namespace

Action declare_events(OptionSet& set) {
  auto options = std::make_shared<Options>();
  set.flag("-f,--follow", options->follow, "Print events as they come (as yet the only way)");
  set.list("--topic", options->topics, "PATTERN", "Only these: * stands for one segment, > for the rest");
  set.number("-n,--count", options->count, "EVENTS", "Leave after so many");
  return [options](Context& context) { return stream_events(context, *options); };
}

}  // namespace kairo::ctl
