// Several processes that train together: rendezvous, sums and broadcasts, by the c10d that is part of libtorch.
//
// Every process of a group makes the same calls in the same order.

#include "guard.h"
#include "ranks.h"

#define USE_C10D_GLOO  // gloo_names/ declares what the header names of gloo.
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <future>
#include <random>
#include <thread>

namespace {

using Milliseconds = std::chrono::milliseconds;
using StorePtr = c10::intrusive_ptr<c10d::Store>;

constexpr Milliseconds kPoll(10);

struct Group {
  StorePtr store;
  // Null once the group has ended.
  c10::intrusive_ptr<c10d::Backend> backend;
  int rank;
  int size;
  // Whether an exchange of batch norms failed.
  bool has_lost_norms = false;
};

// Means over the ranks that are on their way.
struct Mean {
  std::vector<at::Tensor> list;
  c10::intrusive_ptr<c10d::Work> work;
  int size;
};

// The group whose ranks share batch norms with this thread, or null.
thread_local Group* sharing = nullptr;

template <typename Condition>
void wait_for(Milliseconds most, Condition holds) {
  const auto end = std::chrono::steady_clock::now() + most;
  while (!holds() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(kPoll);
}

std::string random_name() {
  std::random_device random;
  return std::to_string(random()) + "-" + std::to_string(random());
}

// A name that the ranks of this start share and no earlier start had. A launcher's store outlives restarts, with the
// addresses of processes that are gone, and launchers on several nodes may count restarts differently.
//
// Rank 0 numbers the session. Every other rank says hello with a name of its own, learns the session's number under that
// name, and acknowledges it; a hello of an earlier start is answered too, but nobody acknowledges it.
std::string agree_on_session(c10d::Store& store, int rank, int size, Milliseconds timeout) {
  if (rank > 0) {
    const std::string me = std::to_string(rank), name = random_name();
    store.set("hello/" + me, name);
    const std::string session = store.get_to_str("answer/" + name);
    store.set("acknowledged/" + session + "/" + me, "1");
    return session;
  }
  const std::string session = std::to_string(store.add("sessions", 1));
  const auto end = std::chrono::steady_clock::now() + timeout;
  std::vector<std::string> answered(size);
  for (int first_missing = 1; first_missing < size;) {
    if (store.check({"acknowledged/" + session + "/" + std::to_string(first_missing)})) {
      ++first_missing;
      continue;
    }
    TORCH_CHECK(std::chrono::steady_clock::now() < end, "rank ", first_missing, " did not join in time");
    for (int other = first_missing; other < size; ++other) {
      const std::string hello = "hello/" + std::to_string(other);
      if (!store.check({hello})) continue;
      const std::string name = store.get_to_str(hello);
      if (name == answered[other]) continue;
      store.set("answer/" + name, session);
      answered[other] = name;
    }
    std::this_thread::sleep_for(kPoll);
  }
  return session;
}

// Whether some work ends in time; it goes on in a thread of its own if it does not.
template <typename Work>
bool within(Milliseconds most, Work work) {
  std::packaged_task<void()> task(std::move(work));
  std::future<void> done = task.get_future();
  std::thread(std::move(task)).detach();
  if (done.wait_for(most) != std::future_status::ready) return false;
  done.get();
  return true;
}

// Says that this rank is alive, and finds out which of the others do not say so.
void call_roll(c10d::Store& store, int rank, Milliseconds wait, std::vector<uint8_t>& is_missing) {
  const int size = static_cast<int>(is_missing.size());
  store.set("alive/" + std::to_string(rank), "1");
  wait_for(wait, [&] {
    bool is_complete = true;
    for (int other = 0; other < size; ++other) {
      is_missing[other] = !store.check({"alive/" + std::to_string(other)});
      is_complete = is_complete && !is_missing[other];
    }
    return is_complete;
  });
  // The others look into the store too, which may end with rank 0.
  if (rank > 0) return store.set("done/" + std::to_string(rank), "1");
  wait_for(wait, [&] {
    for (int other = 1; other < size; ++other) {
      if (!is_missing[other] && !store.check({"done/" + std::to_string(other)})) return false;
    }
    return true;
  });
}

c10d::Backend& backend_of(void* group) {
  const auto& backend = static_cast<Group*>(group)->backend;
  TORCH_CHECK(backend, "the group has ended");
  return *backend;
}

void sum_in_place(void* group, at::Tensor tensor) {
  std::vector<at::Tensor> list{std::move(tensor)};
  backend_of(group).allreduce(list)->wait();
}

}  // namespace

namespace mutualnet {

bool shares_norms() { return sharing != nullptr; }

void sum_over_ranks(std::vector<double>& numbers) {
  try {
    sum_in_place(sharing, at::from_blob(numbers.data(), {static_cast<int64_t>(numbers.size())}, at::kDouble));
  } catch (...) {
    sharing->has_lost_norms = true;
    throw;
  }
}

}  // namespace mutualnet

extern "C" {

// `hosts`: whether this process hosts the store, because no launcher does.
char* mutualnet_group_join(const char* host, uint16_t port, int hosts, int rank, int size, int64_t timeout_ms, void** out) {
  return guarded([&] {
    const Milliseconds timeout(timeout_ms);
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = hosts != 0;
    options.waitWorkers = false;
    options.timeout = timeout;
    StorePtr tcp = c10::make_intrusive<c10d::TCPStore>(host, options);
    StorePtr ours = c10::make_intrusive<c10d::PrefixStore>("mutualnet", tcp);
    StorePtr store = c10::make_intrusive<c10d::PrefixStore>(agree_on_session(*ours, rank, size, timeout), ours);
    auto gloo = c10d::ProcessGroupGloo::Options::create_default(timeout);
    auto backend = c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, gloo);
    *out = new Group{store, backend, rank, size};
  });
}

void mutualnet_group_leave(void* group) { delete static_cast<Group*>(group); }

// Starts to average tensors of one type over the ranks, in a single reduction. Numbers meet in the order in which they lie in
// memory; the tensors may change meanwhile.
char* mutualnet_group_begin_mean(void* group, void** tensors, int64_t n, void** out) {
  return guarded([&] {
    torch::NoGradGuard no_grad;
    std::vector<at::Tensor> flat;
    for (int64_t i = 0; i < n; ++i) {
      const at::Tensor& tensor = *static_cast<at::Tensor*>(tensors[i]);
      TORCH_CHECK(tensor.is_non_overlapping_and_dense(), "a tensor has gaps in memory");
      flat.push_back(tensor.as_strided({tensor.numel()}, {1}));
    }
    auto mean = std::make_unique<Mean>();
    mean->list = {at::cat(flat)};
    mean->size = static_cast<Group*>(group)->size;
    mean->work = backend_of(group).allreduce(mean->list);
    *out = mean.release();
  });
}

// Waits for the means, and replaces the tensors that they were made from by views of them.
char* mutualnet_mean_end(void* mean, void** tensors, int64_t n) {
  return guarded([&] {
    torch::NoGradGuard no_grad;
    auto& [list, work, size] = *static_cast<Mean*>(mean);
    work->wait();
    list[0].div_(size);
    int64_t begin = 0;
    for (int64_t i = 0; i < n; ++i) {
      at::Tensor& tensor = *static_cast<at::Tensor*>(tensors[i]);
      tensor = list[0].as_strided(tensor.sizes(), tensor.strides(), begin);
      begin += tensor.numel();
    }
  });
}

void mutualnet_mean_drop(void* mean) { delete static_cast<Mean*>(mean); }

char* mutualnet_group_sum_numbers(void* group, double* numbers, int64_t n) {
  return guarded([&] { sum_in_place(group, at::from_blob(numbers, {n}, at::kDouble)); });
}

char* mutualnet_group_broadcast(void* group, int from, uint8_t* bytes, int64_t n) {
  return guarded([&] {
    std::vector<at::Tensor> list{at::from_blob(bytes, {n}, at::kByte)};
    c10d::BroadcastOptions options;
    options.rootRank = from;
    backend_of(group).broadcast(list, options)->wait();
  });
}

// From here on, batch norms on this thread use the statistics of all ranks of a group; of this one alone if it is null.
void mutualnet_group_share_norms(void* group) { sharing = static_cast<Group*>(group); }

int mutualnet_shares_norms() { return mutualnet::shares_norms(); }

int mutualnet_group_has_lost_norms(void* group) { return static_cast<Group*>(group)->has_lost_norms; }

// Ends the group: closes the connections, so that a rank that still waits for another one notices. Says that this rank is
// alive, waits until all have said so, or for some time, and sets `is_missing` of the others.
char* mutualnet_group_end(void* group, int64_t wait_ms, uint8_t* is_missing) {
  return guarded([&] {
    Group& ours = *static_cast<Group*>(group);
    ours.backend.reset();
    const Milliseconds wait(wait_ms);
    auto missing = std::make_shared<std::vector<uint8_t>>(ours.size);
    // A store whose process hangs never answers.
    const bool has_answered = within(2 * wait + Milliseconds(2000), [store = ours.store, rank = ours.rank, wait, missing] {
      call_roll(*store, rank, wait, *missing);
    });
    TORCH_CHECK(has_answered, "the store does not answer");
    std::copy(missing->begin(), missing->end(), is_missing);
  });
}
}
