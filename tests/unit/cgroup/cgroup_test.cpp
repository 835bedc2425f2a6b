// Against trees of ordinary files that look like /proc and /sys/fs/cgroup: what is found, what is written.
// The machine's own cgroups are in tests/system/limits_test.cpp.
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/xattr.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgroup/files.hpp"
#include "cgroup/membership.hpp"
#include "cgroup/tree.hpp"
#include "support/temp_dir.hpp"

using namespace kairo::cgroup;
namespace fs = std::filesystem;

namespace {

constexpr const char* tag = "00000000000000aa";

/// A root with /proc/self/mountinfo and /proc/self/cgroup, removed at the end.
class FakeHost {
 public:
  void put(const std::string& path, const std::string& text) const { dir_.put(path, text); }
  [[nodiscard]] std::string get(const std::string& path) const { return dir_.get(path); }
  [[nodiscard]] const std::string& root() const { return dir_.path(); }
  [[nodiscard]] Host host(uid_t uid, std::vector<pid_t> own = {}, bool delegated = false) const {
    Host out;
    out.root = root();
    out.uid = uid;
    out.delegated = [delegated](const std::string&) { return delegated; };
    out.own = [own = std::move(own)](pid_t pid) {
      return std::find(own.begin(), own.end(), pid) != own.end();
    };
    return out;
  }
  /// A cgroup of v2 at `path` below /sys/fs/cgroup.
  void unified(const std::string& path, const std::string& controllers, const std::string& handed_on,
               const std::string& processes, bool root = false) const {
    const std::string at = "/sys/fs/cgroup" + path;
    put(at + "/cgroup.controllers", controllers);
    put(at + "/cgroup.subtree_control", handed_on);
    put(at + "/cgroup.procs", processes);
    if (!root) put(at + "/cgroup.type", "domain\n");
  }
  void self(const std::string& mountinfo, const std::string& cgroup) const {
    put("/proc/self/mountinfo", mountinfo);
    put("/proc/self/cgroup", cgroup);
  }
  /// Only v2, mounted at /sys/fs/cgroup.
  void self_unified(const std::string& path) const {
    self(
        "25 20 0:22 / /proc rw shared:3 - proc proc rw\n"
        "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
        "0::" + path + "\n");
  }

 private:
  kairo::test::TempDir dir_;
};

/// A daemon's tree in the cgroup of its service, without controllers.
struct PlainTree {
  FakeHost fake;
  Tree tree = made(fake);

