#include "sandbox/filter_program.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <limits>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <map>
#include <optional>
#include <utility>

namespace kairo::sandbox {
namespace {

/// A place in the program, known once everything before it is written; `here`: right behind.
using Label = std::size_t;
constexpr Label here = std::numeric_limits<Label>::max();

/// Jumps of seccomp's programs only go forward.
class Assembler {
 public:
  Label label() {
    places_.push_back(0);
    return places_.size() - 1;
  }
  void bind(Label label) { places_[label] = code_.size(); }

  void load(std::size_t offset) { put({BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(offset)}); }
  void mask(std::uint32_t bits) { put({BPF_ALU | BPF_AND | BPF_K, 0, 0, bits}); }
  void give(std::uint32_t action) { put({BPF_RET | BPF_K, 0, 0, action}); }
  void go(Label to) { put({BPF_JMP | BPF_JA, 0, 0, 0}, to); }
  /// `test`: BPF_JEQ, BPF_JGT, BPF_JGE or BPF_JSET.
  void jump(unsigned test, std::uint32_t with, Label yes, Label no) {
    put({static_cast<std::uint16_t>(BPF_JMP | test | BPF_K), 0, 0, with}, yes, no);
  }
  [[nodiscard]] std::size_t size() const { return code_.size(); }

  /// Nothing where a jump is too far for its instruction.
  std::optional<std::string> program() {
    std::string out;
    for (std::size_t i = 0; i < code_.size(); ++i) {
      auto& [instruction, yes, no] = code_[i];
      const auto distance = [&](Label to) { return to == here ? 0 : places_[to] - i - 1; };
      if (instruction.code == (BPF_JMP | BPF_JA)) {
        instruction.k = static_cast<std::uint32_t>(distance(yes));
      } else {
        if (distance(yes) > 0xff || distance(no) > 0xff) return std::nullopt;
        instruction.jt = static_cast<std::uint8_t>(distance(yes));
        instruction.jf = static_cast<std::uint8_t>(distance(no));
      }
      out.append(reinterpret_cast<const char*>(&instruction), sizeof instruction);
    }
    return out;
  }

 private:
  struct Line {
    sock_filter instruction;
    Label yes;
    Label no;
  };
  void put(sock_filter instruction, Label yes = here, Label no = here) {
    code_.push_back({instruction, yes, no});
  }
  std::vector<Line> code_;
  std::vector<std::size_t> places_;
};

/// What the accumulator holds of an argument: all or some bits of one of its halves.
struct Held {
  std::size_t offset;
  std::uint32_t bits;
  bool operator==(const Held&) const = default;
};
constexpr std::uint32_t all_bits = 0xffffffff;
constexpr std::uint32_t low_16 = 0xffff;

std::size_t half_of(unsigned argument, bool upper) {
  const bool second = upper == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  return offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t) +
         (second ? sizeof(std::uint32_t) : 0);
}

/// The rules of one call.
class Body {
 public:
  Body(Assembler& code, Label allowed) : code_(code), allowed_(allowed) {}

  void add(const Rule& rule, Label refused, bool last) {
    const Label next = last ? allowed_ : code_.label();
    next_held_.reset();
    next_reached_ = false;
    for (std::size_t i = 0; i < rule.where.size(); ++i) {
      const bool decides = i + 1 == rule.where.size();
      const Label further = decides ? refused : code_.label();
      test(rule.where[i], further, next);
      if (!decides) code_.bind(further);
    }
    if (rule.where.empty()) code_.go(refused);
    if (last) return;
    code_.bind(next);
    held_ = next_held_;
  }

