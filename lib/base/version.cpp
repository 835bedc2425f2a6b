#include "base/version.hpp"

namespace kairo {

const char* version() {
  return KAIRO_VERSION;
}

}  // namespace kairo
