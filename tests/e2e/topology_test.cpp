// Topology files on the command line: what is checked, shown and refused without any daemon.
#include <tuple>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

using namespace kairo::test;

namespace {

/// With a socket that nobody can listen on, so that nothing can be started.
Ran topology(std::vector<std::string> words, const std::string& input = {}) {
  std::vector<std::string> argv{kairoctl_path(), "--no-autostart", "--socket", "/nonexistent/socket",
                                "topology"};
  argv.insert(argv.end(), words.begin(), words.end());
  return run(argv, input);
}

const std::string examples = std::string(KAIRO_TEST_SOURCE) + "/docs/examples/topology/";

}  // namespace

TEST_SUITE_BEGIN("topology");

TEST_CASE("the examples are good, and are told in the order of their flow") {
  const Ran words = topology({"check", examples + "words.yaml"});
  CHECK(words.code == 0);
  CHECK(words.out ==
        "{\"name\":\"words\",\"nodes\":[\"source\",\"small\",\"lines\",\"sink\"],\"connections\":3}\n");
  CHECK(topology({"check", examples + "split-merge.yaml"}).code == 0);
  CHECK(topology({"check", examples + "steady.json"}).code == 0);
  CHECK(topology({"check", "-"}, read_file(examples + "steady.json")).code == 0);
}

TEST_CASE("an error in a file is one JSON document with file, line and column") {
  TempDir dir;
  const std::string file =
      dir.put("bad.yaml", "name: t\nnodes:\n- id: a\n  runMode: process\n  comand: [cat]\n");
  for (const std::vector<std::string>& words : {std::vector<std::string>{"check", file},
                                                {"up", "-f", file},
                                                {"up", "--check", "-f", file},
                                                {"graph", "-f", file}}) {
    const Ran ran = topology(words);
    CHECK(ran.code == 1);
    CHECK(ran.out.empty());
    CHECK(json_at(ran.err, "/error/code") == "E_INVALID_PARAMS");
    CHECK(json_at(ran.err, "/error/message") ==
          file + ":5:3: nodes[0].comand is not a known field; did you mean \"command\"?");
    CHECK(json_at(ran.err, "/error/details/line") == "5");
    CHECK(json_at(ran.err, "/error/details/path") == "nodes[0].comand");
    CHECK(json_at(ran.err, "/error/details/suggestion") == "command");
  }
  CHECK(json_at(topology({"check", "/nonexistent"}).err, "/error/code") == "E_NOT_FOUND");
}

TEST_CASE("up checks a good file alone where that is asked for, and takes another name") {
  const Ran checked =
      topology({"up", "--check", "--name", "other", "-f", "-"}, read_file(examples + "words.yaml"));
  CHECK(checked.code == 0);
  CHECK(json_at(checked.out, "/name") == "other");
  CHECK(topology({"up", "--check", "--name", "no.dots", "-f", examples + "words.yaml"}).code == 1);
  CHECK(topology({"up", "-f", examples + "words.yaml"}).code == 69);
}

TEST_CASE("a program behind -- is the cutover's own, options and all") {
  CHECK(topology({"cutover", "t", "n", "--env", "A=b", "--", "tr", "-d", "--help"}).code == 69);
  CHECK(topology({"cutover", "t", "n", "tr"}).code == 64);
}

TEST_CASE("a file's graph is told to dot") {
  const Ran graph = topology({"graph", "-f", examples + "words.yaml"});
  CHECK(graph.code == 0);
  CHECK(graph.out.find("  \"source\" -> \"small\";\n") != std::string::npos);
  CHECK(graph.out.find("\"small\" [label=\"small\\ntr [:upper:] [:lower:]\"];") != std::string::npos);
}

TEST_CASE("the published schema is the one that is printed") {
  const Ran schema = topology({"schema"});
  CHECK(schema.code == 0);
  CHECK(schema.out == read_file(std::string(KAIRO_TEST_SOURCE) + "/docs/topology.schema.json"));
}

namespace {

/// A session as an executor labels it.
void spawn_node(const Daemon& daemon, const std::string& id, const std::string& node,
                const std::string& script) {
  std::vector<std::string> words{"--id", id, "--label", "kairo.topology=t"};
  if (!node.empty()) words.insert(words.end(), {"--label", "kairo.node=" + node});
  words.insert(words.end(), {"--", "sh", "-c", script});
  CHECK(spawned(daemon, words) == id);
}

}  // namespace

TEST_CASE("the logs of a topology are those of all lives of its nodes and of its executor") {
  Daemon daemon;
  // Each is waited for: lines are put in order by the time at which they were written.
  for (const auto& [id, node, text] :
       {std::tuple("t.executor", "", "starts"), std::tuple("t.in.1", "in", "dies"),
        std::tuple("t.in.2", "in", "lives"), std::tuple("t.filter.1", "filter", "no newline")}) {
    spawn_node(daemon, id, node, std::string("printf '") + text + "\\n' >&2; echo no log >&1");
    daemon.ctl({"wait", id});
  }
  CHECK(spawned(daemon, {"--id", "t.other", "--", "sh", "-c", "echo other >&2"}) == "t.other");
  const Ran all = daemon.ctl({"topology", "logs", "t"});
  CHECK(all.code == 0);
  CHECK(all.out == "executor | starts\nin       | dies\nin       | lives\nfilter   | no newline\n");
  CHECK(daemon.ctl({"topology", "logs", "t", "in"}).out == "dies\nlives\n");
  CHECK(daemon.ctl({"topology", "logs", "t", "in", "--tail", "0"}).out.empty());
  CHECK(daemon.ctl({"topology", "logs", "t", "-f"}).out == all.out);
  const Ran none = daemon.ctl({"topology", "logs", "t", "out"});
  CHECK(none.code == 1);
  CHECK(json_at(none.err, "/error/message") ==
        "no session of the node \"out\" of the topology \"t\" is known");
}

TEST_CASE("logs that are followed go on with nodes that start later, until the executor has ended") {
  Daemon daemon;
  spawn_node(daemon, "t.executor", "", "read end");
  spawn_node(daemon, "t.half.1", "half", "printf 'one ' >&2; read on; echo line >&2");
  eventually([&] { return daemon.ctl({"logs", "t.half.1"}).err == "one "; }, "half a line is there");
  Program logs(daemon.ctl_argv({"topology", "logs", "-f", "t"}));
  spawn_node(daemon, "t.late.1", "late", "echo here >&2");
  logs.await_out("late     | here\n");
  daemon.ctl({"write", "t.half.1"}, "on\n");
  logs.await_out("half     | one line\n");
  daemon.ctl({"write", "t.executor"}, "end\n");
  CHECK(logs.wait().code == 0);
  CHECK(logs.out().find("| one \n") == std::string::npos);
}

TEST_SUITE_END();
