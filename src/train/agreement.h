#pragma once
// Ranks that fail together: what only one of them runs into (a full disk, no memory, a damaged
// file) must not leave the others waiting for it.

#include <exception>
#include <functional>
#include <string>

#include "train/communicator.h"

namespace dms::train {

/// Runs `work`, which has nothing to do with other ranks, on every rank. Where it throws on some,
/// whatever it is, all of them throw: these their own exception, the others an InputError or
/// RunError that tells what happened on the first of these. Every rank calls it.
void all_or_none(Communicator& ranks, const std::function<void()>& work);

/// What `work` throws, to be told to the others at the next agree().
std::exception_ptr failure_of(const std::function<void()>& work);

/// The end of all_or_none: `failure` is null where all went well on this rank.
void agree(Communicator& ranks, const std::exception_ptr& failure);

/// What went wrong, on one line.
std::string describe(const std::exception_ptr& failure);

}  // namespace dms::train
