// The launching thread's part of a confinement: opens the paths of a plan and makes Landlock's ruleset of
// them. May hang where a path lies on a dead mount, as an exec may.
//
// The last few are kept for a short time: to make one takes some 3 us for each path, to look whether one
// still says what its plan says a fraction of that. A rule is about an inode, and the ruleset holds it: as
// long as the ruleset is there nothing else gets its number, on file systems that number their inodes
// themselves (others, of FUSE or a network, have what a server says: rulesets with paths there are not kept).
// So a ruleset is as good as a new one where every path leads, for the same user's eyes, to the same inode
// number on the same mount (by the id that no other mount ever gets; while that is there, so is its file
// system), and what was not there still is not. Otherwise it is made anew.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"
#include "sandbox/plan.hpp"

namespace kairo::sandbox {

struct RulesetFailure {
  const char* step;  ///< "permissions": a path of the declaration; "landlock": anything else.
  int error_number;
  std::string object;
};

/// How many are kept. Each is a descriptor of the keeper's own.
inline constexpr std::size_t rulesets_kept_max = 8;
/// How long one is kept that nothing uses. What it holds may have been removed meanwhile, and a file system
/// with such inodes cannot be made read-only.
inline constexpr std::chrono::seconds ruleset_kept_for{5};

/// Used by one thread, which looks as the user does whose launch it is.
class Rulesets {
 public:
  /// The ruleset of this plan, which closes on exec; borrowed until the next call.
  std::variant<int, RulesetFailure> get(const Plan& plan);

  /// Lets go of what was not used for ruleset_kept_for.
  void forget(SteadyTime now);
  [[nodiscard]] bool empty() const;
  [[nodiscard]] std::uint64_t made() const { return made_; }

 private:
  /// What a path led to.
  struct Seen {
    std::uint64_t mount;
    std::uint64_t inode;
    std::uint32_t device_major;
    std::uint32_t device_minor;
    std::uint32_t type;
    bool operator==(const Seen&) const = default;
  };
  struct Kept {
    std::uint64_t handled_files = 0;
    std::uint64_t handled_ports = 0;
    std::uint64_t scoped = 0;
    std::vector<PathRule> paths;
    std::vector<PortRule> ports;
    std::vector<std::optional<Seen>> seen;  ///< For each path; nothing: it was passed over.
    UniqueFd ruleset;
    SteadyTime used{};
  };

  static std::optional<Seen> look(int directory, const char* path);
  static bool is_of(const Kept& kept, const Plan& plan);
  static bool still_holds(const Kept& kept);
  std::variant<UniqueFd, RulesetFailure> make(const Plan& plan, std::vector<std::optional<Seen>>& seen,
                                              bool& may_be_kept);

  std::array<Kept, rulesets_kept_max> kept_;
  UniqueFd other_;  ///< The last one that is not kept.
  std::uint64_t made_ = 0;
};

}  // namespace kairo::sandbox
