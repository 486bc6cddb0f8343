#pragma once

namespace berth::tether {

/// For PID 1 of a PID namespace: forks, and returns in the child only, which is then the leader of a process
/// group of its own, in the foreground of the terminal when there is one. The parent passes signals on to the
/// child, collects orphans, and exits as the child did (128 plus the signal's number when one ended it). The
/// child keeps every descriptor, the parent none.
void fork_below_init(bool terminal);

}  // namespace berth::tether