 private:
  void need(const Held& wanted) {
    if (held_ == wanted) return;
    if (!held_ || held_->offset != wanted.offset || held_->bits != all_bits) code_.load(wanted.offset);
    if (wanted.bits != all_bits) code_.mask(wanted.bits);
    held_ = wanted;
  }
  /// A jump to the next rule: that knows what all such jumps leave it.
  void leave() {
    if (next_reached_ && next_held_ != held_)
      next_held_.reset();
    else
      next_held_ = held_;
    next_reached_ = true;
  }
  void test(const Condition& condition, Label yes, Label no) {
    using Kind = Condition::Kind;
    const Held low{half_of(condition.argument, false), all_bits};
    const Held high{half_of(condition.argument, true), all_bits};
    switch (condition.kind) {
      case Kind::any_of:
      case Kind::none_of: {
        const bool any = condition.kind == Kind::any_of;
        need(low);
        code_.jump(BPF_JSET, condition.first, any ? yes : no, any ? no : yes);
        break;
      }
      case Kind::masked:
        need({low.offset, condition.first});
        code_.jump(BPF_JEQ, condition.second, yes, no);
        break;
      case Kind::equal:
        need(low);
        code_.jump(BPF_JEQ, condition.first, yes, no);
        break;
      case Kind::differs:
        // With `yes` the next condition is looked at, from both halves: it finds nothing that is held.
        need(high);
        code_.jump(BPF_JEQ, 0, here, yes);
        need(low);
        code_.jump(BPF_JEQ, condition.first, no, yes);
        leave();
        held_.reset();
        return;
      case Kind::above:
        need(high);
        code_.jump(BPF_JGT, 0, yes, here);
        need(low);
        code_.jump(BPF_JGT, condition.first, yes, no);
        leave();
        held_.reset();
        return;
      case Kind::within:
        need({low.offset, low_16});
        if (condition.first == condition.second) {
          code_.jump(BPF_JEQ, condition.first, yes, no);
        } else {
          code_.jump(BPF_JGE, condition.first, here, no);
          code_.jump(BPF_JGT, condition.second, no, yes);
        }
        break;
    }
    leave();
  }

  Assembler& code_;
  Label allowed_;
  std::optional<Held> held_;
  std::optional<Held> next_held_;
  bool next_reached_ = false;
};

/// Tells numbers apart.
class Dispatch {
 public:
  /// What numbers from `first` up to the next one's go to.
  struct Span {
    std::uint32_t first;
    Label to;
  };
  /// `end`: past the last number that the kernel tries.
  Dispatch(std::vector<Span> spans, std::uint32_t end) : spans_(std::move(spans)), end_(end) {
    const std::size_t count = spans_.size();
    best_.assign(count * count, {});
    for (std::size_t length = 1; length <= count; ++length)
      for (std::size_t begin = 0; begin + length <= count; ++begin)
        at(begin, begin + length) = choose(begin, begin + length);
  }
  /// The number is in the accumulator.
  void write(Assembler& code) const {
    if (const Label to = write(code, 0, spans_.size()); to != here) code.go(to);
  }

 private:
  /// An instruction costs as much time as this many steps of the kernel's trial.
  static constexpr std::uint64_t instruction_steps = 80;

  /// How spans are told apart: in two at `split`, or the single numbers one after the other, all others going
  /// to `rest`.
  struct Choice {
    std::uint64_t price = 0;
    std::size_t split = 0;
    Label rest = here;
  };
  Choice& at(std::size_t begin, std::size_t end) { return best_[begin * spans_.size() + end - 1]; }
  [[nodiscard]] const Choice& at(std::size_t begin, std::size_t end) const {
    return best_[begin * spans_.size() + end - 1];
  }
  [[nodiscard]] std::uint64_t width(std::size_t begin, std::size_t end) const {
    const std::uint32_t past =
        end < spans_.size() ? spans_[end].first : std::max(end_, spans_.back().first + 1);
    return past - spans_[begin].first;
  }
  [[nodiscard]] bool single(std::size_t index) const {
    return index + 1 < spans_.size() && spans_[index + 1].first == spans_[index].first + 1;
  }

  [[nodiscard]] Choice choose(std::size_t begin, std::size_t end) const {
    const std::uint64_t numbers = width(begin, end);
    Choice best{std::numeric_limits<std::uint64_t>::max(), 0, here};
    // Neighbours go to different places: the rest is where the first or the second does, or there is none.
    for (std::size_t i = begin; i < std::min(begin + 2, end); ++i) {
      std::uint64_t tests = 0;
      bool fits = true;
      for (std::size_t j = begin; j < end && fits; ++j) {
        if (spans_[j].to == spans_[i].to) continue;
        fits = single(j);
        ++tests;
      }
      const std::uint64_t price = tests * (instruction_steps + numbers);
      if (fits && price < best.price) best = {price, 0, spans_[i].to};
    }
    for (std::size_t split = begin + 1; split < end; ++split) {
      const std::uint64_t price = instruction_steps + numbers + at(begin, split).price + at(split, end).price;
      if (price < best.price) best = {price, split, here};
    }
    return best;
  }

