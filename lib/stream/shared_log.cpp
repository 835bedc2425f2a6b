#include "stream/shared_log.hpp"

#include <cinttypes>
#include <cstdio>

namespace kairo::stream {

std::string log_file_name(std::uint64_t key, unsigned stream) {
  char text[40];
  std::snprintf(text, sizeof text, "%016" PRIx64 ".%u", key, stream);
  return text;
}

}  // namespace kairo::stream
