// The descriptors between the executor and a node that is a process. Of each pair the executor's end does not
// block and the node's end is left as programs expect it: O_NONBLOCK stands in the open file description, so
// that a pair of descriptions is needed, never two descriptors of one.
#pragma once

#include <cstdint>

#include "api/topology.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace kairo::executor {

struct PipeEnds {
  UniqueFd ours;
  UniqueFd theirs;
};

enum class Direction { to_node, from_node };

/// A pair of stream sockets, or a pipe; both ends close-on-exec. E_LIMIT_EXCEEDED: no descriptors are left.
Result<PipeEnds> make_pipe_ends(api::NodeIo io, Direction direction);

/// Gives a socket the room of one of make_pipe_ends(), for what is written to it.
void widen(int socket);

/// Bytes that wait at the reading end `fd`.
std::uint64_t unread_bytes(int fd);

/// All of them. The writing end must be quiet.
Result<std::string> take_unread(int fd);

}  // namespace kairo::executor
