// kairo-break-in: tries, one after the other, what a confined program must not be able to do.
//
//   kairo-break-in all          every attempt; one line each: "NAME in", "NAME kept ERRNO", "NAME moot WHY"
//   kairo-break-in NAME...      these alone
//   kairo-break-in victim DIR   what is attacked: a process with sockets, shared memory and the like. It
//   prints the
//                               variables by which attempts find it, one "NAME=value" a line, then "ready",
//                               and lives until its standard input ends.
//   kairo-break-in ids          prints its effective user id (for the set-user-id copy)
//
// An attempt runs in a process of its own, since some end it. The scene is described by variables (below);
// the same attempts run without confinement show that they would have worked.
#pragma once

#include <span>
#include <string>

namespace kairo::break_in {

/// What became of an attempt. `moot`: it cannot be tried on this host.
inline constexpr int in = 0;
inline constexpr int moot = 10'000;

struct Attempt {
  const char* name;
  int (*run)();  ///< in, moot, or the errno with which it was refused.
};

/// "DIR/inside", which may be written, "DIR/readable", which may be read, and "DIR/outside", which may be
/// neither.
std::string scene(const std::string& name);
/// A variable of the scene as a number or text; throws when it is missing.
std::string text(const char* name);
long number(const char* name);

/// errno as an attempt's result; `in` when the call went well.
int outcome(long result);
/// The same of a call that the unconfined kernel refuses, too, with another error than EPERM or EACCES: it
/// had got there.
int reached(long result);

std::span<const Attempt> file_attempts();
std::span<const Attempt> network_attempts();
std::span<const Attempt> scope_attempts();
std::span<const Attempt> kernel_attempts();

int victim(const std::string& dir);

}  // namespace kairo::break_in