  /// Where all of them go, or `here`: what tells them apart has been written.
  Label write(Assembler& code, std::size_t begin, std::size_t end) const {
    const Choice& choice = at(begin, end);
    if (choice.rest != here) {
      std::vector<std::size_t> tested;
      for (std::size_t i = begin; i < end; ++i)
        if (spans_[i].to != choice.rest) tested.push_back(i);
      if (tested.empty()) return choice.rest;
      for (const std::size_t each : tested)
        code.jump(BPF_JEQ, spans_[each].first, spans_[each].to, each == tested.back() ? choice.rest : here);
      return here;
    }
    const Label right = is_plain(choice.split, end) ? at(choice.split, end).rest : code.label();
    const Label left = is_plain(begin, choice.split) ? at(begin, choice.split).rest : here;
    code.jump(BPF_JGE, spans_[choice.split].first, right, left);
    if (left == here) write(code, begin, choice.split);
    if (!is_plain(choice.split, end)) {
      code.bind(right);
      write(code, choice.split, end);
    }
    return here;
  }
  [[nodiscard]] bool is_plain(std::size_t begin, std::size_t end) const { return at(begin, end).price == 0; }

  std::vector<Span> spans_;
  std::uint32_t end_;
  std::vector<Choice> best_;
};

}  // namespace

Result<Filter> assemble(std::uint32_t architecture, unsigned newest, const std::vector<Rule>& rules) {
  std::map<unsigned, std::vector<const Rule*>> by_number;
  for (const Rule& rule : rules)
    if (rule.number <= newest) by_number[rule.number].push_back(&rule);

  Assembler code;
  const Label allowed = code.label();
  const Label other_architecture = code.label();
  std::map<std::pair<int, bool>, Label> refusals;
  const auto refused = [&](int error, bool tellable) {
    const auto [found, made] = refusals.try_emplace({error, tellable});
    if (made) found->second = code.label();
    return found->second;
  };
  const Label unknown = refused(ENOSYS, false);

  std::vector<Dispatch::Span> spans{{0, allowed}};
  std::vector<std::pair<Label, const std::vector<const Rule*>*>> bodies;
  const auto add = [&](std::uint32_t first, Label to) {
    if (spans.back().first == first) spans.pop_back();
    if (spans.empty() || spans.back().to != to) spans.push_back({first, to});
  };
  for (const auto& [number, of_call] : by_number) {
    if (of_call.front()->where.empty()) {
      add(number, refused(of_call.front()->error, of_call.front()->tellable));
    } else {
      bodies.emplace_back(code.label(), &of_call);
      add(number, bodies.back().first);
    }
    add(number + 1, allowed);
  }
  add(newest + 1, unknown);

  code.load(offsetof(seccomp_data, arch));
  code.jump(BPF_JEQ, architecture, here, other_architecture);
  code.load(offsetof(seccomp_data, nr));
  Dispatch(std::move(spans), newest + 1).write(code);
  for (const auto& [label, of_call] : bodies) {
    code.bind(label);
    Body body(code, allowed);
    for (const Rule* each : *of_call)
      body.add(*each, refused(each->error, each->tellable), each == of_call->back());
  }
  code.bind(allowed);
  code.give(SECCOMP_RET_ALLOW);
  code.bind(other_architecture);
  code.give(SECCOMP_RET_KILL_PROCESS);
  Filter out;
  for (const auto& [refusal, label] : refusals) {
    code.bind(label);
    if (refusal.second) out.tellable.push_back(static_cast<std::uint16_t>(code.size()));
    code.give(SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(refusal.first));
  }
  auto program = code.program();
  if (!program || code.size() > BPF_MAXINSNS)
    return Error(Code::internal,
                 "a seccomp filter of " + std::to_string(code.size()) + " instructions is too long");
  out.program = *std::move(program);
  return out;
}

}  // namespace kairo::sandbox
