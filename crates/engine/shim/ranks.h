// What batch norms need of the other ranks, when those on this thread use the statistics of all of them.
#pragma once

#include <vector>

namespace mutualnet {

bool shares_norms();

// Replaces numbers by their sums over the ranks.
void sum_over_ranks(std::vector<double>& numbers);

}  // namespace mutualnet
