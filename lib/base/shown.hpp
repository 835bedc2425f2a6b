// Text that others chose (names of files, mostly), made fit for a terminal and for a shell: nothing in it
// moves a cursor, turns the writing around, is invisible, or ends the word that it stands in.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace kairo {

/// The first character of a text that is not empty.
struct Character {
  std::size_t bytes = 1;   ///< 1 where it is no UTF-8.
  char32_t code = 0;       ///< Without meaning where it is no UTF-8.
  bool is_text = false;    ///< Well-formed UTF-8.
  bool printable = false;  ///< And neither a control, nor of those that turn or hide what stands around them.
};
Character first_character(std::string_view text);

/// With `\xNN` for each byte of what is not printable.
std::string shown(std::string_view text);

/// One word of a shell: as it is where that is one, else '...', or $'...' (bash, zsh, ksh) where something is
/// not printable. What comes out is always printable.
std::string shell_word(std::string_view word);

}  // namespace kairo
