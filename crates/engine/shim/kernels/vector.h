// Lanes of floats, by the compiler's vector extension, which is lowered to each instruction set.
// A plain `float` is a vector of one, so that one template also covers the remaining channels.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

typedef float Vec16 __attribute__((vector_size(64)));
typedef float Vec8 __attribute__((vector_size(32)));
typedef float Vec4 __attribute__((vector_size(16)));

#define MUTUALNET_INLINE inline __attribute__((always_inline))

template <typename V>
MUTUALNET_INLINE V load(const float* from) {
  V value;
  std::memcpy(&value, from, sizeof(V));
  return value;
}

template <typename V>
MUTUALNET_INLINE void store(float* to, V value) {
  std::memcpy(to, &value, sizeof(V));
}

template <typename V>
MUTUALNET_INLINE V splat(float value) {
  return value - V{};
}

// `prefix` followed by the instruction set that this file is compiled for.
#define CONCATENATE(a, b) a##b
#define NAMED(prefix, isa) CONCATENATE(prefix, isa)

// Calls body(lane type, first channel) over all channels, widest lanes first.
// No lanes are wider than a register, because the compiler would keep such vectors in memory.
template <typename Body>
MUTUALNET_INLINE void over_channels(int64_t channels, Body&& body) {
  int64_t c = 0;
#ifdef __AVX512F__
  for (; c + 16 <= channels; c += 16) {
    body(Vec16{}, c);
  }
#endif
#ifdef __AVX__
  for (; c + 8 <= channels; c += 8) {
    body(Vec8{}, c);
  }
#else
  for (; c + 4 <= channels; c += 4) {
    body(Vec4{}, c);
  }
#endif
  for (; c < channels; ++c) {
    body(float{}, c);
  }
}

}  // namespace