  static Tree made(const FakeHost& fake) {
    fake.self_unified("/a.service");
    fake.unified("/a.service", "", "", "");
    const Host host = fake.host(1000);
    return Tree(find_layout(host, tag), host);
  }
};

std::vector<std::string> names(const std::vector<Refusal>& refusals) {
  std::vector<std::string> out;
  for (const Refusal& each : refusals) out.emplace_back(name_of(each.controller));
  return out;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a service whose cgroup systemd has delegated gets all controllers below it") {
  const FakeHost fake;
  fs::create_directories(fake.root() + "/run/systemd/system");
  fake.self_unified("/system.slice/kairod.service");
  fake.unified("/system.slice/kairod.service", "cpu io memory pids\n", "", "100\n101\n");
  const Layout layout = find_layout(fake.host(0, {100, 101}, true), tag);
  CHECK(layout.unified == fake.root() + "/sys/fs/cgroup/system.slice/kairod.service/kairo-" + tag);
  CHECK(layout.unified_path == std::string("/system.slice/kairod.service/kairo-") + tag);
  CHECK(layout.controllers == Names{"cpu", "memory", "pids"});
  CHECK(layout.can_limit(Controller::memory));
}

TEST_CASE("what systemd has not delegated to root's daemon serves for attribution alone") {
  const FakeHost fake;
  fs::create_directories(fake.root() + "/run/systemd/system");
  fake.self_unified("/system.slice/kairod.service");
  fake.unified("/system.slice/kairod.service", "cpu memory pids\n", "", "100\n");
  const Layout layout = find_layout(fake.host(0, {100}, false), tag);
  CHECK_FALSE(layout.unified.empty());
  CHECK(layout.controllers.empty());
}

TEST_CASE("a user's daemon beside a shell goes up to what hands controllers on") {
  const FakeHost fake;
  fake.self_unified("/user.slice/user@1000.service/app.slice/term.scope");
  fake.unified("/user.slice/user@1000.service", "cpu memory pids\n", "memory pids\n", "");
  fake.unified("/user.slice/user@1000.service/app.slice", "memory pids\n", "", "");
  fake.unified("/user.slice/user@1000.service/app.slice/term.scope", "memory pids\n", "", "7\n100\n");
  const Layout layout = find_layout(fake.host(1000, {100}), tag);
  // The slice between is the user's manager's: what it does not hand on it is not made to.
  CHECK(layout.unified_path == std::string("/user.slice/user@1000.service/kairo-") + tag);
  CHECK(layout.controllers == Names{"memory", "pids"});
}

TEST_CASE("a daemon in its own leaf finds the place that it had before") {
  const FakeHost fake;
  const std::string base = std::string("/a.service/kairo-") + tag;
  fake.self_unified(base + "/daemon");
  fake.unified("/a.service", "memory\n", "memory\n", "");
  const Layout layout = find_layout(fake.host(1000), tag);
  CHECK(layout.unified_path == base);
  CHECK(layout.controllers == Names{"memory"});
}

TEST_CASE("a cgroup outside of the namespace, or no cgroup file system, is none") {
  const FakeHost fake;
  fake.self_unified("/../other");
  CHECK_FALSE(find_layout(fake.host(1000), tag).any());
  const FakeHost empty;
  CHECK_FALSE(find_layout(empty.host(0), tag).any());
}

TEST_CASE("the first limit moves the daemon to a leaf and has the controller handed on") {
  const FakeHost fake;
  fake.self_unified("/a.service");
  fake.unified("/a.service", "cpu memory pids\n", "", "100\n101\n");
  const Host host = fake.host(1000, {100, 101});
  Tree tree(find_layout(host, tag), host);
  const std::string base = std::string("/sys/fs/cgroup/a.service/kairo-") + tag;

  std::vector<Refusal> refusals;
  const Group plain = tree.make(1, false, {}, refusals);
  CHECK((plain.in & 0xff) == unified_bit);
  CHECK(fake.get("/sys/fs/cgroup/a.service/cgroup.subtree_control").empty());  // not before it is wanted

  GroupLimits limits;
  limits.cpu = 0.5;
  limits.memory = 64u << 20;
  limits.pids = 20;
  const Group group = tree.make(0x2b, false, limits, refusals);
  CHECK(names(refusals).empty());
  CHECK(group.needs_unified);
  const std::string at = base + "/s000000000000002b";
  CHECK(fake.get(at + "/cpu.max") == "50000 100000");
  CHECK(fake.get(at + "/memory.max") == "67108864");
  CHECK(fake.get(at + "/memory.swap.max") == "0");
  CHECK(fake.get(at + "/pids.max") == "20");
  // The kernel adds to the list; a file keeps the last word.
  CHECK(fake.get("/sys/fs/cgroup/a.service/cgroup.subtree_control") == "+pids");
  CHECK(fake.get(base + "/cgroup.subtree_control") == "+pids");
}

TEST_CASE("what happened in a v2 group is read") {
  const FakeHost fake;
  fake.self_unified("/a.service");
  fake.unified("/a.service", "memory\n", "memory\n", "");
  const Host host = fake.host(1000);
  const Tree tree(find_layout(host, tag), host);
  const std::string at = std::string("/sys/fs/cgroup/a.service/kairo-") + tag + "/s0000000000000001";
  fake.put(at + "/memory.events", "low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\noom_group_kill 0\n");
  fake.put(at + "/pids.events", "max 31\n");
  fake.put(at + "/cpu.stat", "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n");
  fake.put(at + "/cgroup.events", "populated 1\nfrozen 0\n");
  fake.put(at + "/cgroup.procs", "10\n11\n");
  fake.put(at + "/inner/cgroup.procs", "12\n");
  const auto found = tree.found();
  REQUIRE(found.size() == 1);
  CHECK(found[0].key == 1);
  CHECK_FALSE(found[0].detach);
  const GroupUse use = tree.read_use(found[0]);
  CHECK(use.oom_kills == 2);
  CHECK(use.pids_refused == 31);
  CHECK(use.cpu_us == 1'234'567);
  CHECK(tree.populated(found[0]));
  CHECK(tree.members(found[0]) == std::vector<pid_t>{10, 11, 12});
  tree.kill(found[0]);
  CHECK(fake.get(at + "/cgroup.kill") == "1");
  fake.put(at + "/cgroup.events", "populated 0\nfrozen 0\n");
  CHECK_FALSE(tree.populated(found[0]));
}

namespace {
/// As on the hosts where v1 has the controllers: cpu and cpuacct in one hierarchy, memory seen from a
/// container.
void put_v1(const FakeHost& fake) {
  fake.self(
      "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "35 31 0:32 /box/7 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
      "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n",
      "8:pids:/\n4:memory:/box/7/inner\n1:cpu,cpuacct:/work\n");
  for (const char* each : {"cpu,cpuacct/work", "memory/inner", "pids"})
    fake.put(std::string("/sys/fs/cgroup/") + each + "/cgroup.procs", "");
}
}  // namespace

TEST_CASE("the v1 hierarchies are found where they are mounted") {
  const FakeHost fake;
  put_v1(fake);
  const Layout layout = find_layout(fake.host(0), tag);
  const std::string at = fake.root() + "/sys/fs/cgroup/";
  CHECK(layout.unified.empty());
  CHECK(layout.v1_directory(Controller::cpu) == at + "cpu,cpuacct/work/kairo-" + tag);
  CHECK(layout.v1_directory(Controller::cpuacct) == at + "cpu,cpuacct/work/kairo-" + tag);
  CHECK(layout.v1_directory(Controller::memory) == at + "memory/inner/kairo-" + tag);
  CHECK(layout.v1_directory(Controller::pids) == at + "pids/kairo-" + tag);
  CHECK(layout.any());
}

TEST_CASE("v1 groups are made only for what has limits, and where the limits need them") {
  const FakeHost fake;
  put_v1(fake);
  const Host host = fake.host(0);
  Tree tree(find_layout(host, tag), host);
  std::vector<Refusal> refusals;
  CHECK_FALSE(static_cast<bool>(tree.make(1, false, {}, refusals)));

  GroupLimits limits;
  limits.memory = 8u << 20;
  limits.cpu = 1.5;
  const Group group = tree.make(0xabc, true, limits, refusals);
  CHECK(names(refusals).empty());
  CHECK_FALSE(group.needs_unified);
  const std::string name = std::string("/kairo-") + tag + "/d0000000000000abc";
  CHECK(fake.get("/sys/fs/cgroup/memory/inner" + name + "/memory.limit_in_bytes") == "8388608");
  CHECK(fake.get("/sys/fs/cgroup/memory/inner" + name + "/memory.memsw.limit_in_bytes") == "8388608");
  CHECK(fake.get("/sys/fs/cgroup/cpu,cpuacct/work" + name + "/cpu.cfs_quota_us") == "150000");
  CHECK(fake.get("/sys/fs/cgroup/cpu,cpuacct/work" + name + "/cpu.cfs_period_us") == "100000");
  // There to end a fork bomb by, without a limit of its own.
  CHECK(fs::exists(fake.root() + "/sys/fs/cgroup/pids" + name));
  CHECK_FALSE(fs::exists(fake.root() + "/sys/fs/cgroup/pids" + name + "/pids.max"));

  fake.put("/sys/fs/cgroup/memory/inner" + name + "/memory.oom_control",
           "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
  fake.put("/sys/fs/cgroup/cpu,cpuacct/work" + name + "/cpuacct.usage", "2500000000\n");
  Group counted = group;
  counted.in |= 2u << static_cast<unsigned>(Controller::cpuacct);
  CHECK(tree.read_use(counted).oom_kills == 1);
  CHECK(tree.read_use(counted).cpu_us == 2'500'000);
}

TEST_CASE("a limit without its controller is refused by name, the others are set") {
  const FakeHost fake;
  fake.self_unified("/a.service");
  fake.unified("/a.service", "pids\n", "pids\n", "");
  const Host host = fake.host(1000);
  Tree tree(find_layout(host, tag), host);
  GroupLimits limits;
  limits.memory = 1u << 20;
  limits.pids = 5;
  std::vector<Refusal> refusals;
  const Group group = tree.make(1, false, limits, refusals);
  CHECK(names(refusals) == Names{"memory"});
  CHECK(group.in == unified_bit);
  CHECK(fake.get(std::string("/sys/fs/cgroup/a.service/kairo-") + tag + "/s0000000000000001/pids.max") ==
        "5");
}

TEST_CASE("a group is removed with what was made below it, and the base when it is empty") {
  PlainTree plain;
  Tree& tree = plain.tree;
  std::vector<Refusal> refusals;
  GroupLimits counted;
  counted.cpu_time = true;
  const Group group = tree.make(3, false, counted, refusals);
  const std::string at = tree.layout().unified + "/s0000000000000003";
  REQUIRE(fs::exists(at));
  fs::create_directories(at + "/made/by/a/program");
  tree.remove_base();
  CHECK(fs::exists(at));
  CHECK(tree.remove(group));
  CHECK_FALSE(fs::exists(at));
  CHECK(tree.remove(group));  // gone is gone
  tree.remove_base();
  CHECK_FALSE(fs::exists(tree.layout().unified));
  // Who comes after another's end makes it anew.
  CHECK(tree.make(4, false, counted, refusals).in == unified_bit);
}

TEST_CASE("a group without limits is one session's after another's, and never both") {
  PlainTree plain;
  const FakeHost& fake = plain.fake;
  Tree& tree = plain.tree;
  std::vector<Refusal> refusals;
  const Group first = tree.make(5, true, {}, refusals);
  if (first.number() == 0) {
    MESSAGE("left out: the file system of TMPDIR keeps no attributes");
    CHECK(fs::exists(tree.layout().unified + "/d0000000000000005"));
    return;
  }
  const std::string name = "/g" + std::to_string(first.number());
  const std::string at = tree.layout().unified + name;
  const std::string fake_at = at.substr(fake.root().size());
  const auto put = [&](const char* file, const char* text) { fake.put(fake_at + "/" + file, text); };
  put("cgroup.events", "populated 1\nfrozen 0\n");
  put("cgroup.kill", "");
  put("cgroup.procs", "");
  put("cgroup.controllers", "");
  put("cgroup.pressure", "1\n");
  put("cgroup.type", "domain\n");
  put("cgroup.max.depth", "max\n");
  put("cgroup.max.descendants", "max\n");
  fake.put("/proc/42/cgroup", "0::" + tree.layout().unified_path + name + "/inner\n");
  CHECK(session_key_of(42, tree.layout(), fake.root()) == 5);
  CHECK(tree.populated(first));
  CHECK_FALSE(tree.vacate(first));
  REQUIRE(tree.found().size() == 1);
  CHECK(tree.found()[0].key == 5);
  CHECK(tree.found()[0].detach);
  CHECK(tree.found()[0].in == first.in);

  put("cgroup.events", "populated 0\nfrozen 1\n");
  CHECK_FALSE(tree.vacate(first));
  put("cgroup.events", "populated 0\nfrozen 0\n");
  REQUIRE(tree.vacate(first));
  CHECK_FALSE(tree.vacate(first));
  CHECK(session_key_of(42, tree.layout(), fake.root()) == 0);  // nobody's
  CHECK(tree.is_as_new(first.number()));
  const std::pair<const char*, const char*> changed[] = {{"cgroup.type", "threaded\n"},
                                                         {"cgroup.max.depth", "0\n"},
                                                         {"cgroup.max.descendants", "3\n"},
                                                         {"cgroup.pressure", "0\n"},
                                                         {"cgroup.controllers", "memory\n"}};
  for (const auto& [file, text] : changed) {
    const std::string before = fake.get(fake_at + "/" + file);
    put(file, text);
    CHECK_FALSE(tree.is_as_new(first.number()));
    put(file, before.c_str());
  }
  REQUIRE(::setxattr(at.c_str(), "user.left", "1", 1, 0) == 0);
  CHECK_FALSE(tree.is_as_new(first.number()));
  REQUIRE(::removexattr(at.c_str(), "user.left") == 0);
  fs::create_directories(at + "/inner");
  CHECK_FALSE(tree.is_as_new(first.number()));
  fs::remove(at + "/inner");
  CHECK(tree.is_as_new(first.number()));

  const Group second = tree.use_again(first.number(), 6, false);
  REQUIRE(second);
  CHECK(session_key_of(42, tree.layout(), fake.root()) == 6);
  put("cgroup.events", "populated 1\nfrozen 0\n");
  put("cgroup.procs", "42\n");
  // Who asks by the first session's group finds nobody, and kills nobody.
  CHECK_FALSE(tree.populated(first));
  CHECK(tree.members(first).empty());
  tree.kill(first);
  CHECK(fake.get(fake_at + "/cgroup.kill").empty());
  CHECK(tree.remove(first));
  tree.discard(first.number());
  CHECK(fs::exists(at));
  CHECK(tree.populated(second));
  CHECK(tree.members(second) == std::vector<pid_t>{42});
  tree.kill(second);
  CHECK(fake.get(fake_at + "/cgroup.kill") == "1");
  // It was killed as one: nobody is born into it again.
  CHECK(session_key_of(42, tree.layout(), fake.root()) == 6);
  put("cgroup.events", "populated 0\nfrozen 0\n");
  put("cgroup.procs", "");
  CHECK_FALSE(tree.vacate(second));
  CHECK_FALSE(tree.use_again(77, 7, false));  // there is none
}

TEST_CASE("a vacated group that a keeper has left is removed by who looks what is there") {
  PlainTree plain;
  Tree& tree = plain.tree;
  const std::string& base = tree.layout().unified;
  fs::create_directories(base + "/g12/made/by/a/program");
  fs::create_directories(base + "/g0");
  fs::create_directories(base + "/daemon");
  CHECK(tree.found().empty());
  CHECK_FALSE(fs::exists(base + "/g12"));
  CHECK(fs::exists(base + "/g0"));  // no number: nobody's of ours
  CHECK(fs::exists(base + "/daemon"));
}

TEST_CASE("a process belongs to the session whose group it is in or below") {
  const FakeHost fake;
  Layout layout;
  layout.unified_path = "/a.service/kairo-00000000000000aa";
  const auto key = [&](const std::string& path) {
    fake.put("/proc/42/cgroup",
             "9:name=systemd:/\n4:memory:" + layout.unified_path + "/s0000000000000009\n0::" + path + "\n");
    return session_key_of(42, layout, fake.root());
  };
  CHECK(key("/a.service/kairo-00000000000000aa/s000000000000002b") == 0x2b);
  CHECK(key("/a.service/kairo-00000000000000aa/d00000000000000ff/inner/s0000000000000001") == 0xff);
  CHECK_FALSE(key("/a.service/kairo-00000000000000aa/daemon"));
  CHECK_FALSE(key("/a.service/kairo-00000000000000aa"));
  CHECK_FALSE(key("/a.service/kairo-00000000000000ab/s000000000000002b"));
  CHECK_FALSE(key("/b/a.service/kairo-00000000000000aa/s000000000000002b"));
  CHECK_FALSE(key("/a.service/kairo-00000000000000aa/s2b"));
  CHECK_FALSE(key("/a.service/kairo-00000000000000aa/s000000000000002b0"));
  CHECK_FALSE(key("/a.service/kairo-00000000000000aa/s00000000000000-1"));
  CHECK_FALSE(session_key_of(43, layout, fake.root()));  // there is no such process
  CHECK_FALSE(session_key_of(-1, layout, fake.root()));
  CHECK_FALSE(session_key_of(42, Layout{}, fake.root()));
}

TEST_CASE("the files of cgroups are read as they are written") {
  CHECK(number_of("populated 1\nfrozen 0\n", "frozen") == 0);
  CHECK_FALSE(number_of("populated max\n", "populated"));
  CHECK_FALSE(number_of("", "populated"));
  CHECK(words_of(" a\tb\n\nc ") == std::vector<std::string_view>{"a", "b", "c"});
  CHECK_FALSE(read_text("/nonexistent/kairo"));
  CHECK(write_text("/nonexistent/kairo", "1") == ENOENT);
}
