// Preloaded into a program on Linux, this moves what it takes for the time of day: twice a second the time jumps by seconds, a
// day or years, forward or back. Clocks that only measure stay as they are.

#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace {

timespec asked(clockid_t clock) {
  timespec time{};
  syscall(SYS_clock_gettime, clock, &time);
  return time;
}

timespec moved() {
  constexpr time_t DAY = 86400;
  constexpr time_t SHIFTS[] = {0, 3, -DAY, 10 * 365 * DAY, -3, -365 * DAY, DAY};
  const timespec running = asked(CLOCK_MONOTONIC);
  const time_t halves = 2 * running.tv_sec + running.tv_nsec / 500'000'000;
  timespec time = asked(CLOCK_REALTIME);
  time.tv_sec += SHIFTS[halves % static_cast<time_t>(sizeof(SHIFTS) / sizeof(*SHIFTS))];
  return time;
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
    *time = moved();
    return 0;
  }
  return static_cast<int>(syscall(SYS_clock_gettime, clock, time));
}

extern "C" int gettimeofday(timeval* time, void*) noexcept {
  const timespec now = moved();
  *time = {now.tv_sec, now.tv_nsec / 1000};
  return 0;
}

extern "C" time_t time(time_t* time) noexcept {
  const time_t now = moved().tv_sec;
  if (time != nullptr) *time = now;
  return now;
}
