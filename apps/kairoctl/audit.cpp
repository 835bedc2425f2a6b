// kairoctl audit: who asked for what, as the daemon tells it; and audit verify, which needs no daemon: kairod
// itself proves the files, because it knows where they are, and this program stays without SQLite and
// libcrypto.
#include "api/audit.hpp"

#include <cerrno>
#include <memory>
#include <optional>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/shown.hpp"
#include "client/autostart.hpp"
#include "context.hpp"
#include "option_set.hpp"
#include "table.hpp"
#include "units.hpp"

namespace kairo::ctl {
namespace {

/// How long one request waits for news; the next one follows at once.
constexpr std::uint32_t wait_ms = 30'000;
constexpr std::uint64_t most_newest = 1000;

struct AuditCommand {
  std::string action;
  std::string since;
  std::string until;
  std::string principal;
  std::string method;
  std::optional<std::uint64_t> newest;
  bool follow = false;
};

/// A cell for people: what a text says, without anything that moves the cursor.
std::string cell_of(const nlohmann::json& record, const char* name) {
  const auto found = record.find(name);
  if (found == record.end()) return {};
  return shown(found->is_string() ? found->get<std::string>() : found->dump());
}

class Audit {
 public:
  Audit(client::LastingClient& client, const AuditCommand& command, bool table)
      : client_(client), command_(command), as_table_(table) {}

  int go() {
    api::AuditQueryParams params;
    if (!command_.since.empty()) params.from_time = parse_time("--since", command_.since);
    if (!command_.until.empty()) params.to_time = parse_time("--until", command_.until);
    if (!command_.principal.empty()) params.principal = command_.principal;
    if (!command_.method.empty()) params.method = command_.method;
    if (command_.newest) params.last = static_cast<std::uint32_t>(*command_.newest);
    // What is stored is passed over where only what follows is wanted.
    const bool from_now = command_.follow && !command_.newest && command_.since.empty();
    if (from_now) params.last = 1;
    for (bool first = true;; first = false) {
      auto page = client_.call<api::AuditQueryResult>("audit.query", params);
      if (!page) return report(page.error());
      if (!first || !from_now)
        for (const std::string& each : page->records) print(each);
      params.last.reset();
      params.after = page->next;
      if (page->more && !from_now && !command_.newest) continue;
      if (!command_.follow) break;
      params.wait_ms = wait_ms;
    }
    if (as_table_) write_out(table_.text());
    return exit_code::success;
  }

 private:
  void print(const std::string& line) {
    if (!as_table_) return write_out(line + "\n");
    const nlohmann::json record = nlohmann::json::parse(line, nullptr, false);
    if (!record.is_object()) return;
    const std::string method = cell_of(record, "method");
    table_.add({cell_of(record, "seq"), cell_of(record, "time").substr(0, 19), cell_of(record, "principal"),
                method.empty() ? cell_of(record, "event") : method, cell_of(record, "target"),
                cell_of(record, "outcome")});
  }

  client::LastingClient& client_;
  const AuditCommand& command_;
  const bool as_table_;
  Table table_{{"SEQ", "TIME", "PRINCIPAL", "WHAT", "TARGET", "OUTCOME"}};
};

/// Becomes `kairod --verify-audit`; a daemon that runs says where its state is.
int verify(const Context& context) {
  const std::string program = client::find_daemon();
  if (program.empty())
    return report(
        Error(Code::not_found, "there is no kairod beside this program or on PATH to verify the audit with"));
  std::vector<std::string> arguments{program, "--verify-audit"};
  std::string state_dir = context.globals().state_dir;
  if (state_dir.empty()) {
    auto client = client::Client::connect(context.reconnect_options().start.connect);
    if (client)
      if (auto info = client->call<api::InfoResult>("kernel.info", api::NoParams{}))
        state_dir = info->state_dir;
  }
  if (!state_dir.empty()) arguments.insert(arguments.end(), {"--state-dir", state_dir});
  if (!context.globals().socket.empty())
    arguments.insert(arguments.end(), {"--socket", context.globals().socket});
  std::vector<char*> argv;
  for (std::string& each : arguments) argv.push_back(each.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  return report(system_error("cannot execute " + program, errno));
}

}  // namespace

Action declare_audit(OptionSet& set) {
  auto command = std::make_shared<AuditCommand>();
  set.optional_argument("ACTION", command->action,
                        "verify: prove the files whole, or name the first broken record");
  set.value("--since", command->since, "TIME",
            "Only what happened since then: ISO 8601, @SECONDS, or 10m for ago");
  set.value("--until", command->until, "TIME", "Only what happened until then");
  set.value("--principal", command->principal, "PRINCIPAL",
            "Only records of this principal and of names below it");
  set.value("--method", command->method, "METHOD",
            "Only this method or event; a * at the end stands for any rest");
  set.number("-n,--newest", command->newest, "RECORDS", "Only the newest so many, at most 1000");
  set.flag("-f,--follow", command->follow, "Go on with what is recorded from now on; alone, only that");
  return [command](Context& context) {
    const bool filtered = !command->since.empty() || !command->until.empty() || !command->principal.empty() ||
                          !command->method.empty() || command->newest || command->follow;
    if (!command->action.empty() && command->action != "verify")
      throw UsageError{"the action is verify or none, not \"" + command->action + "\""};
    if (!command->action.empty() && filtered)
      throw UsageError{"verify looks at all records and takes no options"};
    if (command->newest && (*command->newest == 0 || *command->newest > most_newest))
      throw UsageError{"--newest must be 1 to " + std::to_string(most_newest)};
    if (command->newest && !command->since.empty())
      throw UsageError{"--newest and --since exclude each other"};
    if (command->follow && (!command->until.empty() || context.globals().table))
      throw UsageError{"--follow goes neither with --until nor with --table"};
    if (!command->action.empty()) return verify(context);
    auto client = context.connect();
    if (!client) return report(client.error());
    return Audit(*client, *command, context.globals().table).go();
  };
}

}  // namespace kairo::ctl
