#pragma once
// What a thread has computed, whoever else is at work on the machine.

namespace dms::grammar {

/// Of the calling thread, in seconds.
double thread_seconds();

}  // namespace dms::grammar
