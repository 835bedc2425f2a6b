#include "sandbox/filter_program.hpp"

#include <cerrno>
#include <linux/audit.h>
#include <random>

#include <doctest/doctest.h>

#include "verdict.hpp"

using namespace kairo;
using sandbox::Condition;
using sandbox::Rule;
using sandbox::test::verdict;

namespace {

constexpr std::uint32_t machine = AUDIT_ARCH_X86_64;
constexpr unsigned newest = 469;

bool holds(const Condition& condition, const seccomp_data& data) {
  using Kind = Condition::Kind;
  const std::uint64_t all = data.args[condition.argument];
  const auto low = static_cast<std::uint32_t>(all);
  switch (condition.kind) {
    case Kind::any_of: return (low & condition.first) != 0;
    case Kind::none_of: return (low & condition.first) == 0;
    case Kind::masked: return (low & condition.first) == condition.second;
    case Kind::equal: return low == condition.first;
    case Kind::differs: return all != condition.first;
    case Kind::above: return all > condition.first;
    case Kind::within: return (low & 0xffff) >= condition.first && (low & 0xffff) <= condition.second;
  }
  return false;
}

/// What the rules say, one after the other.
std::uint32_t expected(const std::vector<Rule>& rules, const seccomp_data& data) {
  if (data.arch != machine) return SECCOMP_RET_KILL_PROCESS;
  const auto number = static_cast<unsigned>(data.nr);
  if (number > newest) return SECCOMP_RET_ERRNO | ENOSYS;
  for (const Rule& rule : rules) {
    bool all = rule.number == number;
    for (const Condition& each : rule.where) all = all && holds(each, data);
    if (all) return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(rule.error);
  }
  return SECCOMP_RET_ALLOW;
}

class Chance {
 public:
  explicit Chance(unsigned seed) : engine_(seed) {}
  std::uint32_t below(std::uint32_t end) { return static_cast<std::uint32_t>(engine_() % end); }
  /// A few bits, now and then also above 32.
  std::uint64_t word() {
    std::uint64_t out = below(2) == 0 ? below(8) : std::uint64_t{1} << below(18) | below(4);
    if (below(8) == 0) out |= std::uint64_t{1} << (32 + below(32));
    return out;
  }
  Condition condition() {
    const auto kind = static_cast<Condition::Kind>(below(7));
    Condition out{kind, below(2), static_cast<std::uint32_t>(word()), 0};
    if (kind == Condition::Kind::masked) out.second = out.first & static_cast<std::uint32_t>(word());
    if (kind == Condition::Kind::within) {
      out.first &= 0xffff;
      out.second = std::min<std::uint32_t>(out.first + below(3), 0xffff);
    }
    return out;
  }
  std::vector<Rule> rules() {
    std::vector<Rule> out;
    const std::uint32_t calls = below(40);
    for (std::uint32_t i = 0; i < calls; ++i) {
      const unsigned number = below(2) == 0 ? below(20) : below(newest + 1);
      const std::uint32_t conditional = below(3) == 0 ? 1 + below(3) : 0;
      for (std::uint32_t j = 0; j < conditional; ++j) {
        Rule rule{number, below(2) == 0 ? EPERM : EACCES, below(2) == 0, {}};
        for (std::uint32_t k = 0; k <= below(3); ++k) rule.where.push_back(condition());
        out.push_back(rule);
      }
      if (conditional == 0) out.push_back({number, below(2) == 0 ? EPERM : EACCES, below(2) == 0, {}});
    }
    return out;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace

TEST_CASE("a program says what its rules say") {
  for (unsigned seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    Chance chance(seed);
    const std::vector<Rule> rules = chance.rules();
    const auto filter = sandbox::assemble(machine, newest, rules);
    REQUIRE(filter.ok());
    std::size_t wrong = 0;
    const auto compare = [&](int number, std::uint32_t architecture) {
      seccomp_data data{};
      data.nr = number;
      data.arch = architecture;
      for (auto& each : data.args) each = chance.word();
      wrong += verdict(filter->program, data) != expected(rules, data) ? 1 : 0;
    };
    for (int number = -2; number < static_cast<int>(newest) + 3; ++number) compare(number, machine);
    compare(0x40000000, machine);
    compare(0, AUDIT_ARCH_I386);
    for (const Rule& each : rules)
      for (int i = 0; i < 50; ++i) compare(static_cast<int>(each.number), machine);
    CHECK(wrong == 0);
  }
}

TEST_CASE("what is tellable is told from the same refusal that is not") {
  const std::vector<Rule> rules{{1, EPERM, true, {}}, {2, EPERM, false, {}}, {3, EACCES, true, {}}};
  const auto filter = sandbox::assemble(machine, newest, rules);
  REQUIRE(filter.ok());
  const auto program = sandbox::told(filter->program, filter->tellable);
  REQUIRE(program);
  const auto says = [&](int number) {
    seccomp_data data{};
    data.nr = number;
    data.arch = machine;
    return verdict(*program, data);
  };
  CHECK(says(1) == SECCOMP_RET_USER_NOTIF);
  CHECK(says(2) == (SECCOMP_RET_ERRNO | EPERM));
  CHECK(says(3) == SECCOMP_RET_USER_NOTIF);
  CHECK(says(4) == SECCOMP_RET_ALLOW);
}

TEST_CASE("neighbours and lists cost few instructions") {
  std::vector<Rule> rules;
  for (unsigned number = 100; number < 200; ++number) rules.push_back({number, EPERM, false, {}});
  const auto filter = sandbox::assemble(machine, newest, rules);
  REQUIRE(filter.ok());
  // Architecture and number, three comparisons, four ends.
  CHECK(filter->program.size() / sizeof(sock_filter) <= 10);
}

TEST_CASE("rules that are too many for the program's jumps are refused") {
  std::vector<Rule> rules;
  for (unsigned number = 0; number < 400; ++number)
    rules.push_back({number, EPERM, false, {{Condition::Kind::equal, number % 6, number}}});
  CHECK_FALSE(sandbox::assemble(machine, newest, rules).ok());
}
