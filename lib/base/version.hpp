#pragma once

namespace kairo {

/// Of the whole program, "MAJOR.MINOR.PATCH". A function, so that one file alone depends on the number.
const char* version();

}  // namespace kairo
