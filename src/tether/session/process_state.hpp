#pragma once

namespace berth::tether {

/// For a fresh child: the tether's own signal dispositions and mask end here; so does its exemption from the
/// OOM killer.
void reset_process_state(int oom_score_adj);

}  // namespace berth::tether
