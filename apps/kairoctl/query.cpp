// kairoctl status, ps: what is known of sessions.
#include <memory>

#include "base/shown.hpp"
#include "context.hpp"
#include "option_set.hpp"
#include "table.hpp"
#include "wire/payload.hpp"

namespace kairo::ctl {
namespace {

struct ListOptions {
  bool all = false;
  bool quiet = false;
  std::string status;
  std::string label;
  std::string owner;
};

std::string end_of(const msgpack::object& session) {
  if (std::string code = cell(session, "exitCode"); !code.empty()) return "exit " + code;
  return cell(session, "signal");
}

std::string command_of(const msgpack::object& session) {
  const msgpack::object* argv = wire::find_member(session, "argv");
  std::string out;
  if (!argv || argv->type != msgpack::type::ARRAY) return out;
  for (const auto& each : argv->via.array) {
    if (each.type != msgpack::type::STR) continue;
    if (!out.empty()) out += ' ';
    out += shown({each.via.str.ptr, each.via.str.size});
  }
  return out;
}

std::string status_of(const msgpack::object& session) {
  return cell(session, "paused") == "true" ? "paused" : cell(session, "status");
}

Table session_table() {
  return Table({"ID", "PID", "STATUS", "END", "STARTED", "COMMAND"});
}

void add_session(Table& table, const msgpack::object& session) {
  table.add({cell(session, "id"), cell(session, "pid"), status_of(session), end_of(session),
             cell(session, "startedAt").substr(0, 19), command_of(session)});
}

/// Calls `take` with every session of every page.
Result<void> list(client::LastingClient& client, api::ListParams params,
                  const std::function<void(const msgpack::object&)>& take) {
  wire::PayloadDecoder decoder;
  for (;;) {
    auto raw = client.call_raw("process.list", params);
    if (!raw) return std::move(raw).error();
    auto page = decoder.decode(*raw);
    if (!page) return std::move(page).error();
    const msgpack::object* sessions = wire::find_member(*page, "sessions");
    if (sessions && sessions->type == msgpack::type::ARRAY)
      for (const auto& each : sessions->via.array) take(each);
    const msgpack::object* next = wire::find_member(*page, "next");
    if (!next || next->type != msgpack::type::STR) return {};
    params.after = std::string(next->via.str.ptr, next->via.str.size);
  }
}

int print_list(Context& context, const ListOptions& options) {
  api::ListParams params;
  if (!options.status.empty()) {
    params.status = options.status == "running"  ? api::Status::running
                    : options.status == "exited" ? api::Status::exited
                                                 : api::Status::killed;
  } else if (!options.all) {
    params.status = api::Status::running;
  }
  if (!options.label.empty()) params.label = options.label;
  if (!options.owner.empty()) params.owner = options.owner;
  auto client = context.connect();
  if (!client) return report(client.error());
  Table table = session_table();
  auto listed = list(*client, params, [&](const msgpack::object& session) {
    if (options.quiet)
      write_out(cell(session, "id") + "\n");
    else if (context.globals().table)
      add_session(table, session);
    else
      print_json(session);
  });
  if (!listed) return report(listed.error());
  if (context.globals().table && !options.quiet) write_out(table.text());
  return exit_code::success;
}

int print_status(Context& context, const std::vector<std::string>& ids, bool metrics) {
  auto client = context.connect();
  if (!client) return report(client.error());
  std::vector<std::uint64_t> requests;
  for (const std::string& id : ids) {
    api::StatusParams params{id, std::nullopt};
    if (metrics) params.metrics = true;
    requests.push_back(client->send("process.status", params));
  }
  Table table = session_table();
  int code = exit_code::success;
  wire::PayloadDecoder decoder;
  for (std::uint64_t request : requests) {
    auto raw = client->await_raw(request);
    if (!raw) {
      const int failed = report(raw.error());
      if (code == exit_code::success) code = failed;
      if (!client->connected()) return code;
    } else if (!context.globals().table) {
      print_json(*raw);
    } else if (auto session = decoder.decode(*raw)) {
      add_session(table, *session);
    }
  }
  if (context.globals().table) write_out(table.text());
  return code;
}

}  // namespace

Action declare_ps(OptionSet& set) {
  auto options = std::make_shared<ListOptions>();
  set.flag("-a,--all", options->all, "Ended sessions as well");
  set.flag("-q,--quiet", options->quiet, "Only the ids, one on a line");
  set.choice("--status", options->status, "STATUS", {"running", "exited", "killed"},
             "Only running, exited or killed sessions");
  set.value("-l,--label", options->label, "KEY[=VALUE]", "Only sessions with this label");
  set.value("--owner", options->owner, "PRINCIPAL", "Only sessions of this principal");
  return [options](Context& context) { return print_list(context, *options); };
}

Action declare_status(OptionSet& set) {
  auto ids = std::make_shared<std::vector<std::string>>();
  auto metrics = std::make_shared<bool>(false);
  set.flag("--metrics", *metrics, "What their processes use, too");
  set.arguments("ID", *ids, "Sessions");
  return [ids, metrics](Context& context) { return print_status(context, *ids, *metrics); };
}

}  // namespace kairo::ctl
