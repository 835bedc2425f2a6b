// What all connections together have carried. Plain integers of the kernel's thread.
#pragma once

#include <cstdint>

namespace kairo::ipc {

struct Traffic {
  std::uint64_t received_bytes = 0;
  std::uint64_t sent_bytes = 0;
};

}  // namespace kairo::ipc
