// The rule at the boundary of the shim: no exception crosses it.
// A function returns nullptr, or a message that the caller frees with `mutualnet_free_message`.
#pragma once

#include <cstdlib>
#include <cstring>
#include <exception>

template <typename Body>
char* guarded(Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}
