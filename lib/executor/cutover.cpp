#include "executor/cutover.hpp"

namespace kairo::executor {

CutoverStep next(CutoverState state, CutoverEvent event, bool old_lives) {
  using S = CutoverState;
  using E = CutoverEvent;
  using A = CutoverAction;
  const CutoverStep stay{state, A::none};
  switch (state) {
    case S::starting:
      if (event == E::new_failed) return {S::rolled_back, A::roll_back};
      if (event == E::new_healthy)
        return old_lives ? CutoverStep{S::holding, A::hold} : CutoverStep{S::switched, A::switch_over};
      return stay;
    case S::holding:
      if (event == E::new_failed) return {S::rolled_back, A::roll_back};
      if (event == E::held) return {S::draining, A::end_old};
      if (event == E::old_gone) return {S::switched, A::switch_over};
      return stay;
    case S::draining:
      if (event == E::old_drained || event == E::old_gone) return {S::switched, A::switch_over};
      if (event == E::drain_timeout) return {S::killing, A::kill_old};
      // The old node's input has ended: there is no way back. What is wrong with the new one is seen once it
      // has the stream.
      return stay;
    case S::killing:
      if (event == E::old_drained || event == E::old_gone) return {S::switched, A::switch_over};
      return stay;
    case S::switched:
    case S::rolled_back: return stay;
  }
  return stay;
}

}  // namespace kairo::executor
