// kairoctl events: what happens, as it happens.
#include <memory>
#include <unistd.h>

#include "context.hpp"
#include "option_set.hpp"

namespace kairo::ctl {
namespace {

struct Options {
  bool follow = false;
  std::vector<std::string> topics;
  std::optional<std::uint64_t> count;
};

/// To all of them over one connection: those made over an earlier one went with it.
Result<void> subscribe(client::LastingClient& client, const std::vector<std::string>& topics) {
  std::vector<std::optional<unsigned>> made_over(topics.size());
  for (std::size_t i = 0; i < topics.size();) {
    if (made_over[i] == client.reconnects()) {
      ++i;
      continue;
    }
    auto subscribed = client.call_raw("event.subscribe", api::EventSubscribeParams{topics[i], {}});
    if (!subscribed) return std::move(subscribed).error();
    made_over[i] = client.reconnects();
    i = 0;
  }
  return {};
}

/// {"missed": {...}} on stderr: events are not stored yet, so nobody can tell which.
void tell_missed() {
  static_cast<void>(
      write_all(STDERR_FILENO,
                "{\"missed\":{\"reason\":\"the connection to the daemon was lost and made again; "
                "events in between may have been missed\"}}\n"));
}

int stream_events(Context& context, const Options& options) {
  if (!options.follow)
    return report(Error(Code::unsupported,
                        "cannot print past events: they are not stored yet; -f prints those that come"));
  auto client = context.connect();
  if (!client) return report(client.error());
  const std::vector<std::string> topics =
      options.topics.empty() ? std::vector<std::string>{">"} : options.topics;
  auto subscribed = subscribe(*client, topics);
  if (!subscribed) return report(subscribed.error());
  for (std::uint64_t printed = 0; !options.count || printed < *options.count;) {
    auto push = client->poll_push({});
    if (!push && client::is_unreachable(push.error())) {
      subscribed = subscribe(*client, topics);
      if (!subscribed) return report(subscribed.error());
      tell_missed();
      continue;
    }
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
